package session

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/caddy-multi-session/gateway/storage"
)

var ctx = context.Background()

func TestOptionsValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
		ok     bool
	}{
		{"defaults", func(*Options) {}, true},
		{"one session", func(o *Options) { o.MaxSessions = 1 }, true},
		{"most sessions", func(o *Options) { o.MaxSessions = MaxSessionsLimit }, true},
		{"no sessions", func(o *Options) { o.MaxSessions = 0 }, false},
		{"too many sessions", func(o *Options) { o.MaxSessions = MaxSessionsLimit + 1 }, false},
		{"a second", func(o *Options) { o.Lifetime, o.IdleTimeout = time.Second, time.Second }, true},
		{"no lifetime", func(o *Options) { o.Lifetime = 0 }, false},
		{"lifetime below a second", func(o *Options) { o.Lifetime = time.Second - 1 }, false},
		{"no idle timeout", func(o *Options) { o.IdleTimeout = 0 }, true},
		{"idle timeout off", func(o *Options) { o.IdleTimeout = -1 }, true},
		{"idle timeout below a second", func(o *Options) { o.IdleTimeout = time.Second - 1 }, false},
	} {
		o := defaults()
		c.change(&o)
		if err := o.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: Validate = %v, want it accepted: %t", c.name, err, c.ok)
		}
	}
}

func TestSignIn(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		at := epoch.Add(1500 * time.Microsecond)
		w.clock.advance(1500 * time.Microsecond)
		id := person("alice")
		done, err := w.SignIn(ctx, Token{}, id, nil, Client{IP: "192.0.2.1", UserAgent: "UA/1"})
		if err != nil {
			w.Fatal(err)
		}
		ms := at.Truncate(time.Millisecond)
		s := done.Entry.Session
		if s.ID == "" || s.Handle == "" || s.ID == s.Handle || s.Handle == done.JarID || s.ID == done.JarID {
			w.Errorf("names %q, %q and jar %q: want three", s.ID, s.Handle, done.JarID)
		}
		if s.IP != "192.0.2.1" || s.UserAgent != "UA/1" || !s.CreatedAt.Equal(ms) || !s.LastUsedAt.Equal(ms) || !s.ExpiresAt.Equal(ms.Add(DefaultLifetime)) {
			w.Errorf("session is %+v", s)
		}
		if !done.Entry.Active || len(done.Replaced)+len(done.Evicted) != 0 || done.Token.IsZero() {
			w.Errorf("sign-in did %+v", done)
		}
		w.want(done.Token, "alice*")

		// What the sign-in says of the account is what the next request says of it.
		entry, _ := w.visit(done.Token).Active()
		if got := done.Entry.Identity; !got.CreatedAt.Equal(ms) || !got.UpdatedAt.Equal(ms) || !got.CreatedAt.Equal(entry.Identity.CreatedAt) {
			w.Errorf("account made at %s by the sign-in and %s by the next request, want %s", got.CreatedAt, entry.Identity.CreatedAt, ms)
		}
		if !id.CreatedAt.IsZero() {
			w.Error("the caller's identity was changed")
		}
		if w.visit(done.Token).JarID() != done.JarID {
			w.Error("the jar's id is another one at the next request")
		}
	})
}

func TestSignInKeepsWhatTheMethodKnows(t *testing.T) {
	w := newWorld(t, defaults())
	id := person("alice")
	id.CreatedAt, id.UpdatedAt = epoch.Add(-time.Hour), epoch.Add(-time.Minute)
	done, err := w.SignIn(ctx, Token{}, id, nil, Client{})
	if err != nil {
		t.Fatal(err)
	}
	if got := done.Entry.Identity; !got.CreatedAt.Equal(id.CreatedAt) || !got.UpdatedAt.Equal(id.UpdatedAt) {
		t.Errorf("account made at %s, changed at %s", got.CreatedAt, got.UpdatedAt)
	}
}

func TestSignInRefusesIdentities(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	was := w.stored(token)
	bad := person("mallory")
	bad.UserName = "mallory\r\nRemote-User: admin"
	if _, err := w.SignIn(ctx, token, bad, nil, Client{}); err == nil {
		t.Error("signed in")
	}
	w.unchanged(token, was)
}

func TestUserAgentIsBounded(t *testing.T) {
	w := newWorld(t, defaults())
	for _, c := range []struct{ name, ua, want string }{
		{"long", strings.Repeat("x", 2000), strings.Repeat("x", maxUserAgentBytes)},
		{"cut within a character", strings.Repeat("x", maxUserAgentBytes-1) + "é", strings.Repeat("x", maxUserAgentBytes-1)},
		{"not UTF-8", "a\xff\xfeb", "ab"},
		{"none", "", ""},
	} {
		done, err := w.SignIn(ctx, Token{}, person("alice"), nil, Client{UserAgent: c.ua})
		if err != nil {
			t.Fatal(err)
		}
		if got := done.Entry.UserAgent; got != c.want || !utf8.ValidString(got) {
			t.Errorf("%s: recorded %q", c.name, got)
		}
	}
}

