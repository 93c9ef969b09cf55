package gate

import (
	"errors"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/gate/stream"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// TestLookup: what has become of alice's session.
func TestLookup(t *testing.T) {
	for name, test := range map[string]struct {
		since func(*world)
		want  stream.State
		err   error
	}{
		"nothing has happened":                    {func(*world) {}, stream.StateActive, nil},
		"another account is active":               {func(w *world) { w.signIn("bob") }, stream.StateInactive, nil},
		"she has signed out":                      {func(w *world) { w.signOut("alice") }, stream.StateEnded, nil},
		"she has signed out, and another is":      {func(w *world) { w.signIn("bob"); w.signOut("alice") }, stream.StateEnded, nil},
		"her provider stands by it":               {func(w *world) { w.Tokens = tokensStub{} }, stream.StateActive, nil},
		"her provider does not, and nobody asked": {func(w *world) { w.Tokens = tokensStub{ended: true} }, stream.StateEnded, nil},
		"the store fails":                         {func(w *world) { w.Sessions = failingSessions{} }, stream.StateEnded, errStore},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			id := w.last.ID
			visit, err := w.manager.Visit(t.Context(), w.token)
			if err != nil {
				t.Fatal(err)
			}
			test.since(w)
			now, state, err := w.Lookup(t.Context(), visit, id)
			if state != test.want || !errors.Is(err, test.err) {
				t.Errorf("%v, %v; want %v, %v", state, err, test.want, test.err)
			}
			if test.err != nil && now.JarID() != visit.JarID() {
				t.Error("the next round begins with another visit")
			}
		})
	}
	if _, state, err := newWorld(t).Lookup(t.Context(), session.Visit{}, "gone"); state != stream.StateEnded || err != nil {
		t.Errorf("without a jar: %v, %v", state, err)
	}
}
