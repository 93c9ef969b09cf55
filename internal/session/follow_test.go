package session

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestFollow is what becomes of a session while somebody has a visit of it.
func TestFollow(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(w *world, token Token, handles map[string]string)
		want string // who is signed in then, as names has it
	}{
		{"nothing happens", func(*world, Token, map[string]string) {}, "alice bob*"},
		{"a switch", func(w *world, token Token, handles map[string]string) {
			if _, err := w.SetActive(context.Background(), token, handles["alice"]); err != nil {
				w.Fatal(err)
			}
		}, "alice* bob"},
		{"a sign-in moves the jar", func(w *world, token Token, _ map[string]string) { w.signIn(token, "carol") }, "alice bob carol*"},
		{"two sign-ins move the jar twice", func(w *world, token Token, _ map[string]string) {
			w.signIn(w.signIn(token, "carol").Token, "dave")
		}, "alice bob carol dave*"},
		{"a revocation", func(w *world, token Token, handles map[string]string) {
			if _, err := w.Revoke(context.Background(), token, handles["alice"]); err != nil {
				w.Fatal(err)
			}
		}, "bob*"},
		{"a sign-out", func(w *world, token Token, _ map[string]string) {
			if _, err := w.SignOut(context.Background(), token, Visit{}); err != nil {
				w.Fatal(err)
			}
		}, ""},
		{"a sign-out of the jar that was moved", func(w *world, token Token, _ map[string]string) {
			if _, err := w.SignOut(context.Background(), w.signIn(token, "carol").Token, Visit{}); err != nil {
				w.Fatal(err)
			}
		}, ""},
		{"an administrator ends an account's sessions", func(w *world, _ Token, _ map[string]string) {
			if _, err := w.End(context.Background(), Selection{Account: Account{"password", "bob"}}, nil); err != nil {
				w.Fatal(err)
			}
		}, "alice"},
		{"an account is gone", func(w *world, _ Token, _ map[string]string) {
			w.people.setGone(true, Account{"password", "bob"})
		}, "alice"},
		{"the time of all is over", func(w *world, _ Token, _ map[string]string) { w.clock.advance(DefaultIdleTimeout) }, ""},
		{"another configuration ends those of before", func(w *world, _ Token, _ map[string]string) {
			options := defaults()
			options.Lifetime = time.Minute // bob signed in a minute after alice
			w.reload(options)
		}, "bob*"},
	} {
		t.Run(test.name, func(t *testing.T) {
			everyWorld(t, defaults(), func(w *world) {
				other, _ := w.browser("eve")
				token, handles := w.browser("alice", "bob")
				was := w.visit(token)
				test.do(w, token, handles)
				for range 2 { // the second time from where the first one found it
					now, err := w.Follow(context.Background(), was)
					if err != nil {
						w.Fatal(err)
					}
					if got := names(now); got != test.want {
						w.Errorf("signed in are %q, want %q", got, test.want)
					}
					for _, e := range was.Entries() {
						entry, live := now.Live(e.ID)
						if live && (entry.ID != e.ID || entry.Identity.Account != e.Identity.Account) {
							w.Errorf("the session of %s is %s's", e.Identity.UserName, entry.Identity.UserName)
						}
					}
					was = now
				}
				if len(w.visit(other).Entries()) > 0 {
					eve := w.visit(other).Entries()[0]
					if _, live := was.Live(eve.ID); live {
						w.Error("a session of another jar is one of this")
					}
				}
			})
		})
	}
}

// TestFollowWhileTheJarMoves: a sign-in moves the jar after its place was looked up and before it is
// read there. To miss it would be to cut off somebody who is signed in.
func TestFollowWhileTheJarMoves(t *testing.T) {
	w := newWorld(t, defaults())
	w.restart(defaults())
	token, _ := w.browser("alice")
	was := w.visit(token)
	moved := w.signIn(token, "bob").Token

	found, release := w.mem.pause(&w.mem.after, "find")
	followed := make(chan Visit)
	go func() {
		now, err := w.Follow(context.Background(), was)
		if err != nil {
			t.Error(err)
		}
		followed <- now
	}()
	<-found
	w.signIn(moved, "carol")
	release()
	if got := names(<-followed); got != "alice bob carol*" {
		t.Errorf("signed in are %q", got)
	}
}

// TestFollowInDoubt: a store that fails is no sign-out, and a jar that cannot be read is one.
func TestFollowInDoubt(t *testing.T) {
	down := errors.New("the store is down")
	for _, op := range []string{"get", "find"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t, defaults())
			w.restart(defaults())
			token, _ := w.browser("alice")
			was := w.visit(token)
			w.signIn(token, "bob")
			w.mem.before = func(_ context.Context, c call) error {
				if c.op == op {
					return down
				}
				return nil
			}
			if now, err := w.Follow(context.Background(), was); !errors.Is(err, down) {
				t.Errorf("%q, %v, want the store's error", names(now), err)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		w := newWorld(t, defaults())
		w.restart(defaults())
		token, _ := w.browser("alice")
		was := w.visit(token)
		w.mem.mu.Lock()
		record := w.mem.records[token.Key().storeKey()]
		record.Value = []byte("{")
		w.mem.records[token.Key().storeKey()] = record
		w.mem.mu.Unlock()
		w.jars.Forget()
		if now, err := w.Follow(context.Background(), was); err != nil || now.JarID() != "" {
			t.Errorf("%q, %v, want no jar", names(now), err)
		}
	})
}

// TestFollowNobody: a browser without a jar has none later either, as far as anybody knows.
func TestFollowNobody(t *testing.T) {
	w := newWorld(t, defaults())
	if now, err := w.Follow(context.Background(), Visit{}); err != nil || now.JarID() != "" || w.mem.count("get", "find") > 0 {
		t.Errorf("%q, %v", names(now), err)
	}
}
