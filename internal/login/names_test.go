package login

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

// provider is a method that signs in elsewhere, as far as names are concerned.
type provider struct {
	method
	shared bool
}

func (provider) Label() string           { return "" }
func (provider) Available() bool         { return true }
func (provider) RedirectURI() string     { return "" }
func (provider) Exposes() Exposed        { return Exposed{} }
func (p provider) SharesUserNames() bool { return p.shared }

func (provider) Authorize(context.Context, AuthorizationRequest) (string, Pending, error) {
	return "", Pending{}, ErrProviderUnavailable
}

func (provider) Redeem(context.Context, Pending, url.Values) (*Granted, error) {
	return nil, ErrProviderUnavailable
}

// local is a method that has a user of that name.
type local struct {
	method
	name string
}

func (l local) HoldsName(other *session.Identity) bool {
	return strings.EqualFold(other.UserName, l.name)
}

func newNames(t *testing.T) *Names {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "test.db"), boltstore.Options{SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	users, err := user.Load(t.Context(), store, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return NewNames(users)
}

func TestNames(t *testing.T) {
	methods, err := NewMethods(local{"password", "root"}, provider{"corp", false}, provider{"github", false}, provider{"same", true})
	if err != nil {
		t.Fatal(err)
	}
	names := newNames(t)
	for i, c := range []struct {
		method, subject, name string
		taken                 bool
	}{
		{"corp", "1", "alice", false},
		{"corp", "1", "alice", false},         // signs in again
		{"corp", "2", "alice", true},          // got a name that somebody gave up
		{"github", "1", "alice", true},        // chose it elsewhere
		{"github", "1", "ALICE", true},        // in other letters
		{"github", "1", "\uff41lice", true},   // or wider ones
		{"github", "1", "a.lice", false},      // which is another name
		{"corp", "1", "alice2", false},        // was renamed
		{"corp", "2", "alice", true},          // and keeps both
		{"github", "9", "root", true},         // of a local user
		{"github", "9", "Root", true},         //
		{"same", "1", "alice", false},         // is trusted to be the same
		{"same", "1", "root", false},          //
		{"password", "root", "root-2", false}, // local users are not providers', and not asked about
	} {
		err := names.Claim(t.Context(), methods, &session.Identity{Account: session.Account{Method: c.method, Subject: c.subject}, UserName: c.name})
		if errors.Is(err, ErrNameTaken) != c.taken || !c.taken && err != nil {
			t.Errorf("%d: %s of %s:%s: %v", i, c.name, c.method, c.subject, err)
		}
	}
	if account, held := names.Holder("Alice"); account != "corp:1" || !held {
		t.Errorf("alice is of %q, %t", account, held)
	}
	if account, held, err := names.Release(t.Context(), "ALICE"); account != "corp:1" || !held || err != nil {
		t.Errorf("released %q, %t, %v", account, held, err)
	}
	if _, held, err := names.Release(t.Context(), "alice"); held || err != nil {
		t.Errorf("released twice: %t, %v", held, err)
	}
	if err := names.Claim(t.Context(), methods, &session.Identity{Account: session.Account{Method: "corp", Subject: "2"}, UserName: "alice"}); err != nil {
		t.Errorf("after the release: %v", err)
	}
}

func TestOneOfManyGetsTheName(t *testing.T) {
	methods, err := NewMethods(provider{"corp", false})
	if err != nil {
		t.Fatal(err)
	}
	names := newNames(t)
	errs := make([]error, 20)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() {
			errs[i] = names.Claim(t.Context(), methods, &session.Identity{Account: session.Account{Method: "corp", Subject: strconv.Itoa(i)}, UserName: "alice"})
		})
	}
	wait.Wait()
	got := 0
	for _, err := range errs {
		if err == nil {
			got++
		} else if !errors.Is(err, ErrNameTaken) {
			t.Error(err)
		}
	}
	if got != 1 {
		t.Errorf("%d accounts have the name", got)
	}
}

// A user that an administrator makes is who upstreams take the name for from then on.
func TestLocalUserShadowsAProvidersAccount(t *testing.T) {
	methods, err := NewMethods(local{"password", "alice"}, provider{"corp", false}, provider{"same", true})
	if err != nil {
		t.Fatal(err)
	}
	for method, want := range map[string]bool{"corp": false, "same": true, "password": true} {
		_, ok := methods.Current(&session.Identity{Account: session.Account{Method: method, Subject: "1"}, UserName: "Alice"})
		if ok != want {
			t.Errorf("%s: %t", method, ok)
		}
	}
}
