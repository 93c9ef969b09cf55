package session

import (
	"testing"
	"time"
)

// sees reports an error unless a browser in a run sees these accounts.
func (w *world) sees(token Token, run, want string) {
	w.Helper()
	if got := names(w.visit(token).InRun(run)); got != want {
		w.Errorf("in the run %q signed in are %q, want %q", run, got, want)
	}
}

func TestSessionsOfARunEndWithIt(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		first, second := NewRun(), NewRun()
		alice := w.signIn(Token{}, "alice")
		jar, err := w.SignIn(ctx, alice.Token, person("bob"), nil, Client{Run: first})
		if err != nil {
			t.Fatal(err)
		}
		w.sees(jar.Token, first, "alice bob*")
		w.sees(jar.Token, "", "alice")
		w.sees(jar.Token, second, "alice")
		w.want(jar.Token, "alice bob*") // as others see the browser
		w.restart(defaults())
		w.sees(jar.Token, first, "alice bob*")
		w.sees(jar.Token, "", "alice")

		// A change in another run ends it for good.
		there := w.For(w.visit(jar.Token).InRun(second))
		if _, err := there.SetActive(ctx, jar.Token, jar.Entry.Handle); err != ErrUnknownHandle {
			w.Errorf("SetActive in another run: %v, want ErrUnknownHandle", err)
		}
		if _, err := there.SetActive(ctx, jar.Token, alice.Entry.Handle); err != nil {
			t.Fatal(err)
		}
		w.sees(jar.Token, first, "alice*")
	})
}

// Revoking the active session makes none active that is dead in the browser's run.
func TestNoSessionOfAnotherRunIsPromoted(t *testing.T) {
	w := newWorld(t, defaults())
	old, err := w.SignIn(ctx, Token{}, person("alice"), nil, Client{Run: NewRun()})
	if err != nil {
		t.Fatal(err)
	}
	both := w.signIn(old.Token, "bob")
	done, err := w.For(w.visit(both.Token).InRun("")).Revoke(ctx, both.Token, both.Entry.Handle)
	if err != nil || done.Promoted != nil || !done.Empty {
		t.Errorf("Revoke = %+v, %v; want nobody in place of bob", done, err)
	}
}

// Many browsers are never closed.
func TestSessionsOfARunLastADay(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		run := NewRun()
		done, err := w.SignIn(ctx, Token{}, person("alice"), nil, Client{Run: run})
		if err != nil {
			t.Fatal(err)
		}
		w.clock.advance(24*time.Hour - time.Millisecond)
		w.sees(done.Token, run, "alice*")
		w.clock.advance(time.Millisecond)
		w.sees(done.Token, run, "")
	})
}

func TestJarsAreTransientWithoutALastingSession(t *testing.T) {
	w := newWorld(t, defaults())
	run := NewRun()
	var token Token
	for _, step := range []struct {
		user, run string
		transient bool
	}{{"alice", run, true}, {"bob", run, true}, {"carol", "", false}, {"dave", run, false}, {"carol", run, true}} {
		done, err := w.SignIn(ctx, token, person(step.user), nil, Client{Run: step.run})
		if err != nil {
			t.Fatal(err)
		}
		token = done.Token
		if got := w.visit(token).Transient(); got != step.transient {
			t.Errorf("after %s the jar is transient: %t, want %t", step.user, got, step.transient)
		}
	}
}
