package session

// With a cookie that several hosts share, a host can receive a jar that no sign-in in its browser has
// led to: a script on another host of the domain can plant one. A host uses a jar only once it is
// confirmed there. Whether it is, a Visit is told by whoever knows the browser's cookies.

// Unconfirmed returns the visit for a host at which the jar is not confirmed. Its accounts are there to
// be chosen, and none of them is active.
func (v Visit) Unconfirmed() Visit {
	v.unconfirmed = v.jar != nil
	return v
}

// Confirmed reports whether the jar may be used at this host. The zero Visit, which has no jar, may.
func (v Visit) Confirmed() bool { return !v.unconfirmed }

// Suggested returns the session that is active at the site if the jar is confirmed. It is false if
// there is none, and at a host where the jar is confirmed already.
func (v Visit) Suggested() (Entry, bool) {
	if !v.unconfirmed {
		return Entry{}, false
	}
	v.unconfirmed = false
	entry, ok := v.Active()
	entry.Active = false
	return entry, ok
}

// As returns the visit as the browser of another visit sees it: from the same site, in the same run, and
// confirmed only if the other one is.
func (v Visit) As(other Visit) Visit {
	v.site, v.run = other.site, other.run
	if other.unconfirmed {
		return v.Unconfirmed()
	}
	return v
}
