package session

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// configure is what a reload does: a new manager, and a roster that replaces the last. Accounts
// that the roster does not have are gone.
func (w *world) configure(roster Roster, everybody ...string) (int, error) {
	w.Helper()
	known := make(map[Account]bool)
	open := make(map[string]bool)
	for method, subjects := range roster {
		open[method] = subjects == nil
		for _, s := range subjects {
			known[Account{method, s}] = true
		}
	}
	for _, name := range everybody {
		a := person(name).Account
		w.people.setGone(!known[a] && !open[a.Method], a)
	}
	w.reload(defaults())
	w.clock.advance(time.Second)
	return endMissing(w.Manager, roster)
}

// endMissing is what a configuration does that comes into force.
func endMissing(m *Manager, roster Roster) (int, error) {
	left, err := m.EndNoted(ctx)
	if err != nil && !errors.Is(err, ErrUnreadable) {
		return left, err
	}
	if err := m.NoteRoster(ctx, roster, nil); err != nil {
		return left, err
	}
	ended, err := m.EndNoted(ctx)
	return left + ended, err
}

func (w *world) mustConfigure(want int, roster Roster, everybody ...string) {
	w.Helper()
	if n, err := w.configure(roster, everybody...); n != want || err != nil {
		w.Fatalf("EndMissing(%v) = %d, %v; want %d", roster, n, err, want)
	}
}

func TestEndMissing(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		all := []string{"alice", "bob", "carol"}
		w.mustConfigure(0, Roster{"password": {"alice", "bob", "carol"}}, all...)
		a, _ := w.browser("alice", "bob")
		b, _ := w.browser("bob")
		w.mustConfigure(0, Roster{"password": {"alice", "bob", "carol"}}, all...)
		w.want(a, "alice bob*")

		// Bob is taken out while no process runs.
		w.restart(defaults())
		w.mustConfigure(2, Roster{"password": {"alice", "carol"}}, all...)
		w.want(a, "alice")
		w.want(b, "")

		// And comes back: not he who was signed in before, but whoever knows the new password.
		w.restart(defaults())
		w.mustConfigure(0, Roster{"password": {"alice", "bob", "carol"}}, all...)
		w.want(a, "alice")
		w.want(b, "")

		// A method that is gone as a whole.
		w.mustConfigure(1, Roster{"google": nil}, all...)
		w.want(a, "")
		w.mustConfigure(0, Roster{"password": {"alice", "bob", "carol"}}, all...)
		w.want(a, "")
	})
}

func TestEndMissingLeavesOthersAlone(t *testing.T) {
	w := newWorld(t, defaults())
	w.mustConfigure(0, Roster{"password": {"alice", "bob"}, "google": nil})
	token, _ := w.browser("alice", "bob")
	google := person("alice")
	google.Account.Method = "google"
	done, err := w.SignIn(ctx, token, google, nil, Client{})
	if err != nil {
		t.Fatal(err)
	}
	w.mustConfigure(1, Roster{"password": {"bob"}, "google": nil})
	w.want(done.Token, "bob alice*")
	w.mustConfigure(1, Roster{"google": nil})
	w.want(done.Token, "alice*")
}

// A method that does not know all of its accounts says nothing by not naming one.
func TestEndMissingOfMethodsThatDoNotKnow(t *testing.T) {
	w := newWorld(t, defaults())
	w.mustConfigure(0, Roster{"password": nil})
	token, _ := w.browser("alice", "bob")
	w.mustConfigure(0, Roster{"password": {"alice"}}) // knows from here on
	w.want(token, "alice bob*")
	w.mustConfigure(0, Roster{"password": nil})
	w.want(token, "alice bob*")
	w.mustConfigure(0, Roster{"password": {}})
	w.want(token, "alice bob*")
	w.mustConfigure(1, Roster{"password": {"bob"}}) // bob is new to a method that knew of nobody
	w.want(token, "alice")
}

