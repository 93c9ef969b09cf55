package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// advance moves the bubble's clock and waits for everything that is due by then.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// bubble runs a test with its own clock. It fails if goroutines are left.
func bubble(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

// The tokens live ten minutes, so they are due for renewal after eight.
const (
	due     = 8 * time.Minute
	expired = 10 * time.Minute
)

func TestNothingToRenew(t *testing.T) {
	bubble(t, func(w *world) {
		at := time.Now()
		sealed := []byte("sealed")
		for name, c := range map[string]struct {
			method string
			grant  *session.Grant
		}{
			"no provider":               {"password", nil},
			"a SID alone":               {"oidc", &session.Grant{SID: "sid"}},
			"tokens that never expire":  {"oidc", &session.Grant{Sealed: sealed}},
			"expired for good":          {"oidc", &session.Grant{Sealed: sealed, ExpiresAt: at.Add(-time.Hour)}},
			"not yet":                   {"oidc", &session.Grant{Sealed: sealed, RenewAt: at.Add(time.Millisecond), ExpiresAt: at.Add(time.Minute)}},
			"expired, and not yet":      {"oidc", &session.Grant{Sealed: sealed, RenewAt: at.Add(time.Millisecond), ExpiresAt: at}},
			"a provider that cannot":    {"once", &session.Grant{Sealed: sealed, RenewAt: at, ExpiresAt: at}},
			"a provider that is gone":   {"former", &session.Grant{Sealed: sealed, RenewAt: at, ExpiresAt: at}},
			"a method that is no such ": {"", &session.Grant{Sealed: sealed, RenewAt: at, ExpiresAt: at}},
		} {
			id := &session.Identity{Account: session.Account{Method: c.method, Subject: "bob"}}
			e := session.Entry{Session: &session.Session{ID: "other", Recorded: id, Grant: c.grant}, Identity: id, Active: true}
			w.took(0, func() {
				if now, live := w.Current(w.Context(), e); now != e || !live {
					t.Errorf("%s: %+v, %t; want the entry as it was", name, now, live)
				}
			})
		}
		if n := w.provider.asked(); n != 0 {
			t.Errorf("the provider was asked %d times", n)
		}
	})
}

// The request has a valid token and does not wait. It is gone before the provider answers.
func TestRenewalInTheBackground(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.delay = 5 * time.Second
		advance(due - time.Millisecond)
		w.must()
		synctest.Wait()
		if n := w.provider.asked(); n != 0 {
			t.Fatal("renewed too early")
		}
		advance(time.Millisecond)
		e, _ := w.entry()
		ctx, cancel := context.WithCancel(w.Context())
		w.took(0, func() {
			if now, live := w.Current(ctx, e); now != e || !live {
				t.Errorf("%+v, %t; want the entry as it was", now, live)
			}
		})
		cancel()
		advance(4 * time.Second)
		w.took(0, func() {
			if _, tokens := w.must(); tokens.Access != "access-0" {
				t.Errorf("the tokens are %+v before the provider answered", tokens)
			}
		})
		advance(time.Second)
		now, tokens := w.must()
		if want := (login.Tokens{Access: "access-1", Refresh: "refresh-1", ID: "id-1"}); tokens.Access != want.Access || tokens.Refresh != want.Refresh || tokens.ID != want.ID {
			t.Errorf("the tokens are %+v, want %+v", tokens, want)
		}
		if !now.Grant.ExpiresAt.Equal(tokens.Expiry) || now.Grant.RenewAt.After(now.Grant.ExpiresAt) || !now.Grant.RenewAt.After(time.Now()) {
			t.Errorf("expires at %s, to be renewed at %s", now.Grant.ExpiresAt, now.Grant.RenewAt)
		}
		if n := w.provider.asked(); n != 1 {
			t.Errorf("the provider was asked %d times, want once", n)
		}
	})
}

