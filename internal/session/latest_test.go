package session

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

func TestLatestSessions(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		// Most browsers have two accounts, so that a jar has both an early and a late sign-in.
		var tokens []Token
		for i := range 20 {
			w.clock.advance(time.Second)
			tokens = append(tokens, w.signIn(Token{}, fmt.Sprint("first-", i)).Token)
		}
		for i, token := range tokens[:15] {
			w.clock.advance(time.Second)
			w.signIn(token, fmt.Sprint("second-", i*7%15))
		}
		everybody := Selection{Everybody: true}
		all, err := w.Sessions(ctx, everybody)
		if err != nil || len(all) != 35 {
			t.Fatalf("%d sessions, %v", len(all), err)
		}
		ids := func(list []Found) (ids []string) {
			for _, f := range list {
				ids = append(ids, f.ID)
			}
			return ids
		}
		for limit := 1; limit <= 36; limit++ {
			got, more, err := w.LatestSessions(ctx, everybody, limit)
			if want := ids(all[:min(limit, 35)]); err != nil || !slices.Equal(ids(got), want) || more != (limit < 35) {
				t.Errorf("limit %d: %d sessions, more is %t, %v", limit, len(got), more, err)
			}
		}
	})
}

func TestLatestHoldsFewSessions(t *testing.T) {
	l := latest{limit: 3, byID: make(map[string]Found)}
	for i := range 100 {
		s := &Session{ID: fmt.Sprint(i), CreatedAt: epoch.Add(time.Duration(i*37%100) * time.Second)}
		if l.add(Found{Entry: Entry{Session: s}}); len(l.byID) > 6 {
			t.Fatalf("%d sessions are held for a limit of 3", len(l.byID))
		}
	}
	got := l.list()
	if !l.more || len(got) != 3 || !got[0].CreatedAt.Equal(epoch.Add(99*time.Second)) {
		t.Errorf("%d sessions, the first of %v, and more is %t", len(got), got[0].CreatedAt, l.more)
	}
}

// Browsers in use would have to be read from the store again.
func TestWalksDoNotFillTheMemory(t *testing.T) {
	w := newWorld(t, defaults())
	for i := range 20 {
		w.signIn(Token{}, fmt.Sprint("user-", i))
	}
	w.restart(defaults())
	if _, err := w.Sessions(ctx, Selection{Everybody: true}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.jars.Check(ctx, func(problem string) { t.Error(problem) }); err != nil {
		t.Fatal(err)
	}
	for i := range w.jars.shards {
		if n := len(w.jars.shards[i].kept); n > 0 {
			t.Errorf("shard %d keeps %d jars", i, n)
		}
	}
}

func TestSignedInSince(t *testing.T) {
	w := newWorld(t, defaults())
	w.clock.advance(500 * time.Millisecond)
	token := w.signIn(Token{}, "alice").Token
	w.clock.advance(10 * time.Second)
	token = w.signIn(token, "bob").Token
	at := w.clock.now()
	var record storage.Record
	record, _, err := w.store.Get(ctx, token.Key().storeKey())
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]bool{-time.Hour: true, -time.Second: true, 0: true, time.Second: false, time.Hour: false} {
		if got := signedInSince(record.Value, at.Add(after)); got != want {
			t.Errorf("since %v after the last sign-in: %t, want %t", after, got, want)
		}
	}
}
