package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/cli"
	"github.com/caddy-multi-session/gateway/internal/gateway"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/newfile"
	"github.com/caddy-multi-session/gateway/internal/session"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "multi-session",
		Short: "Administers the users and sessions of the multi-session gateway",
		Long:  cli.Long,
		CobraFunc: cli.Build(cli.Caddy{
			SilenceLog:   func() { caddy.BufferedLog() },
			LoadConfig:   loadConfig,
			ParseAddress: parseAdminAddress,
			Database:     func(path string) (*cli.Database, error) { return databaseFile(path, nil) },
		}),
	})
}

// loadConfig reads a server's configuration for the commands.
func loadConfig(file, adapter string) (*cli.Config, error) {
	raw, file, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return nil, err
	}
	var loaded struct {
		Admin *caddy.AdminConfig
		Apps  map[string]json.RawMessage
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &loaded); err != nil {
			return nil, fmt.Errorf("configuration %s: %w", file, err)
		}
	}
	address, err := caddycmd.DetermineAdminAPIAddress("", raw, file, adapter)
	if err != nil {
		return nil, err
	}
	return &cli.Config{
		File:     file,
		Admin:    address,
		AdminOff: loaded.Admin != nil && loaded.Admin.Disabled,
		Database: func(ctx context.Context) (*cli.Database, error) {
			if file == "" {
				return databaseFile(defaultDatabase(), nil)
			}
			database, err := configuredDatabase(ctx, loaded.Apps[appName])
			if err != nil {
				return nil, fmt.Errorf("configuration %s: %w", file, err)
			}
			return database, nil
		},
	}, nil
}

// defaultDatabase is the database file of a store without a configured path.
func defaultDatabase() string { return filepath.Join(caddy.AppDataDir(), "multi_session.db") }

// parseAdminAddress parses the address of an admin endpoint as Caddy's configuration writes it.
func parseAdminAddress(text string) (cli.Address, error) {
	text, err := caddy.NewReplacer().ReplaceOrErr(text, true, true)
	if err != nil {
		return cli.Address{}, fmt.Errorf("admin address: %w", err)
	}
	parsed, err := caddy.ParseNetworkAddress(text)
	if err != nil || parsed.PortRangeSize() > 1 {
		return cli.Address{}, fmt.Errorf("admin address %q: is not an address such as localhost:2019 or unix//run/caddy.sock", text)
	}
	address := cli.Address{Text: text, Network: parsed.Network, Target: parsed.JoinHostPort(0)}
	if parsed.IsUnixNetwork() {
		address.Target, _, _ = strings.Cut(parsed.Host, "|") // the mode of the socket follows
	}
	return address, nil
}

// configuredDatabase returns the database of a configuration, of which raw is this module's app.
func configuredDatabase(ctx context.Context, raw json.RawMessage) (*cli.Database, error) {
	if raw == nil {
		return nil, fmt.Errorf("has no %s app: name its database with --db", appName)
	}
	app := new(App)
	if err := caddy.StrictUnmarshalJSON(raw, app); err != nil {
		return nil, err
	}
	moduleContext, cancel := caddy.NewContext(caddy.Context{Context: ctx})
	defer cancel()
	opener, err := app.build(moduleContext)
	if err == nil {
		err = app.Validate()
	}
	if err != nil {
		return nil, err
	}
	store, ok := opener.(*BBoltStore)
	if !ok {
		return nil, fmt.Errorf("store %s is not a file that a command can open", opener.Resource())
	}
	return databaseFile(store.path, app)
}

// databaseFile returns the database file at a path. App is its configuration, nil if that is not
// known.
func databaseFile(path string, app *App) (*cli.Database, error) {
	path, err := newfile.Resolve(path)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return &cli.Database{
		Path: path,
		Open: func(readOnly bool) (http.Handler, func() error, error) {
			db, err := openDatabase(&BBoltStore{path: path, readOnly: readOnly})
			if err != nil {
				return nil, nil, err
			}
			return administer(db, app)
		},
	}, nil
}

// administer returns the administration API of an open database, and a function that closes both. App
// is its configuration; if that is nil, there is a password login, as in most configurations.
func administer(db *gateway.Database, app *App) (http.Handler, func() error, error) {
	var directory session.Directory
	if app == nil {
		method, err := new(PasswordLogin).LoginMethod(memory)
		if err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		app = new(App)
		app.setDefaults()
		if app.logins, err = login.NewMethods(method); err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		directory, app.options = cli.AssumeAccounts(db.Users), cli.AssumedOptions
	}
	app.log = zap.NewNop() // the command prints what its requests changed
	return gateway.Administer(db, app.config(), directory)
}