func TestRequestWaitsForTokens(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.delay = 3 * time.Second
		w.provider.change = func(g *login.Granted) { g.Identity.Groups = []string{"admin"} }
		advance(expired)
		w.took(3*time.Second, func() {
			now, tokens := w.must()
			if tokens.Access != "access-1" || len(now.Identity.Groups) != 1 {
				t.Errorf("went on with %+v as %+v", tokens, now.Identity)
			}
		})
		if e, _ := w.entry(); len(e.Identity.Groups) != 1 {
			t.Errorf("who the account is was not stored: %+v", e.Identity)
		}
	})
}

func TestWaitIsBounded(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.delay = 15 * time.Second
		advance(expired)
		for _, c := range []struct{ after, took time.Duration }{{0, waitTimeout}, {time.Second, 0}, {time.Second, 0}} {
			advance(c.after)
			w.took(c.took, func() {
				now, tokens := w.must()
				if tokens.Access != "access-0" {
					t.Errorf("the tokens are %+v before the provider answered", tokens)
				}
				if exposed := w.Exposed(now.Session); exposed.Access != "" {
					t.Error("a token that has expired is given to upstreams")
				}
			})
		}
		advance(3 * time.Second)
		w.took(0, func() {
			if _, tokens := w.must(); tokens.Access != "access-1" {
				t.Errorf("an answer that nobody waited for is lost: %+v", tokens)
			}
		})
		if n := w.provider.asked(); n != 1 {
			t.Errorf("the provider was asked %d times, want once", n)
		}
	})
}

// A request joins a running renewal: its time to wait counts from the start of the renewal.
func TestWaitCountsFromTheBeginning(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.delay = time.Hour
		advance(expired)
		go w.must()
		advance(4 * time.Second)
		w.took(waitTimeout-4*time.Second, func() { w.must() })
	})
}

func TestWaitEndsWithTheRequest(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.delay = 5 * time.Second
		advance(expired)
		e, _ := w.entry()
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		w.took(time.Second, func() {
			if now, live := w.Current(ctx, e); now != e || !live {
				t.Errorf("%+v, %t; want the entry as it was", now, live)
			}
		})
		advance(5 * time.Second)
		if _, tokens := w.must(); tokens.Refresh != "refresh-1" {
			t.Errorf("the new refresh token went with the request: %+v", tokens)
		}
	})
}

// Fifty requests find the tokens expired at the same moment. The provider is asked once.
func TestSingleFlight(t *testing.T) {
	for name, after := range map[string]time.Duration{"that wait": expired, "that do not": due} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.provider.delay = time.Second
				advance(after)
				stale, _ := w.entry()
				var wg sync.WaitGroup
				request := func(want string) {
					now, live := w.Current(w.Context(), stale)
					if !live {
						t.Error("the session has ended")
						return
					}
					if tokens, _ := w.Open(now.Session); tokens.Access != want {
						t.Errorf("the tokens are %+v, want %s", tokens, want)
					}
				}
				first := "access-1"
				if after == due {
					first = "access-0"
				}
				for range 50 {
					wg.Go(func() { request(first) })
				}
				wg.Wait()
				advance(time.Second)
				// These requests read the jar before the renewal and ask after it.
				for range 50 {
					wg.Go(func() {
						if after == expired {
							request(first)
						} else if _, live := w.Current(w.Context(), stale); !live {
							t.Error("the session has ended")
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				if n := w.provider.asked(); n != 1 {
					t.Errorf("the provider was asked %d times, want once", n)
				}
				if _, tokens := w.must(); tokens.Refresh != "refresh-1" || len(w.causes()) != 0 {
					t.Errorf("the tokens are %+v, ended %v", tokens, w.causes())
				}
			})
		})
	}
}

// During a reload there are two Managers. Only one may use the refresh token.
func TestReplacedConfigurationStillRenews(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.delay = time.Second
		advance(due)
		stale, _ := w.entry()
		next := w.newManager(strings.Repeat("k", 32))
		for _, k := range []*Manager{w.Manager, next} {
			if _, live := k.Current(w.Context(), stale); !live {
				t.Error("the session has ended")
			}
		}
		advance(2 * time.Second)
		if n := w.provider.asked(); n != 1 {
			t.Errorf("the provider was asked %d times, want once", n)
		}
		e, _ := w.entry()
		if _, live := next.Current(w.Context(), e); !live || len(w.causes()) != 0 {
			t.Errorf("live %t, ended %v", live, w.causes())
		}
	})
}

