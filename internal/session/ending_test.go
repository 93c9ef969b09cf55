package session

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// What has ended is dead before it is removed, and stays dead if the process ends meanwhile.
func TestSessionsThatEndAllAtOnceAreDeadBeforeTheyAreRemoved(t *testing.T) {
	for name, end := range map[string]func(w *world) error{
		"everybody": func(w *world) error { _, err := w.End(ctx, Selection{Everybody: true}, nil); return err },
		"account":   func(w *world) error { return w.NoteRoster(ctx, Roster{"password": {}}, nil) },
		"method":    func(w *world) error { return w.NoteRoster(ctx, Roster{}, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, defaults())
			if err := w.NoteRoster(ctx, Roster{"password": {"bob"}}, nil); err != nil {
				t.Fatal(err)
			}
			token, _ := w.browser("bob")
			w.clock.advance(time.Second)
			removing, release := w.mem.pause(&w.mem.before, "delete")
			ended := make(chan error)
			go func() {
				err := end(w)
				if err == nil {
					_, err = w.EndNoted(ctx)
				}
				ended <- err
			}()
			<-removing
			w.want(token, "")
			w.clock.advance(time.Second)
			fresh := w.signIn(Token{}, "bob")
			w.want(fresh.Token, "bob*")

			crashed := NewJars(w.store)
			if err := crashed.LoadEndings(ctx); err != nil {
				t.Fatal(err)
			}
			m := NewManager(crashed, w.people, defaults(), w.clock.now)
			defer m.Close()
			v, err := m.Visit(ctx, token)
			if got := names(v); err != nil || got != "" {
				t.Errorf("after a crash, signed in are %q, %v; want nobody", got, err)
			}
			release()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			w.restart(defaults())
			w.want(token, "")
			w.want(fresh.Token, "bob*")
			if record, _, err := w.jars.loadRoster(ctx); err != nil || len(record.Ending) != 0 {
				t.Errorf("still noted: %v, %v", record.Ending, err)
			}
		})
	}
}

// A sign-in that has read its jar before everybody's sessions ended stores them again.
func TestEndingOutlastsChangesUnderWay(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	w.clock.advance(time.Second)
	storing, release := w.mem.pause(&w.mem.before, "swap")
	signedIn := make(chan SignedIn)
	go func() { signedIn <- w.signIn(token, "bob") }()
	<-storing
	w.clock.advance(time.Second)
	ended := make(chan error)
	go func() {
		_, err := w.End(ctx, Selection{Everybody: true}, nil)
		ended <- err
	}()
	for w.jars.endings.Load() == nil {
		runtime.Gosched()
	}
	release()
	done := <-signedIn
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	w.restart(defaults())
	w.want(done.Token, "")
	w.want(token, "")
}

func TestEverybodyIsReported(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		const browsers = 2*batchSize + 1
		for i := range browsers {
			w.browser(fmt.Sprint("user-", i))
		}
		ended, err := w.End(ctx, Selection{Everybody: true}, nil)
		if len(ended) != browsers || err != nil {
			t.Errorf("ended %d sessions, %v; want %d", len(ended), err, browsers)
		}
		seen := make(map[string]bool)
		for _, e := range ended {
			seen[e.ID] = true
		}
		if len(seen) != browsers {
			t.Errorf("%d sessions are named, want %d", len(seen), browsers)
		}
	})
}

func TestRosterVersion(t *testing.T) {
	for name, test := range map[string]struct {
		ending ending
		want   int
	}{
		"of a method": {ending{Method: "password"}, 1},
		"everybody":   {ending{}, 2},
	} {
		record := rosterRecord{Ending: []ending{test.ending}}
		if record.setVersion(); record.Version != test.want {
			t.Errorf("%s: version %d, want %d", name, record.Version, test.want)
		}
	}
}
