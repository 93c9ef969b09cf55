package session

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// laptop is the client of the browser in these tests.
var laptop = Client{IP: "192.0.2.1", UserAgent: "Laptop/1.0", Confirmed: true}

// arrive returns the client of a request that arrives with a token now.
func (w *world) arrive(token Token, client Client) Client {
	w.Helper()
	id, err := w.JarOf(ctx, token)
	if err != nil {
		w.Fatal(err)
	}
	client.JarID = id
	return client
}

// signInFrom signs somebody in by a request that arrived as the client says.
func (w *world) signInFrom(client Client, token Token, name string) SignedIn {
	w.Helper()
	done, err := w.SignIn(ctx, token, person(name), nil, client)
	if err != nil {
		w.Fatalf("sign in %s: %v", name, err)
	}
	return done
}

// The browser has alice, and sends a sign-in with her token that is answered. What it does next
// with the same token must lose nothing, and give it one token whatever answer comes last.
func TestSignInsWithAReplacedTokenJoin(t *testing.T) {
	roaming := Client{IP: "198.51.100.7", UserAgent: "Laptop/1.0"}
	for _, c := range []struct {
		name  string
		then  func(w *world)
		as    string
		from  Client
		joins string
	}{
		{"the form sent again at once", nil, "bob", laptop, "alice bob*"},
		{"the form sent again from another network, before the time", func(w *world) { w.clock.advance(repeatTime - time.Millisecond) }, "bob", roaming, "alice bob*"},
		{"another account at once", nil, "carol", laptop, "alice bob carol*"},
		{"another account before the time", func(w *world) { w.clock.advance(overlapTime - time.Millisecond) }, "carol", laptop, "alice bob carol*"},
		{"another account after the memory was lost", func(w *world) { w.restart(w.options) }, "carol", laptop, "alice bob carol*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyWorld(t, defaults(), func(w *world) {
				alice := w.signInFrom(laptop, Token{}, "alice")
				first := w.signInFrom(w.arrive(alice.Token, laptop), alice.Token, "bob")
				if c.then != nil {
					c.then(w)
				}
				second := w.signInFrom(w.arrive(alice.Token, c.from), alice.Token, c.as)
				if second.Token != first.Token || second.JarID != first.JarID {
					w.Error("the second answer gives the browser another token or jar than the first")
				}
				w.want(second.Token, c.joins)
				w.want(alice.Token, "")
			})
		})
	}
}

// Sign-ins take time to prove the account. Each has arrived before the first one moves the jar, so
// it joins, even though the browser has presented the new token by then.
func TestSignInsUnderWayJoin(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		alice := w.signInFrom(laptop, Token{}, "alice")
		bob, carol := w.arrive(alice.Token, laptop), w.arrive(alice.Token, laptop)
		first := w.signInFrom(bob, alice.Token, "bob")
		w.want(first.Token, "alice bob*")
		w.settle()
		second := w.signInFrom(carol, alice.Token, "carol")
		if second.Token != first.Token {
			w.Error("the second answer gives the browser another token than the first")
		}
		w.want(first.Token, "alice bob carol*")
	})
}

func TestManySignInsAtOnceJoin(t *testing.T) {
	const tabs = 20
	options := defaults()
	options.MaxSessions = tabs + 1
	everyWorld(t, options, func(w *world) {
		alice := w.signInFrom(laptop, Token{}, "alice")
		tokens := make([]Token, tabs)
		var wg sync.WaitGroup
		for i := range tabs {
			client := w.arrive(alice.Token, laptop)
			wg.Go(func() {
				done, err := w.SignIn(ctx, alice.Token, person(fmt.Sprintf("user-%d", i)), nil, client)
				if err != nil {
					t.Errorf("tab %d: %v", i, err)
				}
				tokens[i] = done.Token
			})
		}
		wg.Wait()
		for i, token := range tokens {
			if token != tokens[0] {
				t.Fatalf("tab %d got another token", i)
			}
		}
		if n := len(w.visit(tokens[0]).Entries()); n != tabs+1 {
			t.Errorf("%d accounts, want %d", n, tabs+1)
		}
		w.invariants(w.stored(tokens[0]).Jar)
	})
}

