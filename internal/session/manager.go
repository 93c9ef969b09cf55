package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// Bounds of Options. A jar of MaxSessionsLimit sessions fits in every store.
const (
	DefaultMaxSessions = 5
	MaxSessionsLimit   = 50
	DefaultLifetime    = 30 * 24 * time.Hour
	DefaultIdleTimeout = 7 * 24 * time.Hour
)

// Options are the rules of jars. They also apply to existing sessions: a shorter time ends those
// that are older.
type Options struct {
	// MaxSessions is the maximum number of sessions in a jar, 1 to MaxSessionsLimit.
	MaxSessions int

	// RejectAtMax refuses sign-ins to a full jar. Otherwise the least recently used session is
	// evicted.
	RejectAtMax bool

	// Lifetime is the maximum lifetime of a session, however much it is used.
	Lifetime time.Duration

	// IdleTimeout is how long a session lasts without being used. Zero or less disables it.
	IdleTimeout time.Duration
}

// Validate returns an error that names the first option out of bounds.
func (o Options) Validate() error {
	switch {
	case o.MaxSessions < 1 || o.MaxSessions > MaxSessionsLimit:
		return fmt.Errorf("max_sessions %d: must be from 1 to %d", o.MaxSessions, MaxSessionsLimit)
	case o.Lifetime < time.Second:
		return fmt.Errorf("lifetime %s: must be a second at least", o.Lifetime)
	case o.IdleTimeout > 0 && o.IdleTimeout < time.Second:
		return fmt.Errorf("idle_timeout %s: must be a second at least", o.IdleTimeout)
	}
	return nil
}

var (
	// ErrUnknownHandle reports a handle that names no live session of this jar. It does not tell
	// whether the handle is unknown, expired, malformed or of another jar.
	ErrUnknownHandle = errors.New("unknown session handle")

	// ErrFull reports a sign-in to a jar that already has the maximum number of sessions.
	ErrFull = errors.New("jar holds as many sessions as are allowed")
)

// Manager applies the rules to the jars. Each configuration has one, and all managers of one store
// share its Jars. Its methods may be called concurrently.
//
// Every change is a compare-and-swap of the whole jar, repeated after a conflict. So concurrent
// changes of one jar are serialised and none is lost.
type Manager struct {
	jars      *Jars
	directory Directory
	options   Options
	now       func() time.Time
	toucher   *toucher
	site      Site       // set by At and For
	run       browserRun // set by For
}

// NewManager returns a manager with the clock now, which may step back: all managers of the jars go
// on from the latest time. Close ends it.
func NewManager(jars *Jars, directory Directory, options Options, now func() time.Time) *Manager {
	m := &Manager{jars: jars, directory: directory, options: options}
	m.now = func() time.Time { return jars.clock.now(now()) }
	m.toucher = newToucher(m.recordUse)
	return m
}

// Close writes the uses that are not recorded yet and stops recording. All other methods keep
// working, for requests that are still served during a reload.
func (m *Manager) Close() { m.toucher.close() }

// Lifetime returns the maximum lifetime of a new session.
func (m *Manager) Lifetime() time.Duration { return m.options.Lifetime }

// Entry is a live session and the current identity of its account.
type Entry struct {
	*Session
	Identity *Identity
	Active   bool
	Ends     time.Time // when the session dies if it is not used again
}

// Visit is a jar as one request found it. Later changes of the jar do not affect it. The zero Visit
// is a browser without a jar.
type Visit struct {
	manager *Manager
	key     Key
	jar     *Jar
	at      time.Time
	site    Site
	run     browserRun // see InRun

	unconfirmed bool // no session is active at this host; see Unconfirmed
}

// Visit returns the jar of a token. For an unknown token and for the zero Token it returns the zero
// Visit without an error. With ErrUnreadable it also returns the zero Visit: the browser is signed
// out, and the caller should log the cause. After any other error nothing is known about the
// browser.
func (m *Manager) Visit(ctx context.Context, token Token) (Visit, error) {
	if token.IsZero() {
		return Visit{site: m.site}, nil
	}
	key := token.Key()
	at := m.now()
	jar, err := m.jars.load(ctx, key, at)
	if errors.Is(err, errNoJar) {
		return Visit{site: m.site}, nil
	}
	if err != nil {
		return Visit{site: m.site}, err
	}
	m.present(key, jar.Jar, at)
	return Visit{manager: m, key: key, jar: jar.Jar, at: at, site: m.site}, nil
}

// Full reports whether a sign-in with a further account would fail with ErrFull.
func (m *Manager) Full(v Visit) bool {
	return m.options.RejectAtMax && len(v.Entries()) >= m.options.MaxSessions
}

