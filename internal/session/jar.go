package session

import (
	"slices"
	"time"
)

// Jar is the record of one browser. Jars are immutable once stored or handed out. Changes are made
// on a clone.
type Jar struct {
	// ID names the jar in logs and to administrators. It is not a secret, and stays when the token
	// changes.
	ID        string
	CreatedAt time.Time

	// Transient says that the browser was asked to forget the jar's token when it closes, because
	// no session was to outlast that.
	Transient bool

	// Active is the handle of the session that requests are made as. If the active session ended by
	// itself, it is empty or names no session of the jar, and the browser must choose. It is empty
	// in a jar with pins.
	Active string

	// Pins say as which account requests to each site are made. There are none if all sites use
	// Active. The first pin is that of the zero Site; the others follow in the order of their
	// choice, at most one for each site.
	Pins []Pin

	// Sessions are in the order of their sign-in, at most one for each account.
	Sessions []Session

	// Move says how the jar came to its token. It is nil if nobody has signed in to it a second
	// time, and some time after that.
	Move *Move
}

// Session is one signed-in account in one jar. Times are UTC, to the millisecond.
type Session struct {
	ID     string // public everywhere, also to the account's other devices; never a way in
	Handle string // public within this browser: the API's session token

	// Recorded is the identity at sign-in. A Directory says who the account is now.
	Recorded *Identity

	CreatedAt  time.Time
	LastUsedAt time.Time // may lag behind by Options.touchInterval
	ExpiresAt  time.Time // absolute, set at sign-in and never extended

	IP        string // of the client at sign-in; empty: unknown
	UserAgent string // at sign-in; empty: unknown

	Grant *Grant // of the account's identity provider; nil: none

	// Slot is the tag of the slot of this session's app cookies. The browser knows it, but scripts
	// do not. It ends with the session and is never used again.
	Slot string

	// Run is the run of the browser that the session belongs to. It is empty if the session outlasts
	// them.
	Run string

	view, accountTag string // see nameViews
}

// Client describes the client of a sign-in, as it is recorded with the session and the jar.
type Client struct {
	IP        string
	UserAgent string
	Run       string // the session belongs to this run of the browser; empty: it outlasts them

	// JarID names the jar that the client's token named when its request arrived, by Manager.JarOf.
	// Empty: the sign-in joins no jar that has moved since.
	JarID string

	// Confirmed says that this jar is known to be the browser's own, which a token that another
	// host of the domain has planted is not.
	Confirmed bool
}

// clone returns a copy whose fields, sessions and pins can be changed.
func (j *Jar) clone() *Jar {
	c := *j
	c.Sessions = slices.Clone(j.Sessions)
	c.Pins = slices.Clone(j.Pins)
	return &c
}

// find returns the index of the session with the handle, or -1. Handles match exactly.
func (j *Jar) find(handle string) int {
	return slices.IndexFunc(j.Sessions, func(s Session) bool { return s.Handle == handle })
}

// indexOf returns the index of the session with the id, or -1.
func (j *Jar) indexOf(id string) int {
	return slices.IndexFunc(j.Sessions, func(s Session) bool { return s.ID == id })
}

// byID returns the session with the id, or nil. The session is part of the jar.
func (j *Jar) byID(id string) *Session { return j.at(j.indexOf(id)) }

// remove removes and returns the sessions for which gone is true. If the active one is among them,
// none is active afterwards.
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

// leastRecentlyUsed returns the handle of the session whose last use is the oldest.
func (j *Jar) leastRecentlyUsed() string {
	return slices.MinFunc(j.Sessions, byLastUse).Handle
}

// mostRecentlyUsed returns the handle of the session whose last use is the newest, or "" in an
// empty jar. Of several sessions used in the same millisecond, the latest sign-in wins.
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
