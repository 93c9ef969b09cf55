package session

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// invariants are what must hold of every jar that is stored at any time.
func (w *world) invariants(jar *Jar) {
	w.Helper()
	if n := len(jar.Sessions); n == 0 || n > w.options.MaxSessions {
		w.Errorf("a jar of %d sessions is stored, want 1 to %d", n, w.options.MaxSessions)
	}
	accounts := make(map[Account]bool)
	for _, s := range jar.Sessions {
		if accounts[s.Recorded.Account] {
			w.Errorf("a jar has two sessions of %s", s.Recorded.Account.ID())
		}
		accounts[s.Recorded.Account] = true
	}
	if jar.Active != "" && jar.find(jar.Active) < 0 {
		w.Error("Active names no session of its jar")
	}
	for i, p := range jar.Pins {
		switch {
		case jar.Active != "" || len(jar.Pins) > 1+MaxPins:
			w.Errorf("Active is %q beside %d pins", jar.Active, len(jar.Pins))
		case i == 0 && p.Site != "":
			w.Errorf("the first pin is that of %s, not of all sites", p.Site)
		case i > 0 && (p.Site == "" || p.Account == Account{} || p.Account == jar.Pins[0].Account):
			w.Errorf("the pin of %q to %q is none, or superfluous", p.Site, p.Account.ID())
		}
	}
}

// TestParallelSignIns is a browser with fifty tabs in which somebody signs in at once.
func TestParallelSignIns(t *testing.T) {
	const tabs = 50
	options := defaults()
	options.MaxSessions = 3
	for _, reject := range []bool{false, true} {
		options.RejectAtMax = reject
		t.Run(fmt.Sprintf("reject %t", reject), func(t *testing.T) {
			everyWorld(t, options, func(w *world) {
				first := w.signIn(Token{}, "alice")
				results := make([]SignedIn, tabs)
				var wg sync.WaitGroup
				start := make(chan struct{})
				for i := range tabs {
					wg.Go(func() {
						<-start
						var err error
						results[i], err = w.SignIn(ctx, first.Token, person(fmt.Sprintf("user-%d", i)), nil, Client{})
						if err != nil {
							t.Errorf("tab %d: %v", i, err)
						}
					})
				}
				close(start)
				wg.Wait()

				w.want(first.Token, "")
				added := 0
				tokens := make(map[Token]bool)
				for i, r := range results {
					tokens[r.Token] = true
					jar := w.stored(r.Token)
					if jar.Jar == nil {
						t.Fatalf("tab %d: its jar is not stored", i)
					}
					w.invariants(jar.Jar)
					if jar.find(r.Entry.Handle) < 0 || jar.Active != r.Entry.Handle {
						t.Errorf("tab %d: its session is not in its jar, or not active", i)
					}
					if jar.ID == first.JarID {
						added++
					} else if len(jar.Sessions) != 1 {
						t.Errorf("tab %d: a new jar has %d sessions", i, len(jar.Sessions))
					}
				}
				if added != 1 || len(tokens) != tabs {
					t.Errorf("%d sign-ins were added to the jar of the old token, want 1; %d tokens", added, len(tokens))
				}
			})
		})
	}
}

// TestParallelSignInsOfNewBrowsers share nothing but the store.
func TestParallelSignInsOfNewBrowsers(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				done, err := w.SignIn(ctx, Token{}, person("alice"), nil, Client{})
				if err != nil {
					t.Errorf("browser %d: %v", i, err)
					return
				}
				w.want(done.Token, "alice*")
			})
		}
		wg.Wait()
		w.clock.advance(time.Second)
		if n, err := w.EndAccount(ctx, person("alice").Account, w.clock.now()); n != 50 || err != nil {
			t.Errorf("EndAccount = %d, %v; want 50", n, err)
		}
	})
}

