package caddymodule

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/gateway"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// access is what a command does to a database that no server has open.
type access int

const (
	changing access = iota // it must be there
	creating               // it is made where there is none
	looking                // it must be there, and not a byte of it is written
)

// openFile opens a database file for the administration alone: nobody signs in meanwhile. App is
// of its configuration, nil where nothing is known of that.
func openFile(path string, app *App, needs access) (requester, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	_, err = os.Stat(path)
	isNew := errors.Is(err, fs.ErrNotExist)
	switch {
	case isNew && needs != creating:
		return nil, fmt.Errorf("there is no database %s", path)
	case err != nil && !isNew:
		return nil, fmt.Errorf("database: %w", err)
	}
	db, err := openDatabase(&BBoltStore{path: path, readOnly: needs == looking})
	if err != nil {
		return nil, err
	}
	if isNew {
		fmt.Fprintf(os.Stderr, "Made the database %s.\n", path)
	}
	return administer(path, db, app)
}

// administer returns the administration of an open database, which Close closes.
func administer(path string, db *gateway.Database, app *App) (requester, error) {
	var directory session.Directory
	if app == nil {
		method, err := new(PasswordLogin).LoginMethod(memory)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		app = new(App)
		app.setDefaults()
		if app.logins, err = login.NewMethods(method); err != nil {
			return nil, errors.Join(err, db.Close())
		}
		app.options, directory = everythingLives, recordedAccounts{db.Users}
	}
	app.log = zap.NewNop() // who changes something sees what came of it
	handler, closeAll, err := gateway.Administer(db, app.config(), directory)
	if err != nil {
		return nil, err
	}
	return newOffline("database "+path, handler, closeAll), nil
}

// everythingLives are the options of a configuration that nobody knows. It may let sessions live as
// long as they were meant to when they were made, so none is taken for dead before that.
var everythingLives = session.Options{MaxSessions: session.MaxSessionsLimit, Lifetime: math.MaxInt64}

// recordedAccounts is the session.Directory where no configuration is known: accounts of one that
// nobody knows are held to be there, as they were at sign-in.
type recordedAccounts struct{ users *user.Users }

// Current implements session.Directory.
func (r recordedAccounts) Current(recorded *session.Identity) (*session.Identity, bool) {
	if !user.IsID(recorded.Account.Subject) {
		return recorded, true
	}
	u, ok := r.users.ByID(recorded.Account.Subject)
	if !ok || u.Disabled || u.Epoch != recorded.Epoch {
		return nil, false
	}
	return u.Identity(recorded.Account.Method), true
}