func TestLifetimes(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name           string
		lifetime, idle time.Duration
		useAt          time.Duration // zero for no use
		ends           time.Duration // after sign-in
	}{
		{"absolute", time.Hour, 0, 0, time.Hour},
		{"absolute, idle off", time.Hour, -1, 0, time.Hour},
		{"idle", time.Hour, 10 * time.Minute, 0, 10 * time.Minute},
		{"idle longer than absolute", time.Hour, 2 * time.Hour, 0, time.Hour},
		{"use extends idle", time.Hour, 10 * time.Minute, 5 * time.Minute, 15 * time.Minute},
		{"use at the last moment", time.Hour, 10 * time.Minute, 10*time.Minute - ms, 20*time.Minute - ms},
		{"use does not extend absolute", time.Hour, 50 * time.Minute, 40 * time.Minute, time.Hour},
		{"use too soon to be recorded", time.Hour, 1000 * time.Second, 10*time.Second - ms, 1000 * time.Second},
		{"use late enough to be recorded", time.Hour, 1000 * time.Second, 10 * time.Second, 1010 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := defaults()
			options.Lifetime, options.IdleTimeout = c.lifetime, c.idle
			everyWorld(t, options, func(w *world) {
				token, handles := w.browser("alice")
				if c.useAt > 0 {
					w.clock.advance(c.useAt)
					v := w.visit(token)
					e, ok := v.Active()
					if !ok {
						w.Fatal("not signed in at the time of use")
					}
					v.Used(e)
					w.Close() // waits for it to be recorded
					w.reload(options)
				}
				w.clock.advance(c.ends - c.useAt - ms)
				w.want(token, "alice*")
				before := w.visit(token)
				w.clock.advance(ms)
				w.want(token, "")
				if _, ok := before.Active(); !ok {
					w.Error("a visit changed with time; it is of the moment that it was made")
				}
				if _, err := w.SetActive(ctx, token, handles["alice"]); !errors.Is(err, ErrUnknownHandle) {
					w.Errorf("SetActive of a dead session: %v", err)
				}
				if _, err := w.Revoke(ctx, token, handles["alice"]); !errors.Is(err, ErrUnknownHandle) {
					w.Errorf("Revoke of a dead session: %v", err)
				}
			})
		})
	}
}

// However much it is used, and whatever else happens to the jar, a session ends at its time.
func TestAbsoluteLifetimeIsNeverExtended(t *testing.T) {
	options := defaults()
	options.Lifetime, options.IdleTimeout = 10*time.Hour, time.Hour
	w := newWorld(t, options)
	done := w.signIn(Token{}, "alice")
	token, alice := done.Token, done.Entry.Handle
	for i := range 19 {
		w.clock.advance(30 * time.Minute)
		v := w.visit(token)
		e, ok := v.Active()
		if !ok {
			t.Fatalf("signed out after %d half hours", i+1)
		}
		v.Used(e)
		w.Close()
		w.reload(options)
		if _, err := w.SetActive(ctx, token, alice); err != nil {
			t.Fatal(err)
		}
		if i == 10 {
			token = w.signIn(token, "bob").Token
			if _, err := w.SetActive(ctx, token, alice); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.clock.advance(30*time.Minute - time.Millisecond)
	if i := w.stored(token).find(alice); i < 0 || !w.stored(token).Sessions[i].ExpiresAt.Equal(epoch.Add(10*time.Hour)) {
		t.Error("the time of its end was changed")
	}
	if _, ok := w.visit(token).Active(); !ok {
		t.Error("ended before its time")
	}
	w.clock.advance(time.Millisecond)
	if _, ok := w.visit(token).Active(); ok {
		t.Error("outlived its time")
	}
}

func TestLoweredTimesEndSessions(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	w.clock.advance(time.Hour)
	w.want(token, "alice*")
	lower := defaults()
	lower.Lifetime = time.Hour
	w.reload(lower)
	w.want(token, "")
	lower = defaults()
	lower.IdleTimeout = time.Hour
	w.reload(lower)
	w.want(token, "")
	lower.IdleTimeout += time.Millisecond
	w.reload(lower)
	w.want(token, "alice*")
}

func TestRaisedLifetimeDoesNotExtend(t *testing.T) {
	options := defaults()
	options.Lifetime, options.IdleTimeout = time.Hour, 0
	w := newWorld(t, options)
	token, _ := w.browser("alice")
	w.reload(Options{MaxSessions: 5, Lifetime: 100 * time.Hour})
	w.clock.advance(time.Hour)
	w.want(token, "")
}

func TestSameAccountReplacesItsSession(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		token, handles := w.browser("alice", "bob")
		old := w.stored(token).Sessions[0]
		done := w.signIn(token, "alice")
		w.want(done.Token, "bob alice*")
		if len(done.Replaced) != 1 || done.Replaced[0].Handle != handles["alice"] || len(done.Evicted) != 0 {
			w.Errorf("replaced %v, evicted %v; want the first session of alice replaced", done.Replaced, done.Evicted)
		}
		if done.Entry.Handle == old.Handle || done.Entry.ID == old.ID {
			w.Error("the new session has a name of the old one")
		}
		if _, err := w.SetActive(ctx, done.Token, old.Handle); !errors.Is(err, ErrUnknownHandle) {
			w.Errorf("the old handle still works: %v", err)
		}
		w.want(w.signIn(done.Token, "alice").Token, "bob alice*")
	})
}

