package gateway

import (
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// TakeOver makes this configuration the one in force: it decides about the streams of all
// configurations on the database, and the sessions of accounts that it does not have any more end.
// A configuration that was refused must not call it, so that it signs nobody out.
//
// Which sessions end is stored before TakeOver returns. So they end even if the process does, or if
// the next configuration has the accounts again. Ending them happens besides the requests; until
// then they are refused one by one as they are used.
func (g *Gateway) TakeOver() {
	g.db.Streams.SetLookup(g.Gate.Lookup)
	if err := g.Sessions.NoteRoster(g.ctx, g.roster()); err != nil {
		g.log.Error("storing which accounts there are", zap.Error(err))
		return
	}
	go g.endRemovedSessions()
}

// endRemovedSessions ends the sessions of removed accounts.
func (g *Gateway) endRemovedSessions() {
	ended, err := g.Sessions.EndNoted(g.ctx)
	switch {
	case errors.Is(err, context.Canceled):
		// A newer configuration has replaced this one, and did the rest before it served anybody.
	case err != nil:
		g.log.Error("ending the sessions of removed accounts", zap.Error(err))
	case ended > 0:
		g.log.Info("ended the sessions of removed accounts", zap.Int("sessions", ended))
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
