package session

import (
	"sync"
	"testing"
	"time"
)

func (w *world) told(watch *Watch) bool {
	w.Helper()
	select {
	case <-watch.Changed():
		return true
	default:
		return false
	}
}

func TestWatchTellsOfEveryWrite(t *testing.T) {
	tests := map[string]func(w *world, token Token, handle string){
		"sign-in":  func(w *world, token Token, _ string) { w.signIn(token, "carol") },
		"switch":   func(w *world, token Token, handle string) { _, _ = w.SetActive(ctx, token, handle) },
		"revoke":   func(w *world, token Token, handle string) { _, _ = w.Revoke(ctx, token, handle) },
		"sign-out": func(w *world, token Token, _ string) { _, _ = w.SignOut(ctx, token, Visit{}) },
		"ended by an administrator": func(w *world, _ Token, _ string) {
			_, _ = w.EndAccount(ctx, person("alice").Account, w.clock.now().Add(time.Hour))
		},
		"the store replaced": func(w *world, _ Token, _ string) { w.Manager.jars.Forget() },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			everyWorld(t, defaults(), func(w *world) {
				alice := w.signIn(Token{}, "alice")
				both := w.signIn(alice.Token, "bob")
				other := w.signIn(Token{}, "dave")
				watch, second, elsewhere := w.Watch(both.Token), w.Watch(both.Token), w.Watch(other.Token)
				defer elsewhere.Stop()
				if w.told(watch) {
					t.Error("told before anything has changed")
				}
				change(w, both.Token, alice.Entry.Handle)
				if !w.told(watch) || !w.told(second) {
					t.Error("not told")
				}
				if w.told(elsewhere) && name != "the store replaced" {
					t.Error("told of another jar")
				}
				watch.Stop()
				watch.Stop()
				second.Stop()
				if n := len(w.Manager.jars.shard(both.Token.Key()).watched[both.Token.Key()]); n != 0 {
					t.Errorf("%d watches are left", n)
				}
			})
		})
	}
}

// The old token of a jar that has moved is watched by whoever knew it. They are told once, that it is dead,
// and nothing of what happens to the jar afterwards.
func TestAWatchDoesNotFollowTheJarToItsNewToken(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		first := w.signIn(Token{}, "alice")
		stolen := w.Watch(first.Token)
		defer stolen.Stop()
		second := w.signIn(first.Token, "bob")
		if !w.told(stolen) {
			t.Error("not told that the token is dead")
		}
		w.want(first.Token, "")
		if _, err := w.SetActive(ctx, second.Token, first.Entry.Handle); err != nil {
			t.Fatal(err)
		}
		if w.told(stolen) {
			t.Error("told of the jar under its new token")
		}
	})
}

func TestWatchesAndWritesAtOnce(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		alice := w.signIn(Token{}, "alice")
		bob := w.signIn(alice.Token, "bob")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				watch := w.Watch(bob.Token)
				defer watch.Stop()
				// Whoever comes last has written after this began to watch.
				for _, handle := range []string{alice.Entry.Handle, bob.Entry.Handle} {
					if _, err := w.SetActive(ctx, bob.Token, handle); err != nil {
						t.Error(err)
					}
				}
				<-watch.Changed()
			})
		}
		all.Wait()
	})
}
