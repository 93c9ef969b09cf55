package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/gate/stream"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/tokens"
	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

func init() {
	caddy.RegisterModule(BBoltStore{})
}

// StoreOpener is a module of the namespace multi_session.stores.
type StoreOpener interface {
	// Resource names what is opened, and nothing of how. Two configurations that name the same
	// resource share one open store.
	Resource() string

	// OpenStore opens the store. Until it is closed, no other process may write to the same records:
	// the gateway keeps what it read in memory. Closing it waits for the calls under way.
	OpenStore(*zap.Logger) (Store, error)
}

// Store is a store that is open.
type Store interface {
	storage.Store
	io.Closer
}

// BBoltStore keeps sessions in one file of this machine, which one process can have open.
type BBoltStore struct {
	// Path is the file. It is created, with directories, where it is missing. Default:
	// multi_session.db in Caddy's data directory. Global placeholders are replaced.
	Path string `json:"path,omitempty"`

	path     string
	readOnly bool // for a look at a file that no server has open
}

// CaddyModule implements caddy.Module.
func (BBoltStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "multi_session.stores.bbolt",
		New: func() caddy.Module { return new(BBoltStore) },
	}
}

// Provision resolves the path.
func (s *BBoltStore) Provision(caddy.Context) error {
	path, err := caddy.NewReplacer().ReplaceOrErr(s.Path, true, true)
	if err != nil {
		return fmt.Errorf("store bbolt: path: %w", err)
	}
	if path == "" {
		path = filepath.Join(caddy.AppDataDir(), "multi_session.db")
	}
	s.path, err = resolve(path)
	if err != nil {
		return fmt.Errorf("store bbolt: path: %w", err)
	}
	return nil
}

// resolve makes a path absolute and free of symbolic links, as far as it exists yet, so that a file
// has one name however it is written.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real, nil
	}
	parent := filepath.Dir(path)
	if !os.IsNotExist(err) || parent == path {
		return "", err
	}
	parent, err = resolve(parent)
	if err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(path)), nil
}

// Resource implements StoreOpener.
func (s *BBoltStore) Resource() string { return "bbolt:" + s.path }

// OpenStore implements StoreOpener.
func (s *BBoltStore) OpenStore(log *zap.Logger) (Store, error) {
	store, err := boltstore.Open(s.path, boltstore.Options{Logger: log, ReadOnly: s.readOnly})
	if err != nil {
		return nil, err // without a store in the interface
	}
	return store, nil // the lock on its file keeps other processes out
}

// resources are the stores in use, by resource. A configuration takes its lease before the one it
// replaces gives its own back, so a reload keeps the store open.
var resources = caddy.NewUsagePool()

// lease is a configuration's share in a store. What it shares is opened once, by whoever first
// needs it, and closed when the last lease is released.
type lease struct {
	resource string
	shared   *sharedStore
}

// leaseOf takes a lease and opens nothing.
func leaseOf(opener StoreOpener) *lease {
	resource := opener.Resource()
	value, _, _ := resources.LoadOrNew(resource, func() (caddy.Destructor, error) {
		return &sharedStore{opener: opener}, nil
	})
	return &lease{resource, value.(*sharedStore)}
}

// another takes one more lease of the same store.
func (l *lease) another() *lease { return leaseOf(l.shared.opener) }

func (l *lease) open() (*database, error) { return l.shared.database() }

func (l *lease) release() error {
	_, err := resources.Delete(l.resource)
	return err
}

// sharedStore is a database, once open.
type sharedStore struct {
	opener StoreOpener

	mu   sync.Mutex
	open *database
}

// database is an open store and what is in it: the jars of browsers, and the users that the gateway
// keeps itself.
type database struct {
	store Store
	jars  *session.Jars
	users *user.Users
	notes *session.Notes
	names *login.Names

	streams  *stream.Registry // requests that pass, also those of a configuration that was replaced
	underway *tokens.Underway // renewals of tokens, also of a configuration that is being replaced
}

func openDatabase(opener StoreOpener) (*database, error) {
	store, err := opener.OpenStore(currentLogger("multi_session.store"))
	if err != nil {
		return nil, err
	}
	users, err := user.Load(context.Background(), store, time.Now)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", opener.Resource(), err), store.Close())
	}
	notes := session.NewNotes(store, time.Now)
	return &database{
		store:    store,
		jars:     session.NewJars(store),
		users:    users,
		notes:    notes,
		names:    login.NewNames(notes),
		streams:  stream.NewRegistry(),
		underway: tokens.NewUnderway(),
	}, nil
}

func (s *sharedStore) database() (*database, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil {
		return s.open, nil
	}
	opened, err := openDatabase(s.opener)
	if err != nil {
		return nil, err
	}
	s.open = opened
	return opened, nil
}

// Destruct implements caddy.Destructor.
func (s *sharedStore) Destruct() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return nil
	}
	s.open.streams.Close()
	return s.open.store.Close()
}

// Interface guards
var (
	_ caddy.Provisioner = (*BBoltStore)(nil)
	_ StoreOpener       = (*BBoltStore)(nil)
	_ caddy.Destructor  = (*sharedStore)(nil)
)
