package session

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTouchInterval(t *testing.T) {
	for _, c := range []struct {
		name       string
		idle, want time.Duration
	}{
		{"default", DefaultIdleTimeout, 5 * time.Minute},
		{"off", 0, 5 * time.Minute},
		{"negative", -1, 5 * time.Minute},
		{"an hour", time.Hour, 36 * time.Second},
		{"a second", time.Second, 10 * time.Millisecond},
	} {
		if got := (Options{IdleTimeout: c.idle}).touchInterval(); got != c.want {
			t.Errorf("%s: every %s, want %s", c.name, got, c.want)
		}
	}
}

// A browser that makes a thousand requests costs a write for each interval, and none of the rest.
func TestNoWriteForEachRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, defaults())
		token, _ := w.browser("alice", "bob")
		writes := w.mem.count("swap", "delete")
		interval := defaults().touchInterval()
		for range 1000 {
			w.clock.advance(interval / 100)
			v := w.visit(token)
			e, ok := v.Active()
			if !ok {
				t.Fatal("signed out")
			}
			v.Used(e)
			synctest.Wait()
		}
		if got := w.mem.count("swap", "delete") - writes; got != 10 {
			t.Errorf("%d writes in ten intervals, want 10", got)
		}
		if got := w.mem.count("get"); got != 0 {
			t.Errorf("%d reads, want none: the jar is in memory", got)
		}
		w.Close()
	})
}

// Requests that come together do not each queue the same use.
func TestUsesOfOneJarAreQueuedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var recorded atomic.Int64
		q := newToucher(func(context.Context, use) error {
			<-hold
			recorded.Add(1)
			return nil
		})
		for range 100 {
			q.touch(use{key: Key{1}})
			synctest.Wait()
		}
		close(hold)
		synctest.Wait()
		if got := recorded.Load(); got != 1 {
			t.Errorf("%d uses were recorded, want 1", got)
		}
		q.touch(use{key: Key{1}})
		q.close()
		if got := recorded.Load(); got != 2 {
			t.Errorf("%d uses were recorded, want the later one too", got)
		}
	})
}

func TestRecordUse(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		token, handles := w.browser("alice", "bob")
		w.clock.advance(time.Hour)
		at := w.clock.now()
		u := use{token.Key(), handles["alice"], at}
		if err := w.recordUse(ctx, u); err != nil {
			w.Fatal(err)
		}
		was := w.stored(token)
		if got := was.Sessions[0].LastUsedAt; !got.Equal(at) || was.Active != handles["bob"] {
			w.Errorf("last used at %s, want %s; active is %s", got, at, was.Active)
		}
		for _, c := range []struct {
			name string
			use  use
		}{
			{"the same again", u},
			{"an older one", use{u.key, u.handle, at.Add(-time.Minute)}},
			{"unknown session", use{u.key, "nobody", at.Add(time.Hour)}},
			{"unknown jar", use{NewToken().Key(), u.handle, at.Add(time.Hour)}},
		} {
			if err := w.recordUse(ctx, c.use); err != nil {
				w.Errorf("%s: %v", c.name, err)
			}
			w.unchanged(token, was)
		}
	})
}

// A use that was seen in time and is written too late must not bring the session back.
func TestLateUseDoesNotReviveASession(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice")
	w.clock.advance(DefaultIdleTimeout - time.Millisecond)
	seen := w.clock.now()
	w.want(token, "alice*")
	w.clock.advance(time.Millisecond)
	w.want(token, "")
	if err := w.recordUse(ctx, use{token.Key(), handles["alice"], seen}); err != nil {
		t.Fatal(err)
	}
	w.want(token, "")
}

// A use that is recorded after the session was revoked, or its jar moved, changes nothing.
func TestUseAfterRevoke(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob")
	w.clock.advance(time.Hour)
	v := w.visit(token)
	e, _ := v.Active()
	if _, err := w.Revoke(ctx, token, handles["bob"]); err != nil {
		t.Fatal(err)
	}
	v.Used(e)
	w.Close()
	w.reload(defaults())
	w.want(token, "alice*")

	v = w.visit(token)
	e, _ = v.Active()
	done := w.signIn(token, "carol")
	w.clock.advance(time.Hour)
	v.at = w.clock.now()
	v.Used(e)
	w.Close()
	w.want(token, "")
	w.want(done.Token, "alice carol*")
}

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var recorded atomic.Int64
		hold := make(chan struct{})
		q := newToucher(func(context.Context, use) error {
			<-hold
			recorded.Add(1)
			return errors.New("failures are no reason to stop")
		})
		for i := range 100 {
			q.touch(use{key: Key{byte(i)}})
		}
		closed := make(chan struct{})
		go func() {
			q.close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("close did not wait")
		default:
		}
		close(hold)
		<-closed
		if got := recorded.Load(); got != 100 {
			t.Errorf("%d uses were recorded, want 100", got)
		}
		q.touch(use{key: Key{200}}) // dropped, and no panic
		q.close()
		if got := recorded.Load(); got != 100 {
			t.Errorf("a use was recorded after the end")
		}
	})
}

// A store that hangs holds close up for a bounded time, however much is queued.
func TestCloseGivesUpOnAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newToucher(func(ctx context.Context, _ use) error {
			<-ctx.Done()
			return ctx.Err()
		})
		for i := range touchQueue {
			q.touch(use{key: Key{byte(i), byte(i >> 8)}})
		}
		begun := time.Now() // the bubble's clock
		q.close()
		if took := time.Since(begun); took > touchTimeout {
			t.Errorf("close took %s, want %s at most", took, touchTimeout)
		}
	})
}

func TestFullQueueDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var recorded atomic.Int64
		q := newToucher(func(context.Context, use) error {
			<-hold
			recorded.Add(1)
			return nil
		})
		key := func(i int) Key { return Key{byte(i), byte(i >> 8)} }
		for i := range touchWorkers { // one for each worker, so that the queue is empty again
			q.touch(use{key: key(i)})
			synctest.Wait()
		}
		for i := range touchQueue + 100 { // never waits
			q.touch(use{key: key(touchWorkers + i)})
		}
		close(hold)
		synctest.Wait()
		if got := recorded.Load(); got != touchWorkers+touchQueue {
			t.Errorf("%d uses were recorded, want %d", got, touchWorkers+touchQueue)
		}
		// What was dropped, and what was recorded, can be queued again.
		q.touch(use{key: key(touchWorkers + touchQueue + 50)})
		q.touch(use{key: key(0)})
		q.close()
		if got := recorded.Load(); got != touchWorkers+touchQueue+2 {
			t.Errorf("%d uses were recorded, want two more", got)
		}
	})
}