// An e-mail address is not an identity: two methods that tell the same one are two accounts.
func TestAccountsOfTwoMethodsAreTwo(t *testing.T) {
	w := newWorld(t, defaults())
	first := w.signIn(Token{}, "alice")
	id := person("alice")
	id.Account.Method = "google"
	done, err := w.SignIn(ctx, first.Token, id, nil, Client{})
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Replaced) != 0 || len(w.visit(done.Token).Entries()) != 2 {
		t.Errorf("replaced %v, left are %s", done.Replaced, names(w.visit(done.Token)))
	}
}

func TestEvict(t *testing.T) {
	options := defaults()
	options.MaxSessions = 3
	everyWorld(t, options, func(w *world) {
		token, handles := w.browser("alice", "bob", "carol")
		w.clock.advance(time.Minute)
		if _, err := w.SetActive(ctx, token, handles["alice"]); err != nil {
			w.Fatal(err)
		}
		w.clock.advance(time.Minute)
		done := w.signIn(token, "dave")
		w.want(done.Token, "alice carol dave*")
		if len(done.Evicted) != 1 || done.Evicted[0].Handle != handles["bob"] {
			w.Errorf("evicted %v, want bob, who was used least recently", done.Evicted)
		}
	})
	t.Run("all in one millisecond", func(t *testing.T) {
		w := newWorld(t, options)
		var token Token
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			token = w.signIn(token, name).Token
		}
		w.want(token, "c d e*")
	})
	t.Run("clock set back", func(t *testing.T) {
		w := newWorld(t, options)
		token, _ := w.browser("a", "b", "c")
		w.clock.advance(-time.Hour)
		done := w.signIn(token, "d")
		w.want(done.Token, "b c d*")
	})
	t.Run("most lowered", func(t *testing.T) {
		w := newWorld(t, options)
		token, _ := w.browser("a", "b", "c")
		w.want(token, "a b c*")
		options.MaxSessions = 1
		w.reload(options)
		done := w.signIn(token, "d")
		w.want(done.Token, "d*")
		if len(done.Evicted) != 3 {
			t.Errorf("evicted %d, want 3", len(done.Evicted))
		}
	})
}

func TestReject(t *testing.T) {
	options := defaults()
	options.MaxSessions, options.RejectAtMax = 2, true
	everyWorld(t, options, func(w *world) {
		token, _ := w.browser("alice", "bob")
		was := w.stored(token)
		if _, err := w.SignIn(ctx, token, person("carol"), nil, Client{}); !errors.Is(err, ErrFull) {
			w.Errorf("sign-in to a full jar: %v, want ErrFull", err)
		}
		w.unchanged(token, was)
		w.want(token, "alice bob*")

		done := w.signIn(token, "alice") // replaces, so there is room
		w.want(done.Token, "bob alice*")

		w.people.setGone(true, person("bob").Account) // the dead take no room
		done = w.signIn(done.Token, "carol")
		w.want(done.Token, "alice carol*")
		if len(done.Evicted) != 0 {
			w.Errorf("evicted %v", done.Evicted)
		}
	})
}

func TestSetActive(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		token, handles := w.browser("alice", "bob")
		w.clock.advance(time.Minute)
		e, err := w.SetActive(ctx, token, handles["alice"])
		if err != nil || !e.Active || e.Identity.UserName != "alice" || e.Handle != handles["alice"] || !e.LastUsedAt.Equal(w.clock.now()) {
			w.Errorf("SetActive = %+v, %v", e, err)
		}
		w.want(token, "alice* bob")
		was := w.stored(token)
		if e, err = w.SetActive(ctx, token, handles["alice"]); err != nil || e.Identity == nil || !e.Active {
			w.Errorf("SetActive of the active one = %+v, %v", e, err)
		}
		w.unchanged(token, was)
	})
}

func TestSetActiveAfterTheActiveOneDied(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob")
	w.people.setGone(true, person("bob").Account)
	w.want(token, "alice")
	if _, err := w.SetActive(ctx, token, handles["alice"]); err != nil {
		t.Fatal(err)
	}
	w.want(token, "alice*")
}

