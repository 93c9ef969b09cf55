package cli

import (
	"math"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// AssumedOptions are the session options of a database whose configuration is not known. That
// configuration may allow any lifetime, so a session ends no earlier than its sign-in recorded.
var AssumedOptions = session.Options{MaxSessions: session.MaxSessionsLimit, Lifetime: math.MaxInt64}

// AssumeAccounts returns the directory of accounts of a database whose configuration is not known.
// It looks up accounts of the database's users, and takes all others to be as recorded at sign-in.
func AssumeAccounts(users *user.Users) session.Directory { return assumedAccounts{users} }

type assumedAccounts struct{ users *user.Users }

// Current implements session.Directory.
func (a assumedAccounts) Current(recorded *session.Identity) (*session.Identity, bool) {
	if !user.IsID(recorded.Account.Subject) {
		return recorded, true
	}
	u, ok := a.users.ByID(recorded.Account.Subject)
	if !ok || u.Disabled || u.Epoch != recorded.Epoch {
		return nil, false
	}
	return u.Identity(recorded.Account.Method), true
}