// Active returns the session that requests are made as. It returns false if nobody is signed in and
// if the active session ended by itself.
func (v Visit) Active() (Entry, bool) {
	active := v.active()
	if active == nil {
		return Entry{}, false
	}
	return v.entry(active, true)
}

// Lapsed returns the active session that ended by its time, so that its user can be asked to sign
// in again. It returns false if the session ended otherwise, if the account is gone, and if the jar
// no longer has the session. The entry is not live: it admits nobody, and its Identity is the
// recorded one.
func (v Visit) Lapsed() (Entry, bool) {
	session := v.active()
	if session == nil {
		return Entry{}, false
	}
	if v.at.Before(v.manager.options.expiry(session)) {
		return Entry{}, false
	}
	if _, known := v.manager.current(session); !known {
		return Entry{}, false
	}
	return Entry{Session: session, Identity: session.Recorded, Ends: v.manager.options.expiry(session)}, true
}

// Entries returns the live sessions of the jar in the order of their sign-in.
func (v Visit) Entries() []Entry {
	if v.jar == nil {
		return nil
	}
	active := v.active()
	entries := make([]Entry, 0, len(v.jar.Sessions))
	for i := range v.jar.Sessions {
		session := &v.jar.Sessions[i]
		if entry, ok := v.entry(session, session == active); ok {
			entries = append(entries, entry)
		}
	}
	return entries
}

// Without returns the visit as it is after the session with the id has ended.
func (v Visit) Without(id string) Visit {
	if v.jar != nil {
		v.jar = v.jar.clone()
		v.jar.remove(func(s *Session) bool { return s.ID == id })
	}
	return v
}

// Renewed returns the visit as it is after a session of its jar was replaced by s.
func (v Visit) Renewed(s *Session) Visit {
	if v.jar != nil {
		v.jar = v.jar.clone()
		if of := v.jar.byID(s.ID); of != nil {
			*of = *s
		}
	}
	return v
}

// JarID returns the jar's public id, empty without a jar.
func (v Visit) JarID() string {
	if v.jar == nil {
		return ""
	}
	return v.jar.ID
}

// active returns the session that requests are made as, dead or alive, or nil.
func (v *Visit) active() *Session {
	if v.jar == nil || v.unconfirmed {
		return nil
	}
	return v.jar.activeAt(v.site)
}

// entry returns the entry of one of the jar's sessions, and false if the session is dead.
func (v *Visit) entry(session *Session, active bool) (Entry, bool) {
	identity, ok := v.manager.live(session, v.at)
	ok = ok && !v.run.over(session)
	return Entry{Session: session, Identity: identity, Active: active, Ends: v.manager.options.expiry(session)}, ok
}

// Used records in the background that a request was made as the entry's session. It returns at
// once, and writes nothing if the last recorded use is recent.
func (v Visit) Used(e Entry) {
	if v.at.Sub(e.LastUsedAt) >= v.manager.options.touchInterval() {
		v.manager.toucher.touch(use{v.key, e.Handle, v.at})
	}
}

// live returns the current identity of a session's account, and false if the session is dead.
func (m *Manager) live(s *Session, at time.Time) (*Identity, bool) {
	if !at.Before(m.options.expiry(s)) || m.jars.endings.Load().has(s) {
		return nil, false
	}
	return m.current(s)
}

// current returns the current identity of a session's account, and false if the account is gone.
func (m *Manager) current(s *Session) (*Identity, bool) {
	identity, ok := m.directory.Current(s.Recorded)
	// An answer about another account would sign in the wrong person.
	if !ok || identity.Account != s.Recorded.Account {
		return nil, false
	}
	return identity, true
}

// expiry returns when a session dies if it is not used again.
func (o Options) expiry(s *Session) time.Time {
	expiry := s.ExpiresAt
	if end := s.CreatedAt.Add(o.Lifetime); end.Before(expiry) {
		expiry = end
	}
	if o.IdleTimeout > 0 {
		if end := s.LastUsedAt.Add(o.IdleTimeout); end.Before(expiry) {
			expiry = end
		}
	}
	return expiry
}

// jarExpiry returns when the last session of a jar dies if none is used again.
func (o Options) jarExpiry(j *Jar) time.Time {
	var last time.Time
	for i := range j.Sessions {
		if end := o.expiry(&j.Sessions[i]); end.After(last) {
			last = end
		}
	}
	return last
}

