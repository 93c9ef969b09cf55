package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// The bounds of Options. A jar of MaxSessionsLimit sessions stays within what every store takes.
const (
	DefaultMaxSessions = 5
	MaxSessionsLimit   = 50
	DefaultLifetime    = 30 * 24 * time.Hour
	DefaultIdleTimeout = 7 * 24 * time.Hour
)

// Options are the rules that jars live by. They apply to sessions that exist already as well:
// lowering a time ends those that are over it.
type Options struct {
	// MaxSessions is how many sessions a jar holds at most, from 1 to MaxSessionsLimit.
	MaxSessions int

	// RejectAtMax refuses a sign-in to a full jar. Else the least recently used session makes room.
	RejectAtMax bool

	// Lifetime is how long a session lasts at most, however much it is used.
	Lifetime time.Duration

	// IdleTimeout is how long a session lasts without being used. Zero or less means that only
	// Lifetime ends it.
	IdleTimeout time.Duration
}

// Validate names the first option that is out of bounds.
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
	// ErrUnknownHandle reports a handle that names no live session of this jar: unknown, expired,
	// malformed or of another jar, which are not told apart.
	ErrUnknownHandle = errors.New("unknown session handle")

	// ErrFull reports a sign-in to a jar that holds as many sessions as are allowed.
	ErrFull = errors.New("jar holds as many sessions as are allowed")
)

// Manager applies the rules to the jars. There is one for each configuration; all of one store
// share its Jars. Its methods may be called concurrently.
//
// Every change is a compare-and-swap of the whole jar, tried again after a conflict, so that
// concurrent changes of one jar happen one after the other and none is lost.
type Manager struct {
	jars      *Jars
	directory Directory
	options   Options
	now       func() time.Time
	toucher   *toucher
	site      Site // that At was called with
}

// NewManager returns a manager that reads the time from now. Close ends it.
func NewManager(jars *Jars, directory Directory, options Options, now func() time.Time) *Manager {
	m := &Manager{jars: jars, directory: directory, options: options}
	m.now = func() time.Time { return now().UTC().Truncate(time.Millisecond) }
	m.toucher = newToucher(m.recordUse)
	return m
}

// Close writes the uses that are still to be recorded and stops recording. All else goes on
// working, for requests that are under way when a configuration is replaced.
func (m *Manager) Close() { m.toucher.close() }

// Lifetime is how long a session made now lasts at most.
func (m *Manager) Lifetime() time.Duration { return m.options.Lifetime }

// Entry is a live session and who its account is now.
type Entry struct {
	*Session
	Identity *Identity
	Active   bool
}

// Visit is a jar as one request found it. The zero Visit is a browser without a jar. It is not
// changed by what happens to the jar later.
type Visit struct {
	manager *Manager
	key     Key
	jar     *Jar
	at      time.Time
	site    Site

	unconfirmed bool // no session is active at this host; see Unconfirmed
}

// Visit finds the jar of a token. An unknown token, as the zero one, is the zero Visit and no
// error. ErrUnreadable comes with the zero Visit too: that browser is signed out, and the cause is
// worth a line in the log. With any other error nothing is known about the browser.
func (m *Manager) Visit(ctx context.Context, token Token) (Visit, error) {
	if token.IsZero() {
		return Visit{site: m.site}, nil
	}
	key := token.Key()
	jar, err := m.jars.load(ctx, key)
	if errors.Is(err, errNoJar) {
		return Visit{site: m.site}, nil
	}
	if err != nil {
		return Visit{site: m.site}, err
	}
	return Visit{manager: m, key: key, jar: jar.Jar, at: m.now(), site: m.site}, nil
}

// Full reports whether a sign-in of a further account would be ErrFull.
func (m *Manager) Full(v Visit) bool {
	return m.options.RejectAtMax && len(v.Entries()) >= m.options.MaxSessions
}

// Active returns the session that requests are made as. It is false when nobody is signed in, and
// when the active session ended by itself.
func (v Visit) Active() (Entry, bool) {
	active := v.active()
	if active == nil {
		return Entry{}, false
	}
	return v.entry(active, true)
}

