package session

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"
)

func tokens(text string) *Grant {
	return &Grant{SID: "sid", Sealed: []byte(text), RenewAt: epoch.Add(time.Hour), ExpiresAt: epoch.Add(2 * time.Hour)}
}

func member(name string) *Identity {
	return &Identity{Account: Account{"oidc", name}, Issuer: "https://issuer.example", UserName: name}
}

// member signs somebody in who has a grant.
func (w *world) member(token Token, name string) SignedIn {
	w.Helper()
	done, err := w.SignIn(ctx, token, member(name), tokens("first"), Client{IP: "192.0.2.1", UserAgent: "X"})
	if err != nil {
		w.Fatal(err)
	}
	return done
}

func TestRenew(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		done := w.member(Token{}, "alice")
		token := w.signIn(done.Token, "bob").Token
		was := *done.Entry.Session
		w.clock.advance(time.Hour)
		now := member("alice")
		now.Groups = []string{"admin"}
		got, err := w.Renew(ctx, was.ID, was.Grant, now, tokens("second"))
		if err != nil {
			w.Fatal(err)
		}
		want := was
		want.Grant = tokens("second")
		want.Recorded = member("alice")
		want.Recorded.Groups = []string{"admin"}
		want.Recorded.CreatedAt, want.Recorded.UpdatedAt = was.Recorded.CreatedAt, w.clock.now()
		if !reflect.DeepEqual(got, want) {
			w.Errorf("renewed to %+v of %+v\nwant %+v of %+v", got, got.Recorded, want, want.Recorded)
		}
		w.want(token, "alice bob*")
		check := func() {
			w.Helper()
			for _, e := range w.visit(token).Entries() {
				if e.ID == was.ID && !reflect.DeepEqual(*e.Session, want) {
					w.Errorf("the session is %+v, want %+v", *e.Session, want)
				}
			}
		}
		check()
		w.restart(defaults())
		check()
	})
}

// Nothing but the tokens has changed: neither has who the account is.
func TestRenewKeepsTheTimesOfAnIdentityThatStays(t *testing.T) {
	w := newWorld(t, defaults())
	done := w.member(Token{}, "alice")
	w.clock.advance(time.Hour)
	got, err := w.Renew(ctx, done.Entry.ID, done.Entry.Grant, member("alice"), tokens("second"))
	if err != nil || !reflect.DeepEqual(got.Recorded, done.Entry.Recorded) {
		t.Errorf("recorded is %+v, %v, want %+v", got.Recorded, err, done.Entry.Recorded)
	}
	own := member("alice")
	own.CreatedAt, own.UpdatedAt = epoch.Add(-time.Hour), epoch.Add(-time.Minute)
	got, err = w.Renew(ctx, done.Entry.ID, got.Grant, own, tokens("third"))
	if err != nil || !got.Recorded.CreatedAt.Equal(own.CreatedAt) || !got.Recorded.UpdatedAt.Equal(own.UpdatedAt) {
		t.Errorf("recorded is %+v, %v, want the method's own times", got.Recorded, err)
	}
}