// Whatever names no live session of this very jar gets one answer, and changes nothing.
func TestForeignHandlesChangeNothing(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		other, foreign := w.browser("alice")
		old := w.signIn(Token{}, "bob")
		w.clock.advance(DefaultIdleTimeout - 1)
		token := old.Token
		done := w.signIn(token, "carol")
		again := w.signIn(done.Token, "dave")
		w.people.setGone(true, person("dave").Account)
		w.clock.advance(1) // bob has expired
		jar, otherJar := w.stored(again.Token), w.stored(other)

		for _, c := range []struct {
			name   string
			token  Token
			handle string
		}{
			{"unknown", again.Token, "nobody"},
			{"empty", again.Token, ""},
			{"of another jar", again.Token, foreign["alice"]},
			{"expired", again.Token, old.Entry.Handle},
			{"account is gone", again.Token, again.Entry.Handle},
			{"session id", again.Token, done.Entry.ID},
			{"jar id", again.Token, done.JarID},
			{"token", again.Token, again.Token.Reveal()},
			{"other case", again.Token, strings.ToUpper(done.Entry.Handle)},
			{"prefix", again.Token, done.Entry.Handle[:21]},
			{"with a space", again.Token, done.Entry.Handle + " "},
			{"account id", again.Token, "password:carol"},
			{"without a jar", Token{}, done.Entry.Handle},
			{"with an unknown token", NewToken(), done.Entry.Handle},
			{"with the token before", token, done.Entry.Handle},
		} {
			if e, err := w.SetActive(ctx, c.token, c.handle); !errors.Is(err, ErrUnknownHandle) || e != (Entry{}) {
				w.Errorf("%s: SetActive = %v, %v; want ErrUnknownHandle alone", c.name, e, err)
			}
			if r, err := w.Revoke(ctx, c.token, c.handle); !errors.Is(err, ErrUnknownHandle) || r != (Revoked{}) {
				w.Errorf("%s: Revoke = %v, %v; want ErrUnknownHandle alone", c.name, r, err)
			}
		}
		w.unchanged(again.Token, jar)
		w.unchanged(other, otherJar)
	})
}

// changeable is a directory that says somebody is gone from its nth answer about them on.
type changeable struct {
	Directory
	left int
}

func (c *changeable) Current(recorded *Identity) (*Identity, bool) {
	if c.left--; c.left < 0 {
		return nil, false
	}
	return c.Directory.Current(recorded)
}

// An account that is disabled in the middle of a switch must not leave an entry without identity.
func TestAccountGoesWhileSwitchedTo(t *testing.T) {
	for answers := range 5 {
		w := newWorld(t, defaults())
		token, handles := w.browser("alice", "bob")
		w.directory = &changeable{w.people, answers}
		e, err := w.SetActive(ctx, token, handles["alice"])
		if err == nil && e.Identity == nil {
			t.Errorf("after %d answers: switched to nobody", answers)
		}
		if err != nil && !errors.Is(err, ErrUnknownHandle) {
			t.Errorf("after %d answers: %v", answers, err)
		}
	}
}

func TestRevoke(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		token, handles := w.browser("alice", "bob", "carol")

		done, err := w.Revoke(ctx, token, handles["alice"])
		if err != nil || done.Ended.Handle != handles["alice"] || done.Promoted != nil || done.Empty {
			w.Errorf("revoking one that is not active: %+v, %v", done, err)
		}
		w.want(token, "bob carol*")

		done, err = w.Revoke(ctx, token, handles["carol"])
		if err != nil || done.Promoted == nil || done.Promoted.Handle != handles["bob"] || done.Empty {
			w.Errorf("revoking the active one: %+v, %v; want bob promoted", done, err)
		}
		w.want(token, "bob*")

		if _, err = w.Revoke(ctx, token, handles["carol"]); !errors.Is(err, ErrUnknownHandle) {
			w.Errorf("revoking it again: %v", err)
		}
		done, err = w.Revoke(ctx, token, handles["bob"])
		if err != nil || done.Promoted != nil || !done.Empty {
			w.Errorf("revoking the last one: %+v, %v; want the jar to be gone", done, err)
		}
		if w.stored(token).Jar != nil {
			w.Error("the empty jar is still stored")
		}
		w.want(token, "")
		if w.visit(token).JarID() != "" {
			w.Error("the jar is gone, and still has an id")
		}
	})
}

