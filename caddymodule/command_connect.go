package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/pflag"
)

// connection is where a command finds the gateway: the flags that say it.
type connection struct {
	config, adapter string
	address         string
	db              string
}

func (c *connection) flags(set *pflag.FlagSet) {
	set.StringVarP(&c.config, "config", "c", "", "Configuration file of the server (default: the Caddyfile of this directory)")
	set.StringVarP(&c.adapter, "adapter", "a", "", "Name of config adapter to apply")
	set.StringVar(&c.address, "address", "", "Address of the administration listener, if different from config")
	set.StringVar(&c.db, "db", "", "Database file to open, with no server asked; its users are taken for those of a login named password")
}

// open returns the server that runs, or, where none does, the database that it would have open.
func (c *connection) open(ctx context.Context, needs access) (requester, error) {
	if c.db != "" {
		if c.address != "" || c.config != "" {
			return nil, errors.New("--db goes with neither --config nor --address: no server is asked")
		}
		return openFile(c.db, nil, needs)
	}
	config, err := c.load()
	if err != nil {
		return nil, err
	}
	server, unreached, err := c.server(ctx, config)
	if server != nil || err != nil {
		return server, err
	}
	if c.address != "" && c.config == "" {
		return nil, unreached // no other database than that server's is meant
	}
	opened, err := config.openDatabase(ctx, needs)
	if err != nil {
		return nil, fmt.Errorf("%w; %w", err, unreached)
	}
	return opened, nil
}

// server returns the server that runs. Unreached says why there is none.
func (c *connection) server(ctx context.Context, config *serverConfig) (server requester, unreached, err error) {
	if c.address == "" && config.Admin != nil && config.Admin.Disabled {
		return nil, errors.New("the server's admin API is off in the configuration"), nil
	}
	address, err := caddycmd.DetermineAdminAPIAddress(c.address, config.raw, config.file, c.adapter)
	if err != nil {
		return nil, nil, err
	}
	found, err := newOnline(address)
	if err != nil {
		return nil, nil, err
	}
	if err := found.reach(ctx); err != nil {
		return nil, fmt.Errorf("the server's admin API could not be reached at %s: %w", address, err), nil
	}
	return found, nil, nil
}

// serverConfig is what a command has to know of a server's configuration.
type serverConfig struct {
	Admin *caddy.AdminConfig
	Apps  map[string]json.RawMessage

	raw  []byte
	file string // empty: there is no configuration
}

// load reads the configuration, if there is one.
func (c *connection) load() (*serverConfig, error) {
	if c.address != "" && c.config == "" {
		return new(serverConfig), nil
	}
	raw, file, _, err := caddycmd.LoadConfig(c.config, c.adapter)
	if err != nil {
		return nil, err
	}
	config := &serverConfig{raw: raw, file: file}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, config); err != nil {
			return nil, fmt.Errorf("configuration %s: %w", file, err)
		}
	}
	return config, nil
}

// openDatabase opens the database of the configuration, or the one in Caddy's data directory where
// there is none.
func (c *serverConfig) openDatabase(ctx context.Context, needs access) (requester, error) {
	if c.file == "" {
		return openFile(defaultDatabase(), nil, needs)
	}
	raw := c.Apps[appName]
	if raw == nil {
		return nil, fmt.Errorf("configuration %s has no %s app: name its database with --db", c.file, appName)
	}
	app := new(App)
	if err := caddy.StrictUnmarshalJSON(raw, app); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", c.file, err)
	}
	moduleContext, cancel := caddy.NewContext(caddy.Context{Context: ctx})
	defer cancel()
	opener, err := app.build(moduleContext)
	if err == nil {
		err = app.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", c.file, err)
	}
	file, ok := opener.(*BBoltStore)
	if !ok {
		return nil, fmt.Errorf("configuration %s: %s is no file that could be opened", c.file, opener.Resource())
	}
	return openFile(file.path, app, needs)
}

// defaultDatabase is the file of a store that no path is configured for.
func defaultDatabase() string { return filepath.Join(caddy.AppDataDir(), "multi_session.db") }