func TestRenewRefuses(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		token, _ := w.browser("bob")
		done := w.member(token, "alice")
		id, first := done.Entry.ID, done.Entry.Grant
		elsewhere := member("alice")
		elsewhere.Issuer = "https://other.example"
		bad := member("alice")
		bad.Groups = []string{"a,b"}
		large := member("alice")
		large.Claims = map[string]any{"x": string(make([]byte, maxIdentityBytes))}
		for name, c := range map[string]struct {
			id       string
			was      *Grant
			identity *Identity
			grant    *Grant
			want     error // nil: any
		}{
			"unknown session":      {"nobody", first, member("alice"), tokens("second"), ErrUnknownHandle},
			"no session":           {"", first, member("alice"), tokens("second"), ErrUnknownHandle},
			"handle":               {done.Entry.Handle, first, member("alice"), tokens("second"), ErrUnknownHandle},
			"another grant":        {id, tokens("other"), member("alice"), tokens("second"), ErrRenewed},
			"no grant":             {id, nil, member("alice"), tokens("second"), ErrRenewed},
			"somebody else":        {id, first, member("mallory"), tokens("second"), nil},
			"another method":       {id, first, person("alice"), tokens("second"), nil},
			"another issuer":       {id, first, elsewhere, tokens("second"), nil},
			"bad identity":         {id, first, bad, tokens("second"), nil},
			"too large an account": {id, first, large, tokens("second"), nil},
			"bad grant":            {id, first, member("alice"), &Grant{}, nil},
			"too large a grant":    {id, first, member("alice"), grantOfSize(maxGrantBytes + 4), nil},
		} {
			was := w.stored(done.Token)
			_, err := w.Renew(ctx, c.id, c.was, c.identity, c.grant)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				w.Errorf("%s: %v, want %v", name, err, c.want)
			}
			if c.want == nil && (errors.Is(err, ErrRenewed) || errors.Is(err, ErrUnknownHandle)) {
				w.Errorf("%s: %v, want a refusal", name, err)
			}
			w.unchanged(done.Token, was)
		}
	})
}

// A session that has ended is not brought back by a renewal that was under way.
func TestRenewDoesNotReviveASession(t *testing.T) {
	for name, end := range map[string]func(w *world, done SignedIn){
		"revoked":    func(w *world, done SignedIn) { _, _ = w.Revoke(ctx, done.Token, done.Entry.Handle) },
		"signed out": func(w *world, done SignedIn) { _, _ = w.SignOut(ctx, done.Token, Visit{}) },
		"ended by SID": func(w *world, _ SignedIn) {
			_, _ = w.End(ctx, Selection{Method: "oidc", SID: "sid"}, nil)
		},
		"idle":     func(w *world, _ SignedIn) { w.clock.advance(DefaultIdleTimeout) },
		"gone":     func(w *world, _ SignedIn) { w.people.setGone(true, member("alice").Account) },
		"replaced": func(w *world, done SignedIn) { w.member(done.Token, "alice") },
	} {
		t.Run(name, func(t *testing.T) {
			everyWorld(t, defaults(), func(w *world) {
				done := w.member(w.signIn(Token{}, "bob").Token, "alice")
				end(w, done)
				_, err := w.Renew(ctx, done.Entry.ID, done.Entry.Grant, member("alice"), tokens("second"))
				if !errors.Is(err, ErrUnknownHandle) {
					w.Errorf("Renew: %v, want ErrUnknownHandle", err)
				}
				if found, err := w.Sessions(ctx, Selection{Session: done.Entry.ID}); err != nil || len(found) != 0 {
					w.Errorf("the session lives: %v, %v", found, err)
				}
			})
		})
	}
}

// Whoever does not know whether a renewal was stored tries again, and must not be told that somebody
// else was faster.
func TestRenewTwiceIsOnce(t *testing.T) {
	w := newWorld(t, defaults())
	done := w.member(Token{}, "alice")
	lost := errors.New("the answer was lost")
	w.mem.after = func(_ context.Context, c call) error {
		if c.op == "swap" {
			return lost
		}
		return nil
	}
	second := tokens("second")
	if _, err := w.Renew(ctx, done.Entry.ID, done.Entry.Grant, member("alice"), second); !errors.Is(err, lost) {
		t.Fatalf("Renew: %v, want the store's error", err)
	}
	w.mem.after = nil
	was := w.stored(done.Token)
	got, err := w.Renew(ctx, done.Entry.ID, done.Entry.Grant, member("alice"), second)
	if err != nil || !got.Grant.Equal(second) {
		t.Errorf("Renew again: %+v, %v", got.Grant, err)
	}
	w.unchanged(done.Token, was)
}