func TestRevokePromotesTheOneUsedLast(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob", "carol", "dave")
	for _, name := range []string{"bob", "alice", "dave"} {
		w.clock.advance(time.Minute)
		if _, err := w.SetActive(ctx, token, handles[name]); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct{ revoke, left string }{
		{"dave", "alice* bob carol"},
		{"alice", "bob* carol"},
		{"bob", "carol*"},
	} {
		if _, err := w.Revoke(ctx, token, handles[step.revoke]); err != nil {
			t.Fatal(err)
		}
		w.want(token, step.left)
	}

	t.Run("of one millisecond the one signed in last", func(t *testing.T) {
		w := newWorld(t, defaults())
		var done SignedIn
		for _, name := range []string{"alice", "bob", "carol"} {
			done = w.signIn(done.Token, name)
		}
		if _, err := w.Revoke(ctx, done.Token, done.Entry.Handle); err != nil {
			t.Fatal(err)
		}
		w.want(done.Token, "alice bob*")
	})
	t.Run("never a dead one", func(t *testing.T) {
		w := newWorld(t, defaults())
		token, handles := w.browser("alice", "bob", "carol")
		w.people.setGone(true, person("bob").Account)
		if _, err := w.Revoke(ctx, token, handles["carol"]); err != nil {
			t.Fatal(err)
		}
		w.want(token, "alice*")
	})
}

// Nobody becomes somebody else without having chosen it.
func TestNoPromotionWhenTheActiveOneDies(t *testing.T) {
	bob := person("bob").Account
	for _, c := range []struct {
		name string
		die  func(*world)
	}{
		{"account is gone", func(w *world) { w.people.setGone(true, bob) }},
		{"directory answers with somebody else", func(w *world) { w.people.become(bob, person("alice")) }},
		{"administrator", func(w *world) {
			if n, err := w.EndAccount(ctx, bob, w.clock.now().Add(time.Millisecond)); n != 1 || err != nil {
				w.Fatalf("EndAccount = %d, %v", n, err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyWorld(t, defaults(), func(w *world) {
				token, handles := w.browser("alice", "carol", "bob")
				c.die(w)
				w.want(token, "alice carol")
				if _, err := w.Revoke(ctx, token, handles["carol"]); err != nil {
					w.Fatal(err)
				}
				w.want(token, "alice")
				w.restart(defaults())
				w.want(token, "alice")
			})
		})
	}
	t.Run("expiry", func(t *testing.T) {
		w := newWorld(t, defaults())
		token, handles := w.browser("bob")
		w.clock.advance(DefaultIdleTimeout - time.Minute)
		token2 := w.signIn(token, "alice").Token
		if _, err := w.SetActive(ctx, token2, handles["bob"]); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(DefaultIdleTimeout - time.Minute)
		v := w.visit(token2)
		v.Used(v.Entries()[1]) // alice, not the active one, is used and stays
		w.Close()
		w.reload(defaults())
		w.clock.advance(time.Minute)
		w.want(token2, "alice")
		w.want(w.signIn(token2, "dave").Token, "alice dave*")
	})
	t.Run("and comes back", func(t *testing.T) {
		w := newWorld(t, defaults())
		token, _ := w.browser("alice", "bob")
		w.people.setGone(true, bob)
		w.want(token, "alice")
		w.people.setGone(false, bob)
		w.want(token, "alice bob*") // nothing was written meanwhile
	})
}

// Somebody whose time is over can be asked to sign in again. That is no sign-in.
func TestLapsed(t *testing.T) {
	alice := person("alice").Account
	for name, c := range map[string]struct {
		end  func(w *world, token Token, handles map[string]string)
		want string
	}{
		"nothing":         {func(*world, Token, map[string]string) {}, ""},
		"idle":            {func(w *world, _ Token, _ map[string]string) { w.clock.advance(DefaultIdleTimeout) }, "alice"},
		"a moment before": {func(w *world, _ Token, _ map[string]string) { w.clock.advance(DefaultIdleTimeout - time.Millisecond) }, ""},
		"gone":            {func(w *world, _ Token, _ map[string]string) { w.people.setGone(true, alice) }, ""},
		"somebody else": {func(w *world, _ Token, _ map[string]string) {
			w.people.become(alice, person("mallory"))
			w.clock.advance(DefaultIdleTimeout)
		}, ""},
		"idle, then gone": {func(w *world, _ Token, _ map[string]string) {
			w.clock.advance(DefaultIdleTimeout)
			w.people.setGone(true, alice)
		}, ""},
		"revoked": {func(w *world, token Token, h map[string]string) { _, _ = w.Revoke(ctx, token, h["alice"]) }, ""},
		"ended":   {func(w *world, _ Token, _ map[string]string) { _, _ = w.End(ctx, Selection{Account: alice}, nil) }, ""},
		"switched before": {func(w *world, token Token, h map[string]string) {
			_, _ = w.SetActive(ctx, token, h["bob"])
			w.clock.advance(DefaultIdleTimeout)
		}, "bob"},
		"name has changed": {func(w *world, _ Token, _ map[string]string) {
			w.people.become(alice, &Identity{Account: alice, UserName: "alicia"})
			w.clock.advance(DefaultIdleTimeout)
		}, "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, defaults())
			token, handles := w.browser("bob", "alice")
			c.end(w, token, handles)
			v := w.visit(token)
			e, ok := v.Lapsed()
			if ok != (c.want != "") || ok && e.Identity.UserName != c.want {
				t.Fatalf("Lapsed = %+v, %t; want %q", e.Identity, ok, c.want)
			}
			if !ok {
				return
			}
			if e.Active || e.Identity != e.Recorded || e.Handle != handles[c.want] {
				t.Errorf("the entry is %+v", e)
			}
			if _, ok := v.Active(); ok {
				t.Error("somebody is active")
			}
		})
	}
	if e, ok := (Visit{}).Lapsed(); ok {
		t.Errorf("of no jar: %+v", e)
	}
}

// Once the jar is changed, what had ended in it is gone.
func TestLapsedIsForgottenWithTheNextChange(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("bob", "alice")
	w.clock.advance(DefaultIdleTimeout / 2)
	if err := w.recordUse(ctx, use{token.Key(), handles["bob"], w.clock.now()}); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(DefaultIdleTimeout / 2)
	if e, ok := w.visit(token).Lapsed(); !ok || e.Identity.UserName != "alice" {
		t.Fatalf("Lapsed = %+v, %t", e.Identity, ok)
	}
	w.want(token, "bob")
	token = w.signIn(token, "carol").Token
	if e, ok := w.visit(token).Lapsed(); ok {
		t.Errorf("Lapsed = %+v", e.Identity)
	}
}

func TestDirectoryIsAskedEachTime(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	promoted := person("alice")
	promoted.Groups = []string{"admin"}
	w.people.become(promoted.Account, promoted)
	e, ok := w.visit(token).Active()
	if !ok || !slices.Equal(e.Identity.Groups, promoted.Groups) {
		t.Errorf("groups are %v, want those of now", e.Identity)
	}
	impostor := person("alice")
	impostor.Account.Method = "google"
	w.people.become(promoted.Account, impostor)
	w.want(token, "")
}

func TestTokenRotates(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		first := w.signIn(Token{}, "alice")
		w.want(first.Token, "alice*")
		second := w.signIn(first.Token, "bob")
		if second.Token == first.Token || second.JarID != first.JarID {
			w.Error("want a new token for the same jar")
		}
		w.want(first.Token, "")
		w.want(second.Token, "alice bob*")
		if w.stored(first.Token).Jar != nil {
			w.Error("the jar is still stored under the old token")
		}
		if _, err := w.SetActive(ctx, first.Token, first.Entry.Handle); !errors.Is(err, ErrUnknownHandle) {
			w.Errorf("the old token switches: %v", err)
		}
		if ended, err := w.SignOut(ctx, first.Token, Visit{}); err != nil || len(ended) != 0 {
			w.Errorf("the old token signs out %v, %v", ended, err)
		}
		third := w.signIn(first.Token, "mallory") // finds nothing to add to
		w.want(third.Token, "mallory*")
		w.want(second.Token, "alice bob*")
		if third.JarID == second.JarID {
			w.Error("the old token led to the jar")
		}
	})
}

