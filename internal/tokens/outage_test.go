package tokens

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// people signs further people in, and returns the entry of each.
func (w *world) people(names ...string) map[string]session.Entry {
	w.Helper()
	entries := make(map[string]session.Entry)
	for _, name := range names {
		w.provider.mu.Lock()
		granted := w.provider.issue(&session.Identity{Account: session.Account{Method: "oidc", Subject: name}, Issuer: issuer, UserName: name})
		w.provider.mu.Unlock()
		w.signIn(granted)
		entries[name], _ = w.entry()
	}
	return entries
}

func hang(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("%w: %w", login.ErrProviderUnavailable, ctx.Err())
}

// People make a request a second each. The first ones wait until it is known that the provider hangs;
// from then on nobody does, and the provider is asked now and then.
func TestProviderThatHangsStallsNobodyTwice(t *testing.T) {
	bubble(t, func(w *world) {
		entries := w.people("bob", "carol", "dave")
		w.provider.before = hang
		advance(expired)
		var all sync.WaitGroup
		for name, c := range map[string]struct{ from, stalled time.Duration }{
			"bob": {0, waitTimeout}, "carol": {3 * time.Second, waitTimeout - 3*time.Second}, "dave": {30 * time.Second, 0},
		} {
			all.Go(func() {
				time.Sleep(c.from)
				var stalled time.Duration
				for range 90 {
					begun := time.Now()
					if now, live := w.Current(w.Context(), entries[name]); !live || now != entries[name] {
						t.Errorf("%s goes on as %+v, %t", name, now, live)
					}
					stalled += time.Since(begun)
					time.Sleep(time.Second)
				}
				if stalled != c.stalled {
					t.Errorf("%s was stalled for %s, want %s", name, stalled, c.stalled)
				}
			})
		}
		all.Wait()
		if n := w.provider.asked(); n > 8 {
			t.Errorf("the provider was asked %d times in two minutes", n)
		}
		if n := w.log.FilterMessageSnippet("go on without it").Len(); n != 1 {
			t.Errorf("the outage is logged %d times", n)
		}
	})
}

// The provider's answers come, and later than people wait for them.
func TestSlowProviderStallsNobodyTwice(t *testing.T) {
	bubble(t, func(w *world) {
		for _, c := range []struct{ delay, stalled time.Duration }{
			{waitTimeout + time.Second, waitTimeout},
			{waitTimeout + time.Second, 0},
			{3 * time.Second, 0}, // that it is well again shows now
			{3 * time.Second, 3 * time.Second},
		} {
			w.provider.delay = c.delay
			asked := w.provider.asked()
			advance(expired)
			w.took(c.stalled, func() { w.must() })
			advance(c.delay)
			w.must()
			if n := w.provider.asked() - asked; n != 1 {
				t.Errorf("the provider was asked %d times, want once", n)
			}
			if _, tokens := w.must(); tokens.Refresh != fmt.Sprintf("refresh-%d", w.provider.asked()) {
				t.Errorf("the answer is lost: %+v", tokens)
			}
		}
	})
}

// While a provider does not answer, one session's renewal finds out whether it is back.
func TestOneRenewalAtATimeAsksInAnOutage(t *testing.T) {
	bubble(t, func(w *world) {
		names := []string{"bob", "carol", "dave"}
		entries := w.people(names...)
		down := func(context.Context) error { return login.ErrProviderUnavailable }
		w.provider.before = down
		advance(expired)
		w.Current(w.Context(), entries["bob"])
		advance(firstSetback)
		w.provider.before = hang
		asked := w.provider.asked()
		for range 5 {
			for _, name := range names {
				w.took(0, func() { w.Current(w.Context(), entries[name]) })
			}
			advance(time.Second)
		}
		if n := w.provider.asked() - asked; n != 1 {
			t.Errorf("%d renewals ask at once, want one", n)
		}
		advance(askTimeout + maxSetback)
		w.provider.before = nil
		w.Current(w.Context(), entries["dave"])
		synctest.Wait()
		if len(w.outages) != 0 {
			t.Error("the provider answers, and the outage goes on")
		}
	})
}

// Many are asked at once when a provider goes away. That is one failure, not one for each.
func TestFailuresAtOnceAreOne(t *testing.T) {
	bubble(t, func(w *world) {
		entries := w.people("bob", "carol", "dave")
		w.provider.before = func(context.Context) error {
			time.Sleep(time.Duration(w.provider.asked()) * time.Second)
			return login.ErrProviderUnavailable
		}
		advance(expired)
		var all sync.WaitGroup
		for _, e := range entries {
			all.Go(func() { w.Current(w.Context(), e) })
		}
		all.Wait()
		advance(5 * time.Second)
		if o := w.outages["oidc"]; o == nil || o.failures != 1 {
			t.Errorf("%+v", o)
		}
	})
}