// Sessions do not wait for each other.
func TestEachSessionHasARenewal(t *testing.T) {
	bubble(t, func(w *world) {
		alice := w.id
		w.provider.mu.Lock()
		granted := w.provider.issue(&session.Identity{Account: session.Account{Method: "oidc", Subject: "bob"}, Issuer: issuer, UserName: "bob"})
		w.provider.mu.Unlock()
		w.signIn(granted)
		bob := w.id
		held := make(chan struct{})
		w.provider.before = func(ctx context.Context) error {
			if w.provider.asked() == 1 {
				<-held
				return login.ErrProviderUnavailable
			}
			return nil
		}
		advance(expired)
		w.id = alice
		e, _ := w.entry()
		go w.Current(w.Context(), e)
		synctest.Wait()
		w.id = bob
		w.took(0, func() {
			if _, tokens := w.must(); tokens.Access != "access-2" {
				t.Errorf("the tokens are %+v", tokens)
			}
		})
		close(held)
	})
}

func TestProviderEndsTheSession(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(w *world)
		is      error  // the cause is, or
		reason  string // the word of a *login.RejectedError
	}{
		"refused":     {func(w *world) { w.provider.next = "" }, login.ErrRefused, ""},
		"not allowed": {answer(fmt.Errorf("group gone: %w", login.ErrNotAllowed)), login.ErrNotAllowed, ""},
		"rejected":    {answer(fmt.Errorf("ID token: %w", &login.RejectedError{Reason: "iss"})), nil, "iss"},
		"another key": {func(w *world) { w.Manager = w.newManager(strings.Repeat("x", 32)) }, ErrLost, ""},
		"another subject": {change(func(g *login.Granted) {
			g.Identity.Account.Subject = "mallory"
		}), nil, "sub"},
		"another method": {change(func(g *login.Granted) {
			g.Identity.Account.Method = "once"
		}), nil, "sub"},
		"another issuer": {change(func(g *login.Granted) {
			g.Identity.Issuer = "https://other.example"
		}), nil, "iss"},
		"no issuer":                  {change(func(g *login.Granted) { g.Identity.Issuer = "" }), nil, "iss"},
		"a name that breaks headers": {change(func(g *login.Granted) { g.Identity.UserName = "alice\r\nRemote-User: admin" }), nil, "identity"},
		"an identity too large": {change(func(g *login.Granted) {
			g.Identity.Claims = map[string]any{"x": strings.Repeat("x", 100_000)}
		}), nil, "identity"},
		"tokens too large":     {change(func(g *login.Granted) { g.Tokens.Access = strings.Repeat("x", 100_000) }), nil, "grant"},
		"the name of somebody": {change(func(g *login.Granted) { g.Identity.UserName = "carol" }), login.ErrNameTaken, ""},
		"tokens without refresh": {func(w *world) {
			e, _ := w.entry()
			grant := *e.Grant
			grant.Sealed = w.sealer.Seal(encode(login.Tokens{Access: "a"}), []byte("oidc:alice"))
			if _, err := w.manager.Renew(w.Context(), w.id, e.Grant, e.Recorded, &grant); err != nil {
				w.Fatal(err)
			}
		}, ErrLost, ""},
	} {
		for when, after := range map[string]time.Duration{"expired": expired, "in the background": due} {
			t.Run(name+", "+when, func(t *testing.T) {
				bubble(t, func(w *world) {
					carol := &session.Identity{Account: session.Account{Method: "oidc", Subject: "carol"}, UserName: "carol"}
					if err := w.names.Claim(w.Context(), w.logins, carol); err != nil {
						t.Fatal(err)
					}
					alice := w.id
					bob := &login.Granted{Identity: &session.Identity{Account: session.Account{Method: "once", Subject: "bob"}, UserName: "bob"}, SID: "sid"}
					w.signIn(bob)
					w.id = alice
					c.prepare(w)
					advance(due - time.Second)
					w.Current(w.Context(), first(w.entry()))
					synctest.Wait()
					if len(w.causes()) != 0 {
						t.Fatal("it has ended before its tokens were to be renewed")
					}
					advance(after - due + time.Second)
					stale, _ := w.entry()
					var wg sync.WaitGroup
					for range 50 {
						wg.Go(func() {
							now, live := w.Current(w.Context(), stale)
							if live && after == expired {
								t.Error("the session lives")
							}
							if live && now != stale || !live && now != (session.Entry{}) {
								t.Errorf("the entry is %+v", now)
							}
						})
					}
					wg.Wait()
					synctest.Wait()
					if e, ok := w.entry(); ok {
						t.Errorf("in the store is %+v", e.Session)
					}
					causes := w.causes()
					if len(causes) != 1 {
						t.Fatalf("Ended was told %v, want once", causes)
					}
					var rejected *login.RejectedError
					if c.is != nil && !errors.Is(causes[0], c.is) || c.reason != "" && (!errors.As(causes[0], &rejected) || rejected.Reason != c.reason) {
						t.Errorf("it has ended for %v, want %v %s", causes[0], c.is, c.reason)
					}
					if _, live := w.Current(w.Context(), stale); !live && after != expired {
						t.Log("a request that saw the jar before is refused")
					}
					synctest.Wait()
					if n := w.provider.asked(); n > 1 || len(w.causes()) != 1 {
						t.Errorf("the provider was asked %d times, Ended told %v", n, w.causes())
					}
					v, err := w.manager.Visit(w.Context(), w.token)
					if err != nil || len(v.Entries()) != 1 || v.Entries()[0].Identity.UserName != "bob" {
						t.Errorf("others in the jar: %v, %v; want bob", v.Entries(), err)
					}
				})
			})
		}
	}
}