func TestUnknownTokenMakesANewJar(t *testing.T) {
	w := newWorld(t, defaults())
	zeros, err := ParseToken(strings.Repeat("A", TokenLength))
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]Token{"zero": {}, "unknown": NewToken(), "of zero bits": zeros} {
		done := w.signIn(token, "alice")
		if done.Token == token {
			t.Errorf("%s: the jar got the token that the browser came with", name)
		}
		w.want(done.Token, "alice*")
		w.want(token, "")
	}
	if n := len(w.mem.snapshot(t)); n != 3 {
		t.Errorf("%d jars, want one for each sign-in", n)
	}
}

func TestSignOut(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		other, _ := w.browser("alice")
		token, _ := w.browser("alice", "bob", "carol")
		w.people.setGone(true, person("bob").Account)
		ended, err := w.SignOut(ctx, token, Visit{})
		if err != nil || len(ended) != 2 {
			w.Errorf("SignOut = %v, %v; want the two that were live", ended, err)
		}
		w.want(token, "")
		w.want(other, "alice*")
		if w.stored(token).Jar != nil {
			w.Error("the jar is still stored")
		}
		for name, token := range map[string]Token{"again": token, "zero": {}, "unknown": NewToken()} {
			if ended, err := w.SignOut(ctx, token, Visit{}); err != nil || len(ended) != 0 {
				w.Errorf("%s: SignOut = %v, %v; want nothing", name, ended, err)
			}
		}
	})
}

// A sign-in moves the jar in the middle of a sign-out that has already seen it.
func TestSignOutEndsWhatItSawInAMovedJar(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice", "bob")
	reached, release := w.mem.pause(&w.mem.before, "delete")
	out := make(chan error)
	go func() {
		ended, err := w.SignOut(ctx, token, Visit{})
		if len(ended) != 2 {
			err = errors.Join(err, errors.New("did not tell of the two sessions it ended"))
		}
		out <- err
	}()
	<-reached
	done := w.signIn(token, "carol")
	release()
	if err := <-out; err != nil {
		t.Fatal(err)
	}
	w.want(done.Token, "carol*")
}

// The jar moves once more, between the search for it and the change.
func TestSignOutEndsWhatItSawInAJarThatMovesOn(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice", "bob")
	deleting, goOn := w.mem.pause(&w.mem.before, "delete")
	found, goOnFromFind := w.mem.pause(&w.mem.after, "find")
	out := make(chan error)
	go func() {
		_, err := w.SignOut(ctx, token, Visit{})
		out <- err
	}()
	<-deleting
	first := w.signIn(token, "carol")
	goOn()
	<-found
	second := w.signIn(first.Token, "dave")
	goOnFromFind()
	if err := <-out; err != nil {
		t.Fatal(err)
	}
	w.want(second.Token, "carol dave*")
}

