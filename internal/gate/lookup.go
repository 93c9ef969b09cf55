package gate

import (
	"context"

	"github.com/caddy-multi-session/gateway/internal/gate/stream"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Lookup implements stream.Lookup.
func (g *Gate) Lookup(ctx context.Context, since session.Visit, id string) (session.Visit, stream.State, error) {
	now, err := g.Sessions.Follow(ctx, since)
	if err != nil {
		return since, stream.StateEnded, err
	}
	entry, live := now.Live(id)
	if live && g.Tokens != nil {
		// The provider must confirm the session as if it were used, or nobody would learn that it does
		// not any more. This does not wait for it: the next round sees what came of it.
		_, live = g.Tokens.Current(canceled, entry)
	}
	switch {
	case !live:
		return now, stream.StateEnded, nil
	case !entry.Active:
		return now, stream.StateInactive, nil
	}
	return now, stream.StateActive, nil
}

// canceled is the context of a call that must not wait.
var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
