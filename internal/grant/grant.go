// Package grant keeps the tokens that providers have issued for sessions.
package grant

import (
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Config is what a Keeper is made of.
type Config struct {
	Manager *session.Manager
	Logins  *login.Methods
	Names   *login.Names
	Sealer  *seal.Sealer
	Log     *zap.Logger
	Now     func() time.Time

	// Ended is told of each session that a refused renewal has ended. It may be nil.
	Ended func(session.Ended, error)
}

// Keeper seals the tokens of sessions and opens them. Its methods may be called concurrently.
type Keeper struct{ Config }

// New returns a keeper.
func New(c Config) *Keeper { return &Keeper{c} }

// Close ends what goes on beside the requests.
func (k *Keeper) Close() {}

// Seal returns what a session keeps of what a provider granted: nil where that is nothing. It opens for
// sessions of the same account alone.
func (k *Keeper) Seal(g *login.Granted) (*session.Grant, error) {
	if g.SID == "" && g.Tokens == (login.Tokens{}) {
		return nil, nil
	}
	plain, err := json.Marshal(g.Tokens)
	if err != nil {
		return nil, fmt.Errorf("seal tokens: %w", err)
	}
	return &session.Grant{SID: g.SID, Sealed: k.Sealer.Seal(plain, []byte(g.Identity.Account.ID())), ExpiresAt: g.Tokens.Expiry}, nil
}

// Open returns the tokens of a session, and false where it has none or they do not open.
func (k *Keeper) Open(s *session.Session) (tokens login.Tokens, ok bool) {
	if s.Grant == nil {
		return login.Tokens{}, false
	}
	plain, err := k.Sealer.Open(s.Grant.Sealed, []byte(s.Recorded.Account.ID()))
	if err != nil {
		return login.Tokens{}, false
	}
	if err := json.Unmarshal(plain, &tokens); err != nil {
		return login.Tokens{}, false
	}
	return tokens, true
}