func first(e session.Entry, _ bool) session.Entry { return e }

func answer(err error) func(*world) {
	return func(w *world) { w.provider.before = func(context.Context) error { return err } }
}

func change(change func(*login.Granted)) func(*world) {
	return func(w *world) { w.provider.change = change }
}

// An unavailable provider signs nobody out, and is asked with pauses only.
func TestProviderIsUnavailable(t *testing.T) {
	for name, fail := range map[string]func(context.Context) error{
		"unavailable":      func(context.Context) error { return fmt.Errorf("dial: %w", login.ErrProviderUnavailable) },
		"an unknown error": func(context.Context) error { return errors.New("something else") },
		"denied":           func(context.Context) error { return &login.DeniedError{Code: "server_error"} },
		"panic":            func(context.Context) error { panic("index out of range") },
		"timeout":          func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.provider.before = fail
				advance(expired)
				var tries []time.Duration
				begun, asked := time.Now(), 0
				for time.Since(begun) < 10*time.Minute {
					e, ok := w.entry()
					now, live := w.Current(w.Context(), e)
					if !ok || !live || now != e || w.Exposed(now.Session).Access != "" {
						t.Fatalf("%+v, %t; want the entry as it was", now, live)
					}
					synctest.Wait()
					if n := w.provider.asked(); n != asked {
						asked = n
						tries = append(tries, time.Since(begun))
					}
					advance(time.Second)
				}
				if len(tries) < 10 || len(tries) > 16 {
					t.Errorf("the provider was asked at %v", tries)
				}
				for i := range tries[1:] {
					if pause := tries[i+1] - tries[i]; pause > maxSetback+askTimeout+time.Second {
						t.Errorf("people who are back wait for %s", pause)
					}
				}
				if len(w.causes()) != 0 {
					t.Errorf("it has ended: %v", w.causes())
				}
				w.provider.mu.Lock()
				w.provider.before = nil
				w.provider.mu.Unlock()
				advance(askTimeout + maxSetback)
				w.took(0, func() { w.must() }) // nobody waits for a provider that was away
				synctest.Wait()
				if _, tokens := w.must(); tokens.Refresh == "refresh-0" {
					t.Error("once the provider is back nothing is renewed")
				}
				if len(w.setbacks)+len(w.outages) != 0 {
					t.Errorf("setbacks are remembered: %v, %v", w.setbacks, w.outages)
				}
			})
		})
	}
}

