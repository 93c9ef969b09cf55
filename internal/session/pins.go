package session

import (
	"errors"
	"slices"
	"strings"
)

// Site is a host with its own active session: its name, in lower case and without a port. The zero
// Site stands for all hosts of a jar together, which then share one active session.
type Site string

// maxSiteBytes is the maximum length of a domain name (RFC 1035, section 2.3.4).
const maxSiteBytes = 253

// ParseSite returns the site of a host without a port. It refuses names that no browser can reach,
// which would only take up room in the jar.
func ParseSite(host string) (Site, error) {
	if len(host) > maxSiteBytes {
		return "", errors.New("the host's name is too long")
	}
	host = strings.ToLower(host)
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.ContainsFunc(label, notInLabel) {
			return "", errors.New("the host's name is none of the DNS")
		}
	}
	return Site(host), nil
}

func notInLabel(c rune) bool {
	return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_')
}

// MaxPins bounds the pins of a jar, so that the largest jar stays within storage.MaxValueBytes.
const MaxPins = 50

// Pin says as which account requests to a site are made. It outlives the account's session: the
// site then belongs to nobody, never to somebody else, and to the account again after its next
// sign-in.
type Pin struct {
	Site    Site    // zero: every site without its own pin
	Account Account // zero: nobody
}

// activeAt returns the session that requests to the site are made as, dead or alive, or nil. The
// session is part of the jar.
func (j *Jar) activeAt(site Site) *Session {
	if len(j.Pins) == 0 {
		if j.Active == "" {
			return nil
		}
		return j.at(j.find(j.Active))
	}
	if site == "" && j.pinnedApart() {
		return nil
	}
	account := j.pinned(site)
	return j.at(slices.IndexFunc(j.Sessions, func(s Session) bool { return s.Recorded.Account == account }))
}

// at returns the session at an index, or nil if it is -1.
func (j *Jar) at(i int) *Session {
	if i < 0 {
		return nil
	}
	return &j.Sessions[i]
}

// pinned returns the account of a site, in a jar with pins.
func (j *Jar) pinned(site Site) Account {
	for i := range j.Pins {
		if j.Pins[i].Site == site {
			return j.Pins[i].Account
		}
	}
	return j.Pins[0].Account
}

// pinnedApart reports whether sites have different accounts. If they are to share one active
// session from now on, the browser must choose it.
func (j *Jar) pinnedApart() bool {
	return slices.ContainsFunc(j.Pins, func(p Pin) bool { return p.Account != j.Pins[0].Account })
}

// pinAll pins the shared active session at all sites, so that a choice at one site does not affect
// the others.
func (j *Jar) pinAll() {
	if len(j.Pins) > 0 {
		return
	}
	var all Pin
	if active := j.activeAt(""); active != nil {
		all.Account = active.Recorded.Account
	}
	j.Active, j.Pins = "", []Pin{all}
}

// choose makes a session of the jar the active one of a site, and of all sites if it is the jar's
// first. It reports whether anything changed.
func (j *Jar) choose(site Site, s *Session) (changed bool) {
	account := s.Recorded.Account
	switch {
	case site == "":
		if j.activeAt("") == s {
			return false
		}
		j.Active, j.Pins = s.Handle, nil
		return true
	case len(j.Pins) == 0:
		j.Active, j.Pins = "", []Pin{{Account: account}}
		return true
	case j.pinned(site) == account:
		return false
	}
	j.Pins = slices.DeleteFunc(j.Pins, func(p Pin) bool { return p.Site == site })
	if j.Pins[0].Account == account {
		return true
	}
	j.Pins = append(j.Pins, Pin{site, account})
	if len(j.Pins) > 1+MaxPins {
		// The jar no longer knows at which site the oldest pin was chosen. That account must not
		// become the account of all other sites, and it is unknown which one is, so they all must
		// choose again.
		j.Pins = slices.Delete(j.Pins, 1, 2)
		j.Pins[0].Account = Account{}
	}
	return true
}

// At returns the manager for requests to a site: they are made as the site's active session, and
// what they choose applies there. With the zero Site, all hosts of a jar share one active session.
//
// A jar's first account is that of every site until another one is chosen there. A choice at one
// site does not affect the others.
func (m *Manager) At(site Site) *Manager {
	there := *m
	there.site = site
	return &there
}

// At returns the visit as a request to the site sees it, as if Manager.At had created it.
func (v Visit) At(site Site) Visit {
	v.site = site
	return v
}

// Site returns the site whose active session the visit is about. It is zero if all hosts share one.
func (v Visit) Site() Site { return v.site }

// Places returns the other sites where an entry's account was chosen, in alphabetical order, and
// whether it is the account of all sites where none was chosen. If all hosts share one active
// session, there are none.
func (v Visit) Places(e Entry) (sites []Site, elsewhere bool) {
	if v.jar == nil {
		return nil, false
	}
	for _, p := range v.jar.Pins {
		switch {
		case p.Account != e.Recorded.Account:
		case p.Site == "":
			elsewhere = true
		case p.Site != v.site:
			sites = append(sites, p.Site)
		}
	}
	slices.Sort(sites)
	return sites, elsewhere
}
