package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"
)

// connection finds the gateway that a command administers, by the command's flags.
type connection struct {
	caddy Caddy

	config, adapter string
	address         string
	db              string
}

func (c *connection) addFlags(set *pflag.FlagSet) {
	set.StringVarP(&c.config, "config", "c", "", "Configuration file of the server (default: the Caddyfile of this directory)")
	set.StringVarP(&c.adapter, "adapter", "a", "", "Name of config adapter to apply")
	set.StringVar(&c.address, "address", "", "Address of the administration listener, if different from config")
	set.StringVar(&c.db, "db", "", "Database file to open without asking a server; its users count as those of a login named password")
}

// access is what a command does to a database that no server has open.
type access int

const (
	accessWrite access = iota // changes a database
	accessRead                // reads a database, and writes nothing
)

// open returns the running server or, if none runs, the database that it would have open.
func (c *connection) open(ctx context.Context, needs access) (requester, error) {
	if c.db != "" {
		if c.address != "" || c.config != "" {
			return nil, errors.New("--db goes with neither --config nor --address: no server is asked")
		}
		database, err := c.caddy.Database(c.db)
		if err != nil {
			return nil, err
		}
		return openDatabase(database, needs)
	}
	config, err := c.load()
	if err != nil {
		return nil, err
	}
	server, unreached, err := c.findServer(ctx, config)
	if server != nil || err != nil {
		return server, err
	}
	if c.address != "" && c.config == "" {
		return nil, unreached // the user named a server, and its database is not known
	}
	database, err := config.Database(ctx)
	if err == nil {
		var opened requester
		if opened, err = openDatabase(database, needs); err == nil {
			return opened, nil
		}
	}
	return nil, fmt.Errorf("%w; %w", err, unreached)
}

// load reads the configuration. It reads none if --address alone names the server.
func (c *connection) load() (*Config, error) {
	if c.address != "" && c.config == "" {
		return new(Config), nil
	}
	return c.caddy.LoadConfig(c.config, c.adapter)
}

// findServer returns the running server. If none runs, server is nil and unreached says why.
func (c *connection) findServer(ctx context.Context, config *Config) (server requester, unreached, err error) {
	if c.address == "" && config.AdminOff {
		return nil, errors.New("the server's admin API is off in the configuration"), nil
	}
	address, err := c.caddy.ParseAddress(cmp.Or(c.address, config.Admin))
	if err != nil {
		return nil, nil, err
	}
	found := newOnline(address)
	if err := found.probe(ctx); err != nil {
		return nil, fmt.Errorf("the server's admin API could not be reached at %s: %w", address.Text, err), nil
	}
	return found, nil, nil
}

// openDatabase opens a database for the command alone: nobody can sign in meanwhile. It never makes
// one: run as another system user than the server's, a command would otherwise fill a new database
// that no server ever opens.
func openDatabase(d *Database, needs access) (requester, error) {
	switch _, err := os.Stat(d.Path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no database %s: the server makes it when it starts; run this command as the server's system user, or name the file with --db", d.Path)
	case err != nil:
		return nil, fmt.Errorf("database: %w", err)
	}
	api, closeDatabase, err := d.Open(needs == accessRead)
	if err != nil {
		return nil, err
	}
	return newOffline("database "+d.Path, api, closeDatabase), nil
}