func TestSetbacksAreForgotten(t *testing.T) {
	bubble(t, func(w *world) {
		for i := range 100 {
			w.setBack(fmt.Sprint(i))
		}
		advance(2 * time.Hour)
		w.setBack("last")
		if len(w.setbacks) != 1 {
			t.Errorf("%d setbacks are kept", len(w.setbacks))
		}
	})
}

// The provider has exchanged the refresh token, and the store fails for a while.
func TestNewTokensSurviveAStoreThatFails(t *testing.T) {
	broken := errors.New("disk is full")
	bubble(t, func(w *world) {
		advance(expired)
		w.store.setBroken(broken)
		for range 100 { // more than a minute
			w.took(0, func() {
				now, tokens := w.must()
				if tokens.Access != "access-1" || w.Exposed(now.Session).Access != "access-1" {
					t.Fatalf("went on with %+v", tokens)
				}
			})
			advance(time.Second)
		}
		if e, _ := w.entry(); !e.Grant.ExpiresAt.Before(time.Now()) {
			t.Fatal("the store was not broken")
		}
		w.store.setBroken(nil)
		advance(maxRetry)
		e, _ := w.entry()
		if tokens, _ := w.Open(e.Session); tokens.Refresh != "refresh-1" {
			t.Errorf("stored are %+v, want the new ones", tokens)
		}
		if n := w.provider.asked(); n != 1 || len(w.renewals) != 0 {
			t.Errorf("the provider was asked %d times, %d renewals are under way", n, len(w.renewals))
		}
		advance(expired)
		if _, tokens := w.must(); tokens.Refresh != "refresh-2" {
			t.Errorf("the next renewal came to %+v", tokens)
		}
	})
}

// A write succeeds but its answer is lost. The retry must not take it for another Manager's write.
func TestWritesWhoseAnswerIsLost(t *testing.T) {
	bubble(t, func(w *world) {
		advance(expired)
		w.store.mu.Lock()
		w.store.lost = errors.New("connection reset")
		w.store.mu.Unlock()
		if _, tokens := w.must(); tokens.Refresh != "refresh-1" {
			t.Errorf("went on with %+v", tokens)
		}
		advance(time.Minute)
		if _, tokens := w.must(); tokens.Refresh != "refresh-1" || w.provider.asked() != 1 || len(w.renewals) != 0 {
			t.Errorf("stored are %+v, asked %d times, %d renewals under way", tokens, w.provider.asked(), len(w.renewals))
		}
	})
}

// A sign-out while the store fails: tokens that wait to be stored must not revive the session.
func TestSessionEndsWhileTokensWait(t *testing.T) {
	bubble(t, func(w *world) {
		advance(expired)
		w.store.setBroken(errors.New("disk is full"))
		w.must()
		w.store.setBroken(nil)
		if _, err := w.manager.End(w.Context(), session.Selection{Session: w.id}, nil); err != nil {
			t.Fatal(err)
		}
		advance(maxRetry)
		if e, ok := w.entry(); ok || len(w.renewals) != 0 || len(w.causes()) != 0 {
			t.Errorf("%+v, %d renewals under way, ended %v", e.Session, len(w.renewals), w.causes())
		}
	})
}