// prune removes the dead sessions from a jar that is being changed, and a Move whose time is over.
func (m *Manager) prune(j *Jar, at time.Time) {
	if j.Move != nil && !j.Move.recent(repeatTime, at) {
		j.Move = nil
	}
	j.remove(func(s *Session) bool {
		_, alive := m.live(s, at)
		return !alive || m.run.over(s)
	})
}

// SignedIn is the result of a sign-in.
type SignedIn struct {
	Token    Token     // the jar's new token; the old one is invalid
	JarID    string    // public
	Entry    Entry     // the new session, which is active
	Replaced []Session // the account's previous session in this jar, if any
	Evicted  []Session // sessions evicted to make room
	Visit    Visit     // the jar with the new session
}

// SignIn adds a session of the identity's account to the jar of the token, or to a new jar if the
// token names none, and makes it active. The jar gets a new token, so that a token planted or seen
// before the sign-in is useless afterwards. A sign-in that overlaps with another one of the same
// browser, or repeats it, joins the moved jar and returns the same new token; the package doc says
// when.
//
// Errors are ErrFull, a refusal of the identity or the grant by Validate or Fits, and those of the
// store.
func (m *Manager) SignIn(ctx context.Context, token Token, identity *Identity, grant *Grant, client Client) (SignedIn, error) {
	grant, err := toStore(identity, grant)
	if err != nil {
		return SignedIn{}, err
	}
	defer m.jars.change()()
	for {
		at := m.now()
		to, err := m.jarForSignIn(ctx, token, identity.Account, client, at)
		if err != nil {
			return SignedIn{}, err
		}
		jar := to.jar
		m.prune(jar, at)
		switch {
		case len(jar.Sessions) == 0:
			// The store may drop such a jar at any time, so it counts as missing.
			jar.Active, jar.Pins = "", nil
		case m.site != "":
			jar.pinAll()
		}
		done := SignedIn{Token: to.token, JarID: jar.ID}
		done.Replaced = jar.remove(func(s *Session) bool { return s.Recorded.Account == identity.Account })
		if len(jar.Sessions) >= m.options.MaxSessions && m.options.RejectAtMax {
			return SignedIn{}, ErrFull
		}
		for len(jar.Sessions) >= m.options.MaxSessions {
			oldest := jar.leastRecentlyUsed()
			done.Evicted = append(done.Evicted, jar.remove(func(s *Session) bool { return s.Handle == oldest })...)
		}
		session := m.newSession(identity, grant, client, at)
		jar.Sessions = append(jar.Sessions, session)
		jar.Transient = !slices.ContainsFunc(jar.Sessions, func(s Session) bool { return s.Run == "" })
		jar.choose(m.site, &jar.Sessions[len(jar.Sessions)-1])
		if to.move != nil {
			jar.Move = to.move.with(session.ID, jar)
		}
		done.Entry = Entry{Session: &session, Identity: session.Recorded, Active: true, Ends: m.options.expiry(&session)}

		key := to.token.Key()
		err = m.jars.swap(ctx, to.from, to.old, key, jar, m.options.jarExpiry(jar))
		if errors.Is(err, storage.ErrConflict) {
			continue
		}
		if err != nil {
			return SignedIn{}, err
		}
		done.Visit = Visit{manager: m, key: key, jar: jar, at: at, site: m.site, run: m.run}
		return done, nil
	}
}

// toStore refuses an identity or a grant that cannot be stored, and returns the grant as it is
// stored.
func toStore(identity *Identity, grant *Grant) (*Grant, error) {
	method := identity.Account.Method
	if err := identity.Validate(); err != nil {
		return nil, fmt.Errorf("identity of %s: %w", method, err)
	}
	if err := identity.Fits(); err != nil {
		return nil, fmt.Errorf("identity of %s: %w", method, err)
	}
	kept, err := grant.toStore()
	if err != nil {
		return nil, fmt.Errorf("grant of %s: %w", method, err)
	}
	return kept, nil
}

// signInTo is the jar that a sign-in adds a session to.
type signInTo struct {
	jar   *Jar      // a clone, or new
	from  Key       // where the jar is stored; that of token if it is new or does not move
	old   storedJar // as it is stored; zero if it is new
	token Token     // the jar's token afterwards
	move  *Move     // nil if it is new
}