// Lapsed returns the session that requests were made as until it ended by its time, so that whoever
// it was can be asked to sign in again. It is false where another end came first, where the account is
// gone, and where nothing is left of it in the jar. The entry is not live: it lets nobody in, and its
// Identity is the recorded one.
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
	return Entry{Session: session, Identity: session.Recorded}, true
}

// Entries returns every live session of the jar in the order of their sign-in.
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

// Without returns the visit as it is once the session with the id has ended.
func (v Visit) Without(id string) Visit {
	if v.jar != nil {
		v.jar = v.jar.clone()
		v.jar.remove(func(s *Session) bool { return s.ID == id })
	}
	return v
}

// Renewed returns the visit as it is once a session of its jar has become s.
func (v Visit) Renewed(s *Session) Visit {
	if v.jar != nil {
		v.jar = v.jar.clone()
		if of := v.jar.byID(s.ID); of != nil {
			*of = *s
		}
	}
	return v
}

// Transient reports whether the browser was asked to forget its jar when it closes.
func (v Visit) Transient() bool { return v.jar != nil && v.jar.Transient }

// JarID is the jar's public id, empty where there is no jar.
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

// entry returns the entry of one of the jar's sessions, and false where the session is dead.
func (v *Visit) entry(session *Session, active bool) (Entry, bool) {
	identity, ok := v.manager.live(session, v.at)
	return Entry{Session: session, Identity: identity, Active: active}, ok
}

// Used tells that a request was made as the entry's session. It returns at once; the use is
// recorded in the background, and only if the last one recorded is some time ago.
func (v Visit) Used(e Entry) {
	if v.at.Sub(e.LastUsedAt) >= v.manager.options.touchInterval() {
		v.manager.toucher.touch(use{v.key, e.Handle, v.at})
	}
}

// live returns who a session's account is now, and false where the session is dead.
func (m *Manager) live(s *Session, at time.Time) (*Identity, bool) {
	if !at.Before(m.options.expiry(s)) {
		return nil, false
	}
	return m.current(s)
}

// current returns who a session's account is now, and false where it is gone.
func (m *Manager) current(s *Session) (*Identity, bool) {
	identity, ok := m.directory.Current(s.Recorded)
	// A directory that answers with somebody else would sign the wrong person in.
	if !ok || identity.Account != s.Recorded.Account {
		return nil, false
	}
	return identity, true
}

// expiry is the instant from which on a session is dead if it is not used again.
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

// jarExpiry is when the last session of a jar ends if none is used again.
func (o Options) jarExpiry(j *Jar) time.Time {
	var last time.Time
	for i := range j.Sessions {
		if end := o.expiry(&j.Sessions[i]); end.After(last) {
			last = end
		}
	}
	return last
}

// prune takes the dead sessions out of a jar that is being changed.
func (m *Manager) prune(j *Jar, at time.Time) {
	j.remove(func(s *Session) bool {
		_, alive := m.live(s, at)
		return !alive
	})
}

// SignedIn is what a sign-in did.
type SignedIn struct {
	Token    Token     // the jar's new token; the old one is dead
	JarID    string    // public
	Entry    Entry     // the new session, which is the active one
	Replaced []Session // the session that the same account had in this jar, if any
	Evicted  []Session // those that made room
}