// The last request of the old configuration signs somebody in whom the new one has taken out.
func TestSignInBehindTheReload(t *testing.T) {
	for _, c := range []struct {
		name           string
		without, again Roster
	}{
		{"account", Roster{"password": {}}, Roster{"password": {"bob"}}},
		{"method", Roster{}, Roster{"password": {"bob"}}},
		{"method that does not know", Roster{}, Roster{"password": nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, defaults())
			w.mustConfigure(0, Roster{"password": {"bob"}})
			old := w.Manager
			w.mustConfigure(0, c.without)
			done, err := old.SignIn(ctx, Token{}, person("bob"), nil, Client{})
			if err != nil {
				t.Fatal(err)
			}
			w.mustConfigure(1, c.again)
			w.want(done.Token, "")
		})
	}
}

// An account that was just added signs in before the search for its leftovers has begun anew.
func TestEndMissingSparesNewSessions(t *testing.T) {
	w := newWorld(t, defaults())
	w.mustConfigure(0, Roster{"password": {}})
	found, release := w.mem.pause(&w.mem.before, "find")
	out := make(chan error)
	go func() {
		n, err := endMissing(w.Manager, Roster{"password": {"bob"}})
		if n != 0 {
			err = errors.New("ended a session of the new account")
		}
		out <- err
	}()
	select {
	case <-found:
	case err := <-out:
		t.Fatalf("did not search: %v", err)
	}
	w.clock.advance(time.Millisecond)
	done := w.signIn(Token{}, "bob")
	release()
	if err := <-out; err != nil {
		t.Fatal(err)
	}
	w.want(done.Token, "bob*")
}

func TestEndMissingFirstTime(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	w.mustConfigure(0, Roster{"password": {"alice"}})
	w.want(token, "alice*")
	writes := w.mem.count("swap")
	w.mustConfigure(0, Roster{"password": {"alice"}})
	if w.mem.count("swap") != writes {
		t.Error("an unchanged roster was written again")
	}
}

// Whatever fails, the next call does what is left.
func TestEndMissingIsCaughtUp(t *testing.T) {
	broken := errors.New("broken")
	for _, op := range []string{"get", "find", "swap", "delete"} {
		for _, committed := range []bool{false, true} {
			for after := range 8 {
				w := newWorld(t, defaults())
				w.mustConfigure(0, Roster{"password": {"alice", "bob", "carol"}, "google": nil})
				a, _ := w.browser("alice", "bob", "carol")
				b, _ := w.browser("bob")
				w.restart(defaults())
				var calls atomic.Int32
				fail := func(_ context.Context, c call) error {
					if c.op == op && int(calls.Add(1)) > after {
						return broken
					}
					return nil
				}
				if committed {
					w.mem.after = fail
				} else {
					w.mem.before = fail
				}
				roster := Roster{"password": {"alice"}}
				if _, err := w.configure(roster); err != nil && !errors.Is(err, broken) {
					t.Fatalf("%s %d: %v", op, after, err)
				}
				w.mem.before, w.mem.after = nil, nil
				w.restart(defaults())
				if _, err := w.configure(roster); err != nil {
					t.Fatalf("%s %d: second time: %v", op, after, err)
				}
				w.want(a, "alice")
				w.want(b, "")
				stored, _, err := w.jars.loadRoster(ctx)
				if err != nil || len(stored.Methods) != 1 || len(stored.Methods["password"]) != 1 || len(stored.Ending) != 0 {
					t.Errorf("%s %d: the roster is %v, %v", op, after, stored, err)
				}
			}
		}
	}
}