// A refusal while the store fails: nobody gets in, and Ended is called once the end is stored.
func TestRefusedWhileTheStoreFails(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.next = ""
		advance(expired)
		w.store.setBroken(errors.New("disk is full"))
		for range 60 {
			e, ok := w.entry()
			if !ok {
				t.Fatal("the store was not broken")
			}
			w.took(0, func() {
				if _, live := w.Current(w.Context(), e); live {
					t.Fatal("the session lives")
				}
			})
			advance(time.Second)
		}
		if n := w.provider.asked(); n != 1 || len(w.causes()) != 0 {
			t.Errorf("the provider was asked %d times, ended %v", n, w.causes())
		}
		w.store.setBroken(nil)
		advance(maxRetry)
		if e, ok := w.entry(); ok || len(w.causes()) != 1 || len(w.renewals) != 0 {
			t.Errorf("%+v, ended %v, %d renewals under way", e.Session, w.causes(), len(w.renewals))
		}
	})
}

// While the store fails, it is not known whose a new user name is: no session uses it.
func TestNewNameWhileTheStoreFails(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.change = func(g *login.Granted) { g.Identity.UserName = "alicia" }
		advance(expired)
		w.store.setBroken(errors.New("disk is full"))
		e, _ := w.entry()
		if now, live := w.Current(w.Context(), e); live {
			t.Errorf("went on as %+v", now.Identity)
		}
		w.store.setBroken(nil)
		advance(maxRetry)
		if now, tokens := w.must(); now.Identity.UserName != "alicia" || tokens.Refresh != "refresh-1" {
			t.Errorf("went on as %+v with %+v", now.Identity, tokens)
		}
		if holder, _ := w.names.Holder("alicia"); holder != "oidc:alice" {
			t.Errorf("the name is %q's", holder)
		}
	})
}

// Another Manager was faster, in every possible way.
func TestRenewedElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		answers func(w *world) // of the provider to the slower one
	}{
		"and refused here":     {func(w *world) { w.provider.before = func(context.Context) error { return login.ErrRefused } }},
		"and not allowed here": {func(w *world) { w.provider.before = func(context.Context) error { return login.ErrNotAllowed } }},
		"and renewed here":     {func(w *world) { w.provider.next = "refresh-0" }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				advance(expired)
				held := make(chan struct{})
				var once sync.Once
				w.provider.before = func(context.Context) error {
					mine := false
					once.Do(func() { mine = true })
					if mine {
						<-held
						w.provider.mu.Lock()
						defer w.provider.mu.Unlock()
						c.answers(w)
						if w.provider.next != "refresh-0" {
							return w.provider.before(w.Context())
						}
					}
					return nil
				}
				slow := make(chan login.Tokens)
				here := w.Manager
				stale, _ := w.entry()
				go func() {
					now, live := here.Current(w.Context(), stale)
					if !live {
						t.Error("the session has ended")
						close(slow)
						return
					}
					tokens, _ := here.Open(now.Session)
					slow <- tokens
				}()
				synctest.Wait()
				w.start() // the faster Manager
				_, there := w.must()
				close(held)
				if tokens := <-slow; tokens != there {
					t.Errorf("went on with %+v, want those of elsewhere: %+v", tokens, there)
				}
				synctest.Wait()
				e, ok := w.entry()
				if tokens, _ := w.Open(e.Session); !ok || tokens != there || len(w.causes()) != 0 {
					t.Errorf("stored are %+v, ended %v", tokens, w.causes())
				}
			})
		})
	}
}

// A request comes late with what it saw before another Manager renewed. The old refresh token must
// not be used again: the provider would treat it as stolen.
func TestStaleEntryAsksNobody(t *testing.T) {
	bubble(t, func(w *world) {
		advance(expired)
		stale, _ := w.entry()
		here := w.Manager
		w.start()
		_, there := w.must()
		now, live := here.Current(w.Context(), stale)
		if tokens, _ := here.Open(now.Session); !live || tokens != there {
			t.Errorf("went on with %+v, want %+v", tokens, there)
		}
		if n := w.provider.asked(); n != 1 {
			t.Errorf("the provider was asked %d times, want once", n)
		}
	})
}