// Of many who renew one session one wins, and all others are told so.
func TestParallelRenewals(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		done := w.member(Token{}, "alice")
		won := make(chan string, 20)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				text := fmt.Sprint(i)
				_, err := w.Renew(ctx, done.Entry.ID, done.Entry.Grant, member("alice"), tokens(text))
				switch {
				case err == nil:
					won <- text
				case !errors.Is(err, ErrRenewed):
					w.Errorf("Renew: %v", err)
				}
			})
		}
		wg.Wait()
		close(won)
		if len(won) != 1 {
			w.Fatalf("%d won, want 1", len(won))
		}
		if e, _ := w.visit(done.Token).Active(); string(e.Grant.Sealed) != <-won {
			w.Errorf("the tokens are %q, and not the winner's", e.Grant.Sealed)
		}
	})
}

// TestRenewAmongSignIns renews again and again in a jar that sign-ins move without pause. Each new
// refresh token is the only one that the provider takes from then on: none may be lost.
func TestRenewAmongSignIns(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		done := w.member(Token{}, "alice")
		stop := make(chan struct{})
		moved := make(chan Token)
		go func() {
			token := done.Token
			for i := 0; ; i++ {
				select {
				case <-stop:
					moved <- token
					return
				default:
				}
				next, err := w.SignIn(ctx, token, person(fmt.Sprintf("user-%d", i%3)), nil, Client{})
				if err != nil {
					t.Error(err)
				} else {
					token = next.Token
				}
			}
		}()
		rounds := 100
		if testing.Short() {
			rounds = 20
		}
		grant := done.Entry.Grant
		for i := range rounds {
			next := tokens(fmt.Sprint(i))
			s, err := w.Renew(ctx, done.Entry.ID, grant, member("alice"), next)
			if err != nil || !s.Grant.Equal(next) {
				t.Errorf("renewal %d: %+v, %v", i, s.Grant, err)
				break
			}
			grant = s.Grant
		}
		close(stop)
		token := <-moved
		w.restart(defaults())
		for _, e := range w.visit(token).Entries() {
			if e.ID == done.Entry.ID && e.Grant.Equal(grant) {
				return
			}
		}
		t.Error("the last tokens are not in the jar")
	})
}

// The jar moves after the renewal has found it and before it looks at it.
func TestRenewInAJarThatMoves(t *testing.T) {
	for _, op := range []string{"get", "swap"} {
		w := newWorld(t, defaults())
		done := w.member(Token{}, "alice")
		w.restart(defaults()) // so that the jar is read from the store
		reached, release := w.mem.pause(&w.mem.before, op)
		result := make(chan error)
		go func() {
			_, err := w.Renew(ctx, done.Entry.ID, done.Entry.Grant, member("alice"), tokens("second"))
			result <- err
		}()
		<-reached
		token := w.signIn(done.Token, "bob").Token
		release()
		if err := <-result; err != nil {
			t.Errorf("before its %s: %v", op, err)
		}
		w.want(token, "alice bob*")
		if e := w.visit(token).Entries()[0]; string(e.Grant.Sealed) != "second" {
			t.Errorf("before its %s: the tokens are %q, want the renewed ones", op, e.Grant.Sealed)
		}
	}
}

// A renewal whose jar goes between its tries must not answer with what it saw first.
func TestRenewThatIsOvertakenByTheEnd(t *testing.T) {
	w := newWorld(t, defaults())
	done := w.member(w.signIn(Token{}, "bob").Token, "alice")
	reached, release := w.mem.pause(&w.mem.before, "swap")
	result := make(chan error)
	go func() {
		_, err := w.Renew(ctx, done.Entry.ID, done.Entry.Grant, member("alice"), tokens("second"))
		result <- err
	}()
	<-reached
	if _, err := w.Revoke(ctx, done.Token, done.Entry.Handle); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-result; !errors.Is(err, ErrUnknownHandle) {
		t.Errorf("Renew: %v, want ErrUnknownHandle", err)
	}
	w.want(done.Token, "bob*")
}