// SignIn adds a session of the identity's account to the jar of the token, or to a new jar where
// the token is of none, and makes it active. The jar gets a new token, so that one that somebody
// planted or saw before the sign-in is worth nothing after it.
//
// Of two sign-ins that overlap in one browser, the second finds that the token it came with is dead
// and starts a jar of its own. To add its account to the jar that the first one moved would hand
// that jar to whoever knows the old token, which is what the new token is there to prevent.
//
// Errors: ErrFull; a refusal of the identity or the grant, by their Validate or for their size; or the
// store's.
func (m *Manager) SignIn(ctx context.Context, token Token, identity *Identity, grant *Grant, client Client) (SignedIn, error) {
	grant, err := toStore(identity, grant)
	if err != nil {
		return SignedIn{}, err
	}
	next := NewToken()
	for {
		at := m.now()
		key, old, jar, err := m.jarForSignIn(ctx, token, next, at)
		if err != nil {
			return SignedIn{}, err
		}
		m.prune(jar, at)
		switch {
		case len(jar.Sessions) == 0:
			// The store may drop such a jar at any time: it is as good as none.
			jar.Active, jar.Pins = "", nil
		case m.site != "":
			jar.pinAll()
		}
		done := SignedIn{Token: next, JarID: jar.ID}
		done.Replaced = jar.remove(func(s *Session) bool { return s.Recorded.Account == identity.Account })
		if len(jar.Sessions) >= m.options.MaxSessions && m.options.RejectAtMax {
			return SignedIn{}, ErrFull
		}
		for len(jar.Sessions) >= m.options.MaxSessions {
			oldest := jar.leastRecentlyUsed()
			done.Evicted = append(done.Evicted, jar.remove(func(s *Session) bool { return s.Handle == oldest })...)
		}
		session := m.newSession(identity, grant, client, at)
		jar.Transient = client.Transient
		jar.Sessions = append(jar.Sessions, session)
		jar.choose(m.site, &jar.Sessions[len(jar.Sessions)-1])
		done.Entry = Entry{Session: &session, Identity: session.Recorded, Active: true}

		err = m.jars.swap(ctx, key, old, next.Key(), jar, m.options.jarExpiry(jar))
		if errors.Is(err, storage.ErrConflict) {
			continue
		}
		if err != nil {
			return SignedIn{}, err
		}
		return done, nil
	}
}

// toStore refuses what cannot be stored of what a login method says of an account, and returns the
// grant as it is kept.
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

// jarForSignIn returns the jar to add a session to, as a clone or a new one, and what it replaces.
// A jar that cannot be read is left alone; the browser gets a new one.
func (m *Manager) jarForSignIn(ctx context.Context, token, next Token, at time.Time) (Key, storedJar, *Jar, error) {
	if !token.IsZero() {
		key := token.Key()
		old, err := m.jars.load(ctx, key)
		switch {
		case err == nil:
			return key, old, old.clone(), nil
		case !errors.Is(err, errNoJar) && !errors.Is(err, ErrUnreadable):
			return Key{}, storedJar{}, nil, err
		}
	}
	return next.Key(), storedJar{}, &Jar{ID: newName(), CreatedAt: at}, nil
}

// maxUserAgentBytes bounds what is kept of a User-Agent.
const maxUserAgentBytes = 512

func (m *Manager) newSession(identity *Identity, grant *Grant, client Client, at time.Time) Session {
	recorded := *identity
	if recorded.CreatedAt.IsZero() {
		recorded.CreatedAt = at
	}
	if recorded.UpdatedAt.IsZero() {
		recorded.UpdatedAt = at
	}
	if len(client.UserAgent) > maxUserAgentBytes {
		client.UserAgent = client.UserAgent[:maxUserAgentBytes]
	}
	return Session{
		ID:         newName(),
		Handle:     newName(),
		Recorded:   &recorded,
		CreatedAt:  at,
		LastUsedAt: at,
		ExpiresAt:  at.Add(m.options.Lifetime),
		IP:         client.IP,
		UserAgent:  strings.ToValidUTF8(client.UserAgent, ""),
		Grant:      grant,
		Slot:       newName(),
	}
}