// jarForSignIn returns the jar to add a session to: that of the token, the one that it has moved to
// if the sign-in joins it, or a new one. An unreadable jar stays as it is, and the browser gets a
// new one.
func (m *Manager) jarForSignIn(ctx context.Context, token Token, account Account, client Client, at time.Time) (signInTo, error) {
	if token.IsZero() {
		return newJar(at), nil
	}
	from := token.Key()
	old, err := m.jars.load(ctx, from, at)
	if err == nil {
		move := newMove(from, at)
		return signInTo{old.clone(), from, old, token.next(move.Salt), move}, nil
	}
	if errors.Is(err, errNoJar) && client.JarID != "" {
		var key Key
		key, old, err = m.jars.first(ctx, jarTerm(client.JarID), at)
		if err == nil && old.joins(from, account, client, at) {
			if next := token.next(old.Move.Salt); next.Key() == key {
				return signInTo{old.clone(), key, old, next, old.Move}, nil
			}
		}
	}
	if err != nil && !errors.Is(err, errNoJar) && !errors.Is(err, ErrUnreadable) {
		return signInTo{}, err
	}
	return newJar(at), nil
}

func newJar(at time.Time) signInTo {
	token := NewToken()
	return signInTo{jar: &Jar{ID: newName(), CreatedAt: at}, from: token.Key(), token: token}
}

// runLifetime is the maximum lifetime of a session that belongs to a run: many browsers are never
// closed, and some restore what they should have forgotten.
const runLifetime = 24 * time.Hour

// maxUserAgentBytes bounds the recorded User-Agent.
const maxUserAgentBytes = 512

// recordedUserAgent returns a User-Agent as it is recorded.
func recordedUserAgent(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxUserAgentBytes)], "")
}

func (m *Manager) newSession(identity *Identity, grant *Grant, client Client, at time.Time) Session {
	recorded := *identity
	if recorded.CreatedAt.IsZero() {
		recorded.CreatedAt = at
	}
	if recorded.UpdatedAt.IsZero() {
		recorded.UpdatedAt = at
	}
	lifetime := m.options.Lifetime
	if client.Run != "" {
		lifetime = min(lifetime, runLifetime)
	}
	s := Session{
		ID:         newName(),
		Handle:     newName(),
		Recorded:   &recorded,
		CreatedAt:  at,
		LastUsedAt: at,
		ExpiresAt:  at.Add(lifetime),
		IP:         client.IP,
		UserAgent:  recordedUserAgent(client.UserAgent),
		Grant:      grant,
		Slot:       newName(),
		Run:        client.Run,
	}
	s.nameViews()
	return s
}

// SetActive makes the live session with the handle the active one and returns it. If there is none,
// it returns ErrUnknownHandle and writes nothing.
func (m *Manager) SetActive(ctx context.Context, token Token, handle string) (Entry, error) {
	var active Entry
	err := m.change(ctx, token, func(jar *Jar, at time.Time) (changed bool, err error) {
		active, changed, err = m.activate(jar, jar.find(handle), at)
		return changed, err
	})
	if errors.Is(err, errNoJar) {
		err = ErrUnknownHandle
	}
	if err != nil {
		return Entry{}, err
	}
	return active, nil
}

// activate makes the session with an index the active one of a jar. It returns ErrUnknownHandle if
// the session is not live, or the index is -1.
func (m *Manager) activate(jar *Jar, i int, at time.Time) (active Entry, changed bool, err error) {
	if i < 0 {
		return Entry{}, false, ErrUnknownHandle
	}
	session := jar.Sessions[i]
	identity, alive := m.live(&session, at)
	if !alive {
		// The directory has changed its answer since the jar was pruned.
		return Entry{}, false, ErrUnknownHandle
	}
	if m.site != "" {
		jar.pinAll()
	}
	changed = jar.choose(m.site, &jar.Sessions[i])
	if changed {
		// A switch counts as a use. Otherwise the chosen session could be evicted next.
		session.LastUsedAt = at
		jar.Sessions[i] = session
	}
	return Entry{Session: &session, Identity: identity, Active: true, Ends: m.options.expiry(&session)}, changed, nil
}

// Revoked is the result of a revocation.
type Revoked struct {
	Ended    Session
	Promoted *Session // the session that became active in place of the ended one, if any
	Empty    bool     // no session is left, and the jar is gone
}

// Revoke ends the live session with the handle. If it was active, the most recently used session
// becomes active. If there is no such session, it returns ErrUnknownHandle and writes nothing.
func (m *Manager) Revoke(ctx context.Context, token Token, handle string) (Revoked, error) {
	var done Revoked
	err := m.change(ctx, token, func(jar *Jar, _ time.Time) (changed bool, err error) {
		done, err = m.revoke(jar, jar.find(handle))
		return err == nil, err
	})
	if errors.Is(err, errNoJar) {
		err = ErrUnknownHandle
	}
	if err != nil {
		return Revoked{}, err
	}
	return done, nil
}