func TestEndAccount(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		a, _ := w.browser("alice", "bob")
		b, _ := w.browser("bob")
		c, _ := w.browser("alice")
		w.clock.advance(time.Minute)
		cutoff := w.clock.now()
		d, _ := w.browser("bob", "carol") // bob at the cutoff itself

		n, err := w.EndAccount(ctx, person("bob").Account, cutoff)
		if n != 2 || err != nil {
			w.Errorf("EndAccount = %d, %v; want 2", n, err)
		}
		w.want(a, "alice")
		w.want(b, "")
		w.want(c, "alice*")
		w.want(d, "bob carol*")
		if w.stored(b).Jar != nil {
			w.Error("the empty jar is still stored")
		}
		if n, err := w.EndAccount(ctx, person("bob").Account, cutoff); n != 0 || err != nil {
			w.Errorf("again: EndAccount = %d, %v; want 0", n, err)
		}
		if n, err := w.EndAccount(ctx, Account{"google", "carol"}, w.clock.now().Add(time.Hour)); n != 0 || err != nil {
			w.Errorf("account of another method: EndAccount = %d, %v; want 0", n, err)
		}
		if n, err := w.EndAccount(ctx, person("bob").Account, cutoff.Add(time.Millisecond)); n != 1 || err != nil {
			w.Errorf("later cutoff: EndAccount = %d, %v; want 1", n, err)
		}
		w.want(d, "carol*")
	})
}

func TestEndAccountInManyJars(t *testing.T) {
	w := newWorld(t, defaults())
	for range 2*findPage + 1 {
		w.signIn(Token{}, "alice")
	}
	w.signIn(Token{}, "bob")
	w.clock.advance(time.Second)
	if n, err := w.EndAccount(ctx, person("alice").Account, w.clock.now()); n != 2*findPage+1 || err != nil {
		t.Errorf("EndAccount = %d, %v; want %d", n, err, 2*findPage+1)
	}
	if n := len(w.mem.snapshot(t)); n != 1 {
		t.Errorf("%d jars are left, want bob's", n)
	}
}

// The user signs in with another account just as the administrator ends this one: the jar is not
// where it was found any more, and its session must end there too.
func TestEndAccountInAJarThatMoves(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	w.clock.advance(time.Second)
	found, release := w.mem.pause(&w.mem.after, "find")
	type result struct {
		n   int
		err error
	}
	out := make(chan result)
	go func() {
		n, err := w.EndAccount(ctx, person("alice").Account, w.clock.now())
		out <- result{n, err}
	}()
	<-found
	done := w.signIn(token, "bob")
	release()
	if r := <-out; r.n != 1 || r.err != nil {
		t.Errorf("EndAccount = %d, %v; want 1", r.n, r.err)
	}
	w.want(done.Token, "bob*")
}

// With more jars than a page has, a jar can move to where the search has been already.
func TestEndAccountInAJarThatMovesBehindTheSearch(t *testing.T) {
	w := newWorld(t, defaults())
	tokens := make(map[string]Token)
	for range findPage + 1 {
		token := w.signIn(Token{}, "alice").Token
		tokens[token.Key().storeKey()] = token
	}
	w.clock.advance(time.Second)
	var last string
	for key := range tokens {
		last = max(last, key)
	}
	found, release := w.mem.pause(&w.mem.after, "find")
	out := make(chan error)
	go func() {
		_, err := w.EndAccount(ctx, person("alice").Account, w.clock.now())
		out <- err
	}()
	<-found // the first page; the last jar is on the second
	first := last
	for key := range tokens {
		first = min(first, key)
	}
	token := tokens[last]
	for token.Key().storeKey() > first {
		token = w.signIn(token, "bob").Token
	}
	release()
	if err := <-out; err != nil {
		t.Fatal(err)
	}
	w.want(token, "bob*")
}

// A store whose index lists what it does not have must not keep the search going for ever.
func TestEndAccountEndsDespiteAStaleIndex(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	w.clock.advance(time.Second)
	w.jars = NewJars(staleIndex{w.store, token.Key().storeKey()})
	w.reload(defaults())
	if n, err := w.EndAccount(ctx, person("alice").Account, w.clock.now()); n != 1 || err != nil {
		t.Errorf("EndAccount = %d, %v; want 1", n, err)
	}
}

type staleIndex struct {
	storage.Store
	key string
}

func (s staleIndex) Find(context.Context, string, string, int) ([]string, error) {
	return []string{s.key}, nil
}

func TestStoreErrorsAreTold(t *testing.T) {
	broken := errors.New("broken")
	for _, op := range []string{"get", "swap", "delete", "find"} {
		w := newWorld(t, defaults())
		token, handles := w.browser("alice", "bob")
		single, alone := w.browser("carol")
		w.restart(defaults())
		w.mem.before = func(_ context.Context, c call) error {
			if c.op == op {
				return broken
			}
			return nil
		}
		was := w.mem.snapshot(t)
		_, visitErr := w.Visit(ctx, token)
		_, signInErr := w.SignIn(ctx, token, person("dave"), nil, Client{})
		_, setErr := w.SetActive(ctx, token, handles["alice"])
		_, revokeErr := w.Revoke(ctx, single, alone["carol"])
		_, endErr := w.EndAccount(ctx, person("nobody").Account, w.clock.now())
		for _, c := range []struct {
			name string
			err  error
			ops  string
		}{
			{"Visit", visitErr, "get"},
			{"SignIn", signInErr, "get swap"},
			{"SetActive", setErr, "get swap"},
			{"Revoke", revokeErr, "get delete"},
			{"EndAccount", endErr, "find"},
		} {
			if want := strings.Contains(c.ops, op); errors.Is(c.err, broken) != want {
				t.Errorf("%s is broken: %s returned %v, want the error: %t", op, c.name, c.err, want)
			}
		}
		w.mem.before = nil
		if op == "get" && len(was) != len(w.mem.snapshot(t)) {
			t.Error("something was written without having been read")
		}
	}
}

