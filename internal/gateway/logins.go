package gateway

import (
	"context"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
)

// withUsers returns the logins of a configuration with the users of the database.
func withUsers(db *Database, c Config) (*login.Methods, error) {
	methods := slices.Clone(c.Logins.All())
	for i, method := range methods {
		configured, ok := method.(*password.Method)
		if !ok {
			continue
		}
		with := configured.With(db.Users, reservedNames(c.Rules)...)
		for _, u := range with.Shadowed() {
			c.Log.Warn("a stored user cannot sign in: a user of the configuration has the name or e-mail address",
				zap.String("login", with.ID()), zap.String("user", u.Name), zap.String("id", u.ID))
		}
		methods[i] = with
	}
	return login.NewMethods(methods...)
}

// passwordMethod returns the login that the users of the database are accounts of, or nil.
func passwordMethod(logins *login.Methods) *password.Method {
	for _, method := range logins.All() {
		if m, ok := method.(*password.Method); ok {
			return m
		}
	}
	return nil
}

// runLogins runs what logins do besides requests, until the returned function is called.
func runLogins(ctx context.Context, logins *login.Methods, log *zap.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, method := range logins.All() {
		if runner, ok := method.(login.Runner); ok {
			running.Go(func() { _ = contain(log, "login "+runner.ID(), func() { runner.Run(ctx) }) })
		}
	}
	return func() {
		cancel()
		running.Wait()
	}
}