// TestEverythingAtOnce lets all that can happen to one jar happen at once, and checks what is seen,
// in memory and in the store: an acknowledged end is final, and no jar breaks its rules.
func TestEverythingAtOnce(t *testing.T) {
	options := defaults()
	options.MaxSessions = 4
	everyWorld(t, options, func(w *world) {
		s := seed(t)
		rounds := 200
		if testing.Short() {
			rounds = 30
		}
		var (
			mu      sync.Mutex
			current = w.signIn(Token{}, "user-0").Token
			handles []string
			ended   = make(map[string]string) // handle to who ended it
			old     []Token                   // tokens that were replaced
		)
		snapshot := func() (Token, string, map[string]string, []Token) {
			mu.Lock()
			defer mu.Unlock()
			dead := make(map[string]string, len(ended))
			for h, by := range ended {
				dead[h] = by
			}
			handle := "none"
			if len(handles) > 0 {
				handle = handles[rand.IntN(len(handles))]
			}
			return current, handle, dead, append([]Token(nil), old...)
		}
		end := func(by string, sessions ...Session) {
			mu.Lock()
			defer mu.Unlock()
			for _, s := range sessions {
				ended[s.Handle] = by
			}
		}
		signIn := func(rng *rand.Rand) error {
			token, _, _, _ := snapshot()
			client := laptop
			var err error
			if client.JarID, err = w.JarOf(ctx, token); err != nil {
				return err
			}
			done, err := w.SignIn(ctx, token, person(fmt.Sprintf("user-%d", rng.IntN(8))), nil, client)
			if err != nil {
				return err
			}
			end("replaced", done.Replaced...)
			end("evicted", done.Evicted...)
			mu.Lock()
			defer mu.Unlock()
			old = append(old, token)
			current = done.Token
			handles = append(handles, done.Entry.Handle)
			return nil
		}
		check := func(token Token, dead map[string]string, old []Token) error {
			v, err := w.Visit(ctx, token)
			if err != nil {
				return err
			}
			stored := w.stored(token)
			if stored.Jar != nil {
				w.invariants(stored.Jar)
				for _, s := range stored.Sessions {
					if by, ok := dead[s.Handle]; ok {
						return fmt.Errorf("a session that was %s is in the store", by)
					}
				}
			}
			actives := 0
			for _, e := range v.Entries() {
				if by, ok := dead[e.Handle]; ok {
					return fmt.Errorf("a session that was %s is in memory", by)
				}
				if e.Active {
					actives++
				}
			}
			if _, ok := v.Active(); ok != (actives == 1) || actives > 1 {
				return fmt.Errorf("%d sessions are active", actives)
			}
			if len(old) > 0 {
				if v, err := w.Visit(ctx, old[rand.IntN(len(old))]); err != nil || len(v.Entries()) != 0 {
					return fmt.Errorf("an old token is worth %q, %v", names(v), err)
				}
			}
			return nil
		}
		work := []func(*rand.Rand) error{
			signIn,
			func(*rand.Rand) error {
				token, _, dead, old := snapshot()
				return check(token, dead, old)
			},
			func(*rand.Rand) error {
				token, handle, _, _ := snapshot()
				done, err := w.Revoke(ctx, token, handle)
				if err == nil {
					if done.Ended.Handle != handle {
						return errors.New("another session was revoked")
					}
					end("revoked", done.Ended)
				}
				if errors.Is(err, ErrUnknownHandle) {
					err = nil
				}
				return err
			},
			func(*rand.Rand) error {
				token, handle, dead, _ := snapshot()
				e, err := w.SetActive(ctx, token, handle)
				if by, ok := dead[handle]; ok && err == nil {
					return fmt.Errorf("a session that was %s was switched to", by)
				}
				if err == nil && (e.Identity == nil || e.Handle != handle) {
					return errors.New("another session was switched to")
				}
				if errors.Is(err, ErrUnknownHandle) {
					err = nil
				}
				return err
			},
			func(*rand.Rand) error {
				token, _, _, _ := snapshot()
				v, err := w.Visit(ctx, token)
				if e, ok := v.Active(); ok {
					v.Used(e)
				}
				return err
			},
			func(rng *rand.Rand) error {
				if rng.IntN(4) != 0 {
					w.clock.advance(time.Minute)
					return nil
				}
				token, _, _, _ := snapshot()
				seen, err := w.Visit(ctx, token)
				if err != nil {
					return err
				}
				sessions, err := w.SignOut(ctx, token, seen)
				end("signed out", sessions...)
				if err == nil && seen.jar != nil {
					end("signed out", seen.jar.Sessions...)
				}
				return err
			},
		}
		var wg sync.WaitGroup
		var failed atomic.Bool
		for i := range 12 {
			rng := rand.New(rand.NewPCG(s, uint64(i)))
			do := work[i%len(work)]
			wg.Go(func() {
				for range rounds {
					if failed.Load() {
						return
					}
					if err := do(rng); err != nil {
						t.Error(err)
						failed.Store(true)
					}
				}
			})
		}
		wg.Wait()
		w.Close()
		token, _, dead, old := snapshot()
		if err := check(token, dead, old); err != nil {
			t.Error(err)
		}
		w.restart(options)
		if err := check(token, dead, old); err != nil {
			t.Errorf("after a restart: %v", err)
		}
	})
}

// TestEndAccountAmongSignIns ends an account in a jar that never rests.
func TestEndAccountAmongSignIns(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		for range 20 {
			token := w.signIn(Token{}, "alice").Token
			w.clock.advance(time.Second)
			cutoff := w.clock.now()
			stop := make(chan struct{})
			moved := make(chan Token, 1)
			started := make(chan struct{})
			go func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						moved <- token
						return
					default:
					}
					done, err := w.SignIn(ctx, token, person(fmt.Sprintf("user-%d", i%3)), nil, Client{})
					if err != nil {
						t.Error(err)
						moved <- token
						return
					}
					token = done.Token
					if i == 0 {
						close(started)
					}
				}
			}()
			<-started
			_, err := w.EndAccount(ctx, person("alice").Account, cutoff)
			if err != nil {
				t.Error(err)
			}
			close(stop)
			if got := names(w.visit(<-moved)); strings.Contains(got, "alice") {
				t.Fatalf("alice was ended, and signed in are %q", got)
			}
		}
	})
}