// revoke ends the session with an index of a jar. It returns ErrUnknownHandle if the index is -1.
func (m *Manager) revoke(jar *Jar, i int) (Revoked, error) {
	if i < 0 {
		return Revoked{}, ErrUnknownHandle
	}
	done := Revoked{Ended: jar.Sessions[i]}
	if m.site != "" {
		jar.pinAll()
	}
	wasActive := jar.activeAt(m.site) == &jar.Sessions[i]
	jar.remove(func(s *Session) bool { return s.Handle == done.Ended.Handle })
	if wasActive && len(jar.Sessions) > 0 {
		next := &jar.Sessions[jar.find(jar.mostRecentlyUsed())]
		jar.choose(m.site, next)
		promoted := *next
		done.Promoted = &promoted
	}
	done.Empty = len(jar.Sessions) == 0
	return done, nil
}

// SignOut ends every session of the jar and returns those that were live. A token without a jar is
// not an error: the browser is already signed out.
//
// An overlapping sign-in may have moved the jar to a new token. Then SignOut ends the sessions that
// the old token named, or they would outlive an acknowledged sign-out. Those that were added since
// stay. Seen is the jar as the request found it when it arrived.
func (m *Manager) SignOut(ctx context.Context, token Token, seen Visit) ([]Session, error) {
	var ended []Session
	err := m.change(ctx, token, func(jar *Jar, at time.Time) (bool, error) {
		seen = Visit{jar: jar.clone()}
		ended = jar.Sessions
		jar.Sessions, jar.Active = nil, ""
		return true, nil
	})
	if !errors.Is(err, errNoJar) {
		return ended, err
	}
	if seen.jar == nil {
		if seen, err = m.named(ctx, token); seen.jar == nil || err != nil {
			return nil, err
		}
	}
	moved, err := m.End(ctx, Selection{Jar: seen.jar.ID}, func(s *Session) bool { return seen.jar.byID(s.ID) == nil })
	ended = make([]Session, len(moved))
	for i := range moved {
		ended[i] = moved[i].Session
	}
	return ended, err
}

// named returns a jar that has just moved, with the sessions that the replaced token named.
func (m *Manager) named(ctx context.Context, token Token) (Visit, error) {
	jar, err := m.justMoved(ctx, token.Key())
	if jar.Jar == nil || err != nil {
		return Visit{}, err
	}
	before := jar.clone()
	before.remove(func(s *Session) bool { return slices.Contains(before.Move.Added, s.ID) })
	return Visit{jar: before}, nil
}

// recordUse stores that a session was used, or without a handle that the jar's token was presented.
// The jar or the session may be gone.
func (m *Manager) recordUse(ctx context.Context, u use) error {
	err := m.changeKey(ctx, u.key, func(jar *Jar, at time.Time) (bool, error) {
		if u.handle == "" {
			return jar.Move != nil, nil // dead sessions stay: this is no use of the jar
		}
		m.prune(jar, at)
		i := jar.find(u.handle)
		if i < 0 || !jar.Sessions[i].LastUsedAt.Before(u.at) {
			return false, nil
		}
		jar.Sessions[i].LastUsedAt = u.at
		return true, nil
	})
	if errors.Is(err, errNoJar) || errors.Is(err, ErrUnreadable) {
		return nil
	}
	return err
}

// change is changeKey for a browser: edit sees no dead sessions, and an unreadable jar counts as
// missing, as in Visit.
func (m *Manager) change(ctx context.Context, token Token, edit func(*Jar, time.Time) (bool, error)) error {
	if token.IsZero() {
		return errNoJar
	}
	err := m.changeKey(ctx, token.Key(), func(jar *Jar, at time.Time) (bool, error) {
		m.prune(jar, at)
		return edit(jar, at)
	})
	if errors.Is(err, ErrUnreadable) {
		return errNoJar
	}
	return err
}

// changeKey applies edit to a clone of the jar under key and stores the clone if edit reports a
// change. A jar without sessions is deleted.
// After a conflict, changeKey starts again with the stored jar, so edit may run several times and
// must not depend on earlier runs.
func (m *Manager) changeKey(ctx context.Context, key Key, edit func(*Jar, time.Time) (changed bool, err error)) error {
	defer m.jars.change()()
	for {
		at := m.now()
		old, err := m.jars.load(ctx, key, at)
		if err != nil {
			return err
		}
		jar := old.clone()
		changed, err := edit(jar, at)
		if err != nil || !changed {
			return err
		}
		if len(jar.Sessions) == 0 {
			err = m.jars.delete(ctx, key, old)
		} else {
			err = m.jars.swap(ctx, key, old, key, jar, m.options.jarExpiry(jar))
		}
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
	}
}