// Two managers on one store, as during a reload, must both come through.
func TestTwoManagersStoreTheRoster(t *testing.T) {
	w := newWorld(t, defaults())
	w.mustConfigure(0, Roster{"password": {"alice", "bob"}})
	token, _ := w.browser("alice", "bob")
	w.clock.advance(time.Second)
	storing, release := w.mem.pause(&w.mem.before, "swap")
	w.restart(defaults())
	first, second := w.Manager, NewManager(w.jars, w.people, defaults(), w.clock.now)
	t.Cleanup(second.Close)
	roster := Roster{"password": {"alice"}}
	out := make(chan error)
	go func() {
		_, err := endMissing(first, roster)
		out <- err
	}()
	<-storing
	if _, err := endMissing(second, roster); err != nil {
		t.Error(err)
	}
	release()
	if err := <-out; err != nil {
		t.Error(err)
	}
	w.want(token, "alice")

	t.Run("at the roster itself", func(t *testing.T) {
		w := newWorld(t, defaults())
		storing, release := w.mem.pause(&w.mem.before, "swap")
		go func() {
			_, err := endMissing(w.Manager, roster)
			out <- err
		}()
		<-storing
		if _, err := endMissing(w.Manager, roster); err != nil {
			t.Error(err)
		}
		release()
		if err := <-out; err != nil {
			t.Error(err)
		}
	})
}

// One jar that this release cannot read does not keep the roster from being stored, or whoever is
// added later would be signed out again by each restart.
func TestEndMissingWithAnUnreadableJar(t *testing.T) {
	w := newWorld(t, defaults())
	w.mustConfigure(0, Roster{"password": {"alice", "bob"}})
	damaged, _ := w.browser("bob")
	good, _ := w.browser("bob", "alice")
	key := damaged.Key().storeKey()
	record, revision, err := w.store.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	record.Value = []byte("{}")
	if _, err := w.store.CompareAndSwap(ctx, key, revision, record); err != nil {
		t.Fatal(err)
	}
	w.restart(defaults())
	if n, err := w.configure(Roster{"password": {"alice"}}); n != 1 || !errors.Is(err, ErrUnreadable) {
		t.Errorf("EndMissing = %d, %v; want 1 and ErrUnreadable", n, err)
	}
	w.want(good, "alice*")
	w.mustConfigure(0, Roster{"password": {"alice"}})
}

func TestUnreadableRosterEndsNothing(t *testing.T) {
	for name, value := range map[string]string{"damaged": "{", "of a later release": `{"v":3,"methods":{}}`} {
		w := newWorld(t, defaults())
		token, _ := w.browser("alice")
		record := storage.Record{Key: rosterKey, Value: []byte(value), Expiry: noExpiry}
		if _, err := w.store.CompareAndSwap(ctx, rosterKey, 0, record); err != nil {
			t.Fatal(err)
		}
		if n, err := w.configure(Roster{}); n != 0 || err == nil {
			t.Errorf("%s: EndMissing = %d, %v; want an error", name, n, err)
		}
		w.want(token, "alice*")
		got, _, err := w.store.Get(ctx, rosterKey)
		if err != nil || string(got.Value) != value {
			t.Errorf("%s: the roster was replaced by %q, %v", name, got.Value, err)
		}
	}
}

// A roster that has the accounts again comes into force before, or while, their sessions are ended.
func TestEndNotedIsNotForgotten(t *testing.T) {
	all := Roster{"password": {"alice", "bob"}}
	for _, c := range []struct {
		name           string
		without, again Roster
	}{
		{"account", Roster{"password": {"alice"}}, all},
		{"account of a method that knows no more", Roster{"password": {"alice"}}, Roster{"password": nil}},
		{"method", Roster{}, all},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, defaults())
			w.mustConfigure(0, all)
			old, _ := w.browser("bob")
			w.clock.advance(time.Second)
			for _, roster := range []Roster{c.without, c.again} {
				if err := w.NoteRoster(ctx, roster, nil); err != nil {
					t.Fatal(err)
				}
			}
			w.restart(defaults())
			w.clock.advance(time.Second)
			fresh, _ := w.browser("bob")
			if n, err := w.EndNoted(ctx); n != 1 || err != nil {
				t.Errorf("EndNoted = %d, %v; want 1", n, err)
			}
			w.want(old, "")
			w.want(fresh, "bob*")
			if n, err := w.EndNoted(ctx); n != 0 || err != nil {
				t.Errorf("EndNoted again = %d, %v; want 0", n, err)
			}
			if stored, _, err := w.jars.loadRoster(ctx); err != nil || len(stored.Ending) != 0 {
				t.Errorf("still to be ended: %v, %v", stored.Ending, err)
			}
		})
	}
}