func TestCanceledRequests(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		token, handles := w.browser("alice", "bob")
		was := w.stored(token)
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := w.Revoke(canceled, token, handles["alice"]); !errors.Is(err, context.Canceled) {
			w.Errorf("Revoke: %v", err)
		}
		if _, err := w.SignIn(canceled, token, person("carol"), nil, Client{}); !errors.Is(err, context.Canceled) {
			w.Errorf("SignIn: %v", err)
		}
		w.unchanged(token, was)
		w.want(token, "alice bob*")
	})
}

// What a request has learned of its sessions holds for it, whatever the store has.
func TestVisitWithoutASession(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob")
	seen := w.visit(token)
	bob, _ := seen.Active()
	for id, want := range map[string]string{bob.ID: "alice", "nobody": "alice bob*", "": "alice bob*", handles["bob"]: "alice bob*"} {
		without := seen.Without(id)
		if got := names(without); got != want {
			t.Errorf("without %q: %q, want %q", id, got, want)
		}
		if _, ok := without.Active(); ok != strings.Contains(want, "*") {
			t.Errorf("without %q: active %t", id, ok)
		}
		if _, ok := without.Lapsed(); ok || without.JarID() != seen.JarID() {
			t.Errorf("without %q: lapsed, or of another jar", id)
		}
	}
	if got := names(seen); got != "alice bob*" {
		t.Errorf("the visit itself has changed to %q", got)
	}
	w.want(token, "alice bob*")
	if got := names(Visit{}.Without("x")); got != "" {
		t.Errorf("no jar became %q", got)
	}
}

func TestVisitWithARenewedSession(t *testing.T) {
	w := newWorld(t, defaults())
	done := w.member(w.signIn(Token{}, "bob").Token, "alice")
	seen := w.visit(done.Token)
	now := *done.Entry.Session
	now.Grant, now.Recorded = tokens("second"), member("alice")
	now.Recorded.UserName = "alicia"
	renewed := seen.Renewed(&now)
	if e, ok := renewed.Active(); !ok || e.Identity.UserName != "alicia" || string(e.Grant.Sealed) != "second" || names(renewed) != "bob alicia*" {
		t.Errorf("it is %q, active %+v", names(renewed), e)
	}
	now.ID = "of another jar"
	if got := names(seen.Renewed(&now)); got != "bob alice*" {
		t.Errorf("a session of another jar made it %q", got)
	}
	if got := names(seen); got != "bob alice*" {
		t.Errorf("the visit itself has changed to %q", got)
	}
	w.want(done.Token, "bob alice*")
	if got := names(Visit{}.Renewed(&now)); got != "" {
		t.Errorf("no jar became %q", got)
	}
}

// Ends is when the session dies if nobody uses it: not later, and not earlier.
func TestEntriesSayWhenTheyEnd(t *testing.T) {
	for name, c := range map[string]struct {
		lifetime, idle, used, want time.Duration // after the sign-in
	}{
		"never used":                      {30 * 24 * time.Hour, 7 * 24 * time.Hour, 0, 7 * 24 * time.Hour},
		"used":                            {30 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour, 8 * 24 * time.Hour},
		"used shortly before the end":     {8 * 24 * time.Hour, 7 * 24 * time.Hour, 6 * 24 * time.Hour, 8 * 24 * time.Hour},
		"without an idle time":            {30 * 24 * time.Hour, 0, 0, 30 * 24 * time.Hour},
		"an idle time after the absolute": {time.Hour, 7 * 24 * time.Hour, 0, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			options := defaults()
			options.Lifetime, options.IdleTimeout = c.lifetime, c.idle
			w := newWorld(t, options)
			done := w.signIn(Token{}, "alice")
			began := w.clock.now()
			if c.used > 0 {
				w.clock.advance(c.used)
				v := w.visit(done.Token)
				e, _ := v.Active()
				v.Used(e)
				w.settle()
			}
			e, ok := w.visit(done.Token).Active()
			if !ok || !e.Ends.Equal(began.Add(c.want)) {
				t.Fatalf("ends %s after the sign-in, want %s", e.Ends.Sub(began), c.want)
			}
			w.clock.advance(e.Ends.Sub(w.clock.now()) - time.Millisecond)
			w.want(done.Token, "alice*")
			w.clock.advance(time.Millisecond)
			w.want(done.Token, "")
		})
	}
}