// A replaced token is worth nothing to whoever has stolen or planted it: his sign-in must not reach
// the jar, and the owner's must not reach a jar whose token he knows.
func TestReplacedTokensAreWorthless(t *testing.T) {
	stranger := Client{IP: "203.0.113.9", UserAgent: "Laptop/1.0", Confirmed: true}
	unconfirmed := laptop
	unconfirmed.Confirmed = false
	for _, c := range []struct {
		name string
		then func(w *world, next Token)
		as   string
		from Client
	}{
		{"after the new one was presented", func(w *world, next Token) { w.visit(next) }, "mallory", laptop},
		{"after the new one was presented, and the memory was lost", func(w *world, next Token) { w.visit(next); w.settle(); w.restart(w.options) }, "mallory", laptop},
		{"after the new one was presented, for the account that has signed in", func(w *world, next Token) { w.visit(next) }, "bob", laptop},
		{"after the time", func(w *world, _ Token) { w.clock.advance(overlapTime) }, "mallory", laptop},
		{"after the time, for the account that has signed in", func(w *world, _ Token) { w.clock.advance(repeatTime) }, "bob", laptop},
		{"after the jar has moved on", func(w *world, next Token) { w.signIn(next, "carol") }, "bob", laptop},
		{"from another address", nil, "mallory", stranger},
		{"from another browser", nil, "mallory", Client{IP: laptop.IP, UserAgent: "Phone/1.0", Confirmed: true}},
		{"from an unknown client", nil, "mallory", Client{Confirmed: true}},
		{"at a host that has not used the jar", nil, "mallory", unconfirmed},
		{"for an account that was in the jar before", nil, "alice", stranger},
	} {
		t.Run(c.name, func(t *testing.T) {
			everyWorld(t, defaults(), func(w *world) {
				alice := w.signInFrom(laptop, Token{}, "alice")
				jar := w.signInFrom(w.arrive(alice.Token, laptop), alice.Token, "bob")
				if c.then != nil {
					c.then(w, jar.Token)
				}
				other := w.signInFrom(w.arrive(alice.Token, c.from), alice.Token, c.as)
				if other.JarID == jar.JarID || other.Token == jar.Token {
					w.Error("the replaced token led to the jar")
				}
				w.want(other.Token, c.as+"*")
				w.want(alice.Token, "")
				if got := names(w.visit(jar.Token)); strings.Contains(got, "mallory") {
					w.Errorf("the jar has %s", got)
				}
			})
		})
	}
}

// The id of a jar is in logs. Without a token that the jar has replaced it opens nothing.
func TestJarIDsAreNoSecrets(t *testing.T) {
	w := newWorld(t, defaults())
	alice := w.signInFrom(laptop, Token{}, "alice")
	jar := w.signInFrom(w.arrive(alice.Token, laptop), alice.Token, "bob")
	client := laptop
	client.JarID = jar.JarID
	for name, token := range map[string]Token{"no token": {}, "an unknown token": NewToken()} {
		if done := w.signInFrom(client, token, "bob"); done.JarID == jar.JarID {
			t.Errorf("%s: the sign-in joined the jar", name)
		}
	}
}

func TestTheNewTokenNeedsBothTheOldOneAndTheSalt(t *testing.T) {
	token, salt := NewToken(), [32]byte{1}
	next := token.next(salt)
	if next != token.next(salt) || next == token || next.IsZero() {
		t.Error("want one other token for each token and salt")
	}
	if next == token.next([32]byte{2}) || next == NewToken().next(salt) {
		t.Error("the token does not depend on both")
	}
}

// A move is of use for seconds. Later writes drop it, and earlier releases can read the jar again.
func TestMovesAreForgotten(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		alice := w.signIn(Token{}, "alice")
		both := w.signIn(alice.Token, "bob")
		if move := w.stored(both.Token).Move; move == nil || move.From != alice.Token.Key() {
			w.Fatalf("the move is %+v", move)
		}
		w.visit(both.Token)
		w.settle()
		if move := w.stored(both.Token).Move; move == nil || !move.presented.Load() {
			w.Error("the store has not learned that the new token was presented")
		}
		if keys, err := w.store.Find(ctx, movedTerm(alice.Token.Key()), "", 1); err != nil || len(keys) > 0 {
			w.Errorf("Find = %v, %v; want no jar under the replaced token", keys, err)
		}
		w.clock.advance(repeatTime)
		if _, err := w.SetActive(ctx, both.Token, alice.Entry.Handle); err != nil {
			w.Fatal(err)
		}
		if move := w.stored(both.Token).Move; move != nil {
			w.Errorf("the move is still stored: %+v", move)
		}
	})
}

// A sign-out that arrives while an account is added, with the same token. Whatever comes first, the
// accounts that the browser knew of have ended when the sign-out is acknowledged.
func TestSignOutEndsWhatItSawAmongSignIns(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	w := newWorld(t, defaults())
	for round := range rounds {
		before := w.signInFrom(laptop, Token{}, "alice")
		client, seen := w.arrive(before.Token, laptop), w.visit(before.Token)
		if round%2 == 0 {
			seen = Visit{} // its request arrives after the jar has moved, perhaps
		}
		var added SignedIn
		var wg sync.WaitGroup
		wg.Go(func() { added = w.signInFrom(client, before.Token, "bob") })
		wg.Go(func() {
			if _, err := w.SignOut(ctx, before.Token, seen); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if got := names(w.visit(added.Token)); got != "bob*" {
			t.Fatalf("round %d: signed in are %q, want \"bob*\"", round, got)
		}
		if _, _, err := w.store.Get(ctx, before.Token.Key().storeKey()); !errors.Is(err, storage.ErrNotFound) {
			t.Fatalf("round %d: the old token still has a jar", round)
		}
	}
}

func TestSignOutAfterTheJarHasMovedOn(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		alice := w.signIn(Token{}, "alice")
		seen := w.visit(alice.Token)
		bob := w.signIn(alice.Token, "bob")
		w.want(bob.Token, "alice bob*")
		carol := w.signIn(bob.Token, "carol")
		ended, err := w.SignOut(ctx, alice.Token, seen)
		if err != nil || len(ended) != 1 || ended[0].ID != alice.Entry.ID {
			w.Errorf("SignOut = %v, %v; want alice's session", ended, err)
		}
		w.want(carol.Token, "bob carol*")
	})
}
