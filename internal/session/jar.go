package session

import (
	"slices"
	"time"
)

// Jar is the record of one browser. Jars are immutable once stored or handed out; a change is
// made on a clone.
type Jar struct {
	// ID names the jar in logs and to administrators. It is no secret, and stays when the token changes.
	ID        string
	CreatedAt time.Time

	// Transient says that the browser was asked, at the last sign-in, to forget the jar's token when it
	// closes.
	Transient bool

	// Active is the handle of the session that requests are made as. It is empty, or names no
	// session of the jar, when the active one ended by itself: the browser must then choose. It is empty
	// in a jar with pins.
	Active string

	// Pins say which account the requests to each site are made as. There are none where all sites have
	// Active. The first is that of the zero Site; the others follow as they were chosen, no two of one site.
	Pins []Pin

	// Sessions are in the order of their sign-in, no two of one account.
	Sessions []Session
}

// Session is one signed-in account in one jar. Times are UTC, to the millisecond.
type Session struct {
	ID     string // public everywhere, also to the account's other devices; never a way in
	Handle string // public within this browser: the API's session token

	// Recorded is the identity as it was at sign-in. Who the account is now, a Directory says.
	Recorded *Identity

	CreatedAt  time.Time
	LastUsedAt time.Time // may lag behind by Options.touchInterval
	ExpiresAt  time.Time // absolute, set at sign-in and never extended

	IP        string // of the client at sign-in, empty where unknown
	UserAgent string // at sign-in, empty where unknown

	Grant *Grant // of the account's identity provider; nil where there is none

	// Slot is the tag of the slot that the upstreams' cookies of this session are in. It is known to the
	// browser, and to nothing that runs in it. It ends with the session and is never used again.
	Slot string

	view, accountTag string // see nameViews
}

// Client is who is at the other end of a sign-in, as it is recorded with the session and the jar.
type Client struct {
	IP        string
	UserAgent string
	Transient bool // the browser is to forget the jar's token when it closes
}

// clone returns a copy whose fields and list of sessions can be changed.
func (j *Jar) clone() *Jar {
	c := *j
	c.Sessions = slices.Clone(j.Sessions)
	c.Pins = slices.Clone(j.Pins)
	return &c
}

// find returns the index of the session that has the handle, or -1. Handles match exactly.
func (j *Jar) find(handle string) int {
	return slices.IndexFunc(j.Sessions, func(s Session) bool { return s.Handle == handle })
}

// byID returns the session that has the id, or nil. It is the jar's own.
func (j *Jar) byID(id string) *Session {
	i := slices.IndexFunc(j.Sessions, func(s Session) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return &j.Sessions[i]
}

// remove takes the sessions out that gone selects, and returns them. Where the active one is among
// them nothing is active any more.
func (j *Jar) remove(gone func(*Session) bool) []Session {
	var removed []Session
	j.Sessions = slices.DeleteFunc(j.Sessions, func(s Session) bool {
		if !gone(&s) {
			return false
		}
		if s.Handle == j.Active {
			j.Active = ""
		}
		removed = append(removed, s)
		return true
	})
	return removed
}

// leastRecentlyUsed returns the handle of the session whose last use is longest ago.
func (j *Jar) leastRecentlyUsed() string {
	return slices.MinFunc(j.Sessions, byLastUse).Handle
}

// mostRecentlyUsed returns the handle of the session used last, or "" in an empty jar. Of several
// used in the same millisecond it is the one that was signed in last.
func (j *Jar) mostRecentlyUsed() string {
	handle, at := "", time.Time{}
	for i := range j.Sessions {
		if s := &j.Sessions[i]; !s.LastUsedAt.Before(at) {
			handle, at = s.Handle, s.LastUsedAt
		}
	}
	return handle
}

func byLastUse(a, b Session) int { return a.LastUsedAt.Compare(b.LastUsedAt) }
