package cli

import (
	"context"
	"net/http"
)

// Caddy is what the commands need of Caddy and of the gateway's module. All functions must be set.
type Caddy struct {
	// SilenceLog keeps Caddy's own log messages off the terminal.
	SilenceLog func()

	// LoadConfig reads a configuration file through an adapter. If the file is empty, it reads the
	// Caddyfile of the working directory, and returns a Config without a File if there is none.
	LoadConfig func(file, adapter string) (*Config, error)

	// ParseAddress parses the address of an admin endpoint, with its placeholders replaced.
	ParseAddress func(address string) (Address, error)

	// Database returns the database at a path whose configuration is not known. It opens nothing.
	Database func(path string) (*Database, error)
}

// Config is the part of a server's configuration that the commands use.
type Config struct {
	File     string // empty: there is no configuration
	Admin    string // address of the admin endpoint, Caddy's default if the file names none
	AdminOff bool   // the admin endpoint is off

	// Database returns the configured database, or the default one if there is no configuration. It
	// opens nothing.
	Database func(context.Context) (*Database, error)
}

// Address is where an admin endpoint listens.
type Address struct {
	Text    string // as messages show it
	Network string // as net.Dial takes it
	Target  string // as net.Dial takes it: host:port, or the path of a socket
}

// Database is a database file that commands can open while no server has it open.
type Database struct {
	Path string // absolute, without symbolic links

	// Open opens the file, which must exist, and returns the handler of its administration API. With
	// readOnly it writes nothing. The caller calls close after the last request.
	Open func(readOnly bool) (api http.Handler, close func() error, err error)
}
