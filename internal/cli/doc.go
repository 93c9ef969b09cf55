// Package cli has the commands of `caddy multi-session`: they administer users, sessions,
// invitations and user names, check the database, take backups and restore them.
//
// Every command is a client of the administration API (package admin). It asks the server that
// runs, at Caddy's admin endpoint. Where no server runs, it opens the database itself and asks the
// same handler through a pipe within the process (see requester). So a command works the same way
// with and without a server.
//
// The package does not import Caddy. The module that registers the commands passes what they need
// of it as a Caddy.
package cli