func TestSessionEndsWhileTheProviderIsAsked(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"signed out": func(w *world) { _, _ = w.manager.SignOut(w.Context(), w.token, session.Visit{}) },
		"ended":      func(w *world) { _, _ = w.manager.End(w.Context(), session.Selection{Method: "oidc", SID: "sid"}, nil) },
		"replaced": func(w *world) {
			old := w.id
			w.provider.mu.Lock()
			granted := w.provider.issue(&session.Identity{Account: session.Account{Method: "oidc", Subject: "alice"}, Issuer: issuer, UserName: "alice"})
			w.provider.mu.Unlock()
			w.signIn(granted)
			w.id = old
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.provider.delay = 5 * time.Second
				advance(expired)
				e, _ := w.entry()
				over := make(chan bool)
				go func() {
					_, live := w.Current(w.Context(), e)
					over <- live
				}()
				synctest.Wait()
				end(w)
				if <-over {
					t.Error("the session lives")
				}
				synctest.Wait()
				if e, ok := w.entry(); ok || len(w.causes()) != 0 {
					t.Errorf("it is back: %+v; Ended was told %v", e.Session, w.causes())
				}
			})
		})
	}
}

// Sign-ins move the jar while the provider answers.
func TestJarMovesWhileTheProviderIsAsked(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.delay = 5 * time.Second
		advance(expired)
		e, _ := w.entry()
		done := make(chan login.Tokens)
		go func() {
			now, _ := w.Current(w.Context(), e)
			tokens, _ := w.Open(now.Session)
			done <- tokens
		}()
		synctest.Wait()
		alice := w.id
		w.signIn(&login.Granted{Identity: &session.Identity{Account: session.Account{Method: "once", Subject: "bob"}, UserName: "bob"}, SID: "s"})
		w.id = alice
		if tokens := <-done; tokens.Refresh != "refresh-1" {
			t.Errorf("went on with %+v", tokens)
		}
		if _, tokens := w.must(); tokens.Refresh != "refresh-1" {
			t.Errorf("stored are %+v", tokens)
		}
	})
}

func TestAnswersThatAreIncomplete(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*login.Granted)
		sid    string
		want   login.Tokens
	}{
		"complete":         {func(*login.Granted) {}, "sid", login.Tokens{Access: "access-1", Refresh: "refresh-1", ID: "id-1"}},
		"another SID":      {func(g *login.Granted) { g.SID = "other" }, "sid", login.Tokens{Access: "access-1", Refresh: "refresh-1", ID: "id-1"}},
		"no SID":           {func(g *login.Granted) { g.SID = "" }, "sid", login.Tokens{Access: "access-1", Refresh: "refresh-1", ID: "id-1"}},
		"no ID token":      {func(g *login.Granted) { g.Tokens.ID = "" }, "sid", login.Tokens{Access: "access-1", Refresh: "refresh-1", ID: "id-0"}},
		"no refresh token": {func(g *login.Granted) { g.Tokens.Refresh = "" }, "sid", login.Tokens{Access: "access-1", Refresh: "refresh-0", ID: "id-1"}},
		"no access token":  {func(g *login.Granted) { g.Tokens.Access = "" }, "sid", login.Tokens{Refresh: "refresh-1", ID: "id-1"}},
		"no identity":      {func(g *login.Granted) { g.Identity = nil }, "sid", login.Tokens{Access: "access-1", Refresh: "refresh-1", ID: "id-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.provider.change = c.change
				advance(expired)
				now, tokens := w.must()
				tokens.Expiry = time.Time{}
				if tokens != c.want || now.Grant.SID != c.sid || now.Identity.UserName != "alice" {
					t.Errorf("%+v, SID %q; want %+v, %q", tokens, now.Grant.SID, c.want, c.sid)
				}
			})
		})
	}
}

// A provider that gave no SID at sign-in may give one with a renewal.
func TestFirstSIDIsTaken(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.mu.Lock()
		granted := w.provider.issue(&session.Identity{Account: session.Account{Method: "oidc", Subject: "alice"}, Issuer: issuer, UserName: "alice"})
		w.provider.mu.Unlock()
		granted.SID = ""
		w.signIn(granted)
		advance(expired)
		if now, _ := w.must(); now.Grant.SID != "sid" {
			t.Errorf("the SID is %q", now.Grant.SID)
		}
		if found, err := w.manager.Sessions(w.Context(), session.Selection{Method: "oidc", SID: "sid"}); err != nil || len(found) != 1 {
			t.Errorf("found by it: %v, %v", found, err)
		}
	})
}

