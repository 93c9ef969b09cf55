package gateway

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/caddy-multi-session/gateway/internal/gate/stream"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/tokens"
	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage"
)

// Store is an open store. Close waits for the calls under way.
type Store interface {
	storage.Store
	io.Closer
}

// Database is an open store and what is in it. All configurations on one store share it, also the
// one that is being replaced.
type Database struct {
	Jars    *session.Jars
	Users   *user.Users
	Notes   *session.Notes
	Names   *login.Names
	Streams *stream.Registry // requests that pass as a session

	store    Store
	underway *tokens.Underway // renewals of tokens
}

// Load reads the database of a store, which no other process may write to. If it fails, the store is
// closed.
func Load(store Store) (*Database, error) {
	users, err := user.Load(context.Background(), store, time.Now)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	notes := session.NewNotes(store, time.Now)
	return &Database{
		Jars:     session.NewJars(store),
		Users:    users,
		Notes:    notes,
		Names:    login.NewNames(users),
		Streams:  stream.NewRegistry(),
		store:    store,
		underway: tokens.NewUnderway(),
	}, nil
}

// Close ends every request that passes as a session, and closes the store.
func (d *Database) Close() error {
	d.Streams.Close()
	return d.store.Close()
}
