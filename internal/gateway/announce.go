package gateway

import (
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
)

// announce logs what somebody needs to know who has just started the gateway: where to open it, who
// can sign in, and where the database is.
func (g *Gateway) announce(c Config) {
	logins := make([]string, len(g.logins.All()))
	for i, method := range g.logins.All() {
		logins[i] = g.describe(method)
	}
	g.log.Info("the gateway is ready",
		zap.Strings("sites", c.Sites),
		zap.String("accounts_page", c.Prefix+"/accounts"),
		zap.Strings("logins", logins),
		zap.String("database", c.Database),
	)
}

// maxNamed is how many users the log names. Of more it has the number.
const maxNamed = 8

// describe returns the login's id, and of a password login who can sign in.
func (g *Gateway) describe(method login.Method) string {
	m, ok := method.(*password.Method)
	if !ok {
		return method.ID()
	}
	var parts []string
	switch configured := m.Configured(); {
	case len(configured) > maxNamed:
		parts = append(parts, fmt.Sprintf("%d users of the configuration", len(configured)))
	case len(configured) > 0:
		names := make([]string, len(configured))
		for i, identity := range configured {
			names[i] = identity.UserName
		}
		parts = append(parts, strings.Join(names, ", "))
	}
	if n := g.db.Users.Len(); n > 0 && m == passwordMethod(g.logins) {
		parts = append(parts, fmt.Sprintf("%d in the database", n))
	}
	if _, open := m.Registration(); open {
		parts = append(parts, "sign-up is on")
	}
	if len(parts) == 0 {
		parts = append(parts, "nobody yet")
	}
	return m.ID() + ": " + strings.Join(parts, "; ")
}