// If the clock of the provider or ours is wrong, the provider is not asked at every request.
func TestTokensThatComeExpired(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.life = -time.Hour
		advance(expired)
		for range 100 {
			w.must()
			advance(100 * time.Millisecond)
		}
		if n := w.provider.asked(); n < 5 || n > 12 {
			t.Errorf("the provider was asked %d times in ten seconds", n)
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.delay = 5 * time.Second
		advance(due)
		w.must()
		synctest.Wait()
		w.took(5*time.Second, w.Close)
		if _, tokens := w.must(); tokens.Refresh != "refresh-1" {
			t.Errorf("what was under way is lost: %+v", tokens)
		}
		advance(expired)
		w.took(0, func() { w.must() }) // no renewal starts any more
		synctest.Wait()
		if n := w.provider.asked(); n != 1 {
			t.Errorf("the provider was asked %d times, want once", n)
		}
		w.took(0, w.Close)
	})
}

// Close does not wait for a provider that hangs, and neither do requests then.
func TestCloseIsBounded(t *testing.T) {
	bubble(t, func(w *world) {
		w.provider.delay = time.Hour
		advance(expired - 5*time.Second)
		w.must()
		advance(5 * time.Second)
		go w.must()
		synctest.Wait()
		w.took(closeTimeout, w.Close)
		if e, ok := w.entry(); !ok || len(w.causes()) != 0 {
			t.Errorf("%+v, %t, ended %v", e.Session, ok, w.causes())
		}
	})
}

// Close does not wait for a store that keeps failing either, and the loss is logged.
func TestCloseGivesUpOnAStoreThatFails(t *testing.T) {
	bubble(t, func(w *world) {
		advance(expired)
		w.store.setBroken(errors.New("disk is full"))
		w.must()
		w.took(closeTimeout, w.Close)
		if n := w.log.FilterMessage("outcome of a renewal is lost").Len(); n != 1 {
			t.Errorf("the loss was logged %d times", n)
		}
	})
}

func TestCloseAmongRequests(t *testing.T) {
	bubble(t, func(w *world) {
		advance(due)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { w.must() })
			wg.Go(w.Close)
		}
		wg.Wait()
	})
}

// No log line contains a token.
func TestTokensStayOutOfLogs(t *testing.T) {
	bubble(t, func(w *world) {
		advance(expired)
		w.store.setBroken(errors.New("disk is full"))
		w.must()
		w.store.setBroken(nil)
		advance(expired)
		w.provider.before = func(context.Context) error { return login.ErrProviderUnavailable }
		w.must()
		advance(expired)
		w.provider.before = func(context.Context) error { panic("x") }
		w.must()
		synctest.Wait()
		if w.log.Len() < 4 {
			t.Errorf("%d lines were logged", w.log.Len())
		}
		for _, line := range w.log.All() {
			text := fmt.Sprint(line.Message, line.ContextMap())
			if slices.ContainsFunc([]string{"access-", "refresh-", "id-0", "id-1"}, func(secret string) bool { return strings.Contains(text, secret) }) {
				t.Errorf("logged: %s", text)
			}
		}
	})
}

func TestNothingToRenewDoesNotAllocate(t *testing.T) {
	k, entries := idle(t)
	for name, e := range entries {
		if n := testing.AllocsPerRun(100, func() {
			if now, live := k.Current(context.Background(), e); !live || now.Session != e.Session {
				t.Fatal("the entry is another one")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a request, want none", name, n)
		}
	}
}

func BenchmarkCurrent(b *testing.B) {
	k, entries := idle(b)
	for name, e := range entries {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k.Current(context.Background(), e)
			}
		})
	}
}