// SetActive makes the live session with the handle the active one, and returns it. Else it is
// ErrUnknownHandle, and nothing is written.
func (m *Manager) SetActive(ctx context.Context, token Token, handle string) (Entry, error) {
	var active Entry
	err := m.change(ctx, token, func(jar *Jar, at time.Time) (bool, error) {
		i := jar.find(handle)
		if i < 0 {
			return false, ErrUnknownHandle
		}
		session := jar.Sessions[i]
		identity, alive := m.live(&session, at)
		if !alive {
			// The directory has changed its mind since the jar was pruned, a moment ago.
			return false, ErrUnknownHandle
		}
		if m.site != "" {
			jar.pinAll()
		}
		changed := jar.choose(m.site, &jar.Sessions[i])
		if changed {
			// To switch to a session is to use it, or the one chosen could be the next to be evicted.
			session.LastUsedAt = at
			jar.Sessions[i] = session
		}
		active = Entry{Session: &session, Identity: identity, Active: true}
		return changed, nil
	})
	if errors.Is(err, errNoJar) {
		err = ErrUnknownHandle
	}
	if err != nil {
		return Entry{}, err
	}
	return active, nil
}

// Revoked is what a revocation did.
type Revoked struct {
	Ended    Session
	Promoted *Session // the session that became active in place of the ended one, if any
	Empty    bool     // no session is left, and the jar is gone
}

// Revoke ends the live session with the handle. Where it was the active one, the one used last
// becomes active. A handle of no live session is ErrUnknownHandle, and nothing is written.
func (m *Manager) Revoke(ctx context.Context, token Token, handle string) (Revoked, error) {
	var done Revoked
	err := m.change(ctx, token, func(jar *Jar, _ time.Time) (bool, error) {
		i := jar.find(handle)
		if i < 0 {
			return false, ErrUnknownHandle
		}
		done = Revoked{Ended: jar.Sessions[i]}
		if m.site != "" {
			jar.pinAll()
		}
		wasActive := jar.activeAt(m.site) == &jar.Sessions[i]
		jar.remove(func(s *Session) bool { return s.Handle == handle })
		if wasActive && len(jar.Sessions) > 0 {
			next := &jar.Sessions[jar.find(jar.mostRecentlyUsed())]
			jar.choose(m.site, next)
			promoted := *next
			done.Promoted = &promoted
		}
		done.Empty = len(jar.Sessions) == 0
		return true, nil
	})
	if errors.Is(err, errNoJar) {
		err = ErrUnknownHandle
	}
	if err != nil {
		return Revoked{}, err
	}
	return done, nil
}

// SignOut ends every session of the jar, and returns those that were live. A token of no jar is no
// error: the browser is signed out already.
func (m *Manager) SignOut(ctx context.Context, token Token) ([]Session, error) {
	var ended []Session
	var jarID string
	all := func(jar *Jar, _ time.Time) (bool, error) {
		ended, jarID = jar.Sessions, jar.ID
		jar.Sessions, jar.Active = nil, ""
		return true, nil
	}
	err := m.change(ctx, token, all)
	if errors.Is(err, errNoJar) && jarID != "" {
		// A sign-in overlapped and moved the jar to a new token. The sessions that this call has
		// seen must end all the same, or they would outlive a sign-out that was acknowledged.
		seen := make(map[string]bool, len(ended))
		for _, s := range ended {
			seen[s.Handle] = true
		}
		_, err = m.End(ctx, Selection{Jar: jarID}, func(s *Session) bool { return !seen[s.Handle] })
	}
	if errors.Is(err, errNoJar) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return ended, nil
}

// recordUse writes down that a session was used. The jar or the session may be gone by now.
func (m *Manager) recordUse(ctx context.Context, u use) error {
	err := m.changeKey(ctx, u.key, func(jar *Jar, at time.Time) (bool, error) {
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

// change is changeKey for a browser: edit sees no dead sessions, and a jar that cannot be read is
// none, as it is to Visit.
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

// changeKey applies edit to a clone of the jar under key, and stores it if edit says that it changed
// it; edit leaves no dead sessions in what it changes, and a jar without sessions is deleted. After
// a conflict it begins again with what is stored then, so edit may run several times and must start
// from nothing each.
func (m *Manager) changeKey(ctx context.Context, key Key, edit func(*Jar, time.Time) (changed bool, err error)) error {
	for {
		old, err := m.jars.load(ctx, key)
		if err != nil {
			return err
		}
		at := m.now()
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
