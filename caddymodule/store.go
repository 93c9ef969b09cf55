package caddymodule

import (
	"fmt"
	"path/filepath"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/gateway"
	"github.com/caddy-multi-session/gateway/internal/newfile"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

func init() {
	caddy.RegisterModule(BBoltStore{})
}

// StoreOpener is a module of the namespace multi_session.stores.
type StoreOpener interface {
	// Resource names what is opened, independently of all options. Two configurations that name the
	// same resource share one open store.
	Resource() string

	// OpenStore opens the store. Until it is closed, no other process may write to it: the gateway keeps
	// in memory what it read.
	OpenStore(*zap.Logger) (Store, error)
}

// Store is an open store.
type Store = gateway.Store

// BBoltStore keeps sessions in one file on this machine. One process at a time can have it open.
type BBoltStore struct {
	// Path is the file. It is created, with its directories, if it is missing. Global placeholders are
	// replaced. Default: multi_session.db in Caddy's data directory.
	Path string `json:"path,omitempty"`

	path     string
	readOnly bool // for commands that only read a file which no server has open
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
	s.path, err = newfile.Resolve(path)
	if err != nil {
		return fmt.Errorf("store bbolt: path: %w", err)
	}
	return nil
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

// resources has the stores in use, by resource. At a reload the new configuration takes its lease
// before the old one releases its own, so the store stays open.
var resources = caddy.NewUsagePool()

// lease is a configuration's share in a store. The first configuration that needs the store opens it.
// It is closed when the last lease is released.
type lease struct {
	resource string
	shared   *sharedStore
}

// takeLease takes a lease of a store. It opens nothing.
func takeLease(opener StoreOpener) *lease {
	resource := opener.Resource()
	value, _, _ := resources.LoadOrNew(resource, func() (caddy.Destructor, error) {
		return &sharedStore{opener: opener}, nil
	})
	return &lease{resource, value.(*sharedStore)}
}

// takeAnother takes one more lease of the same store.
func (l *lease) takeAnother() *lease { return takeLease(l.shared.opener) }

func (l *lease) open() (*gateway.Database, error) { return l.shared.database() }

func (l *lease) release() error {
	_, err := resources.Delete(l.resource)
	return err
}

// sharedStore is the store of all leases of one resource.
type sharedStore struct {
	opener StoreOpener

	mu   sync.Mutex
	open *gateway.Database // nil until it is needed
}

// openDatabase opens a store and reads the database in it.
func openDatabase(opener StoreOpener) (*gateway.Database, error) {
	store, err := opener.OpenStore(currentLogger("multi_session.store"))
	if err != nil {
		return nil, err
	}
	db, err := gateway.Load(store)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", opener.Resource(), err)
	}
	return db, nil
}

func (s *sharedStore) database() (*gateway.Database, error) {
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
	return s.open.Close()
}

// Interface guards
var (
	_ caddy.Provisioner = (*BBoltStore)(nil)
	_ StoreOpener       = (*BBoltStore)(nil)
	_ caddy.Destructor  = (*sharedStore)(nil)
)
