package gateway

import (
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/gate/stream"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// TakeOver makes this configuration the one in force: it decides about the streams of all
// configurations on the database, and the sessions of accounts that it does not have any more end.
// The log says so, and warns of rules that nobody meets.
// A configuration that was refused must not call it, so that it signs nobody out.
//
// The sessions are dead, and this is stored, when TakeOver returns. So they stay dead if the process
// ends, and if the next configuration has the accounts again. Removing them from the store happens
// besides the requests, for there may be many.
func (g *Gateway) TakeOver() {
	g.db.Streams.SetLookup(g.lookup)
	g.announce(g.config)
	g.warnUnmetRules(g.config.Rules)
	if err := g.Sessions.NoteRoster(g.ctx, g.roster(), g.epochs()); err != nil {
		g.log.Error("storing which accounts there are", zap.Error(err))
	}
	go func() { _ = contain(g.log, "the removal of ended sessions", g.removeEndedSessions) }()
}

// lookup is Gate.Lookup, for which no request waits.
func (g *Gateway) lookup(ctx context.Context, since session.Visit, id string) (now session.Visit, state stream.State, err error) {
	panicked := contain(g.log, "the look at a session", func() { now, state, err = g.Gate.Lookup(ctx, since, id) })
	if panicked != nil {
		return since, stream.StateEnded, panicked
	}
	return now, state, err
}

// removeEndedSessions removes the sessions that have ended all at once from the store.
func (g *Gateway) removeEndedSessions() {
	removed, err := g.Sessions.EndNoted(g.ctx)
	switch {
	case errors.Is(err, context.Canceled):
		// A newer configuration has replaced this one, and does the rest.
	case err != nil:
		g.log.Error("removing the sessions of removed accounts", zap.Error(err))
	case removed > 0:
		g.log.Info("removed the sessions of removed accounts", zap.Int("sessions", removed))
	}
}

// roster returns which accounts there are, as far as the logins know.
func (g *Gateway) roster() session.Roster {
	roster := make(session.Roster)
	for _, method := range g.logins.All() {
		var subjects []string
		if lister, ok := method.(login.Lister); ok {
			subjects = slices.Clone(lister.Subjects())
		}
		roster[method.ID()] = subjects
	}
	return roster
}

// epochs returns the epochs of accounts that nothing is stored about.
func (g *Gateway) epochs() session.Epochs {
	all := make(session.Epochs)
	for _, method := range g.logins.All() {
		if lister, ok := method.(login.EpochLister); ok {
			all[method.ID()] = lister.Epochs()
		}
	}
	return all
}
