package login

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// Names sees to it that a user name is one account's. Upstreams know people by their user names, and
// do not see which login an account is of. Without this, whoever can choose a name at one provider, or
// gets the name that somebody there has given up, would be somebody else to them.
//
// The users that the gateway has itself come first: a provider's account of such a name is not let in.
// Else a name is the account's that first signed in with it, for good; an administrator can release it.
// Accounts of a provider that shares user names have their names beside others.
//
// Names are compared without regard to case and to how they are encoded (Unicode normalization form
// KC), as upstreams may. It may be used concurrently.
type Names struct{ notes *session.Notes }

// NewNames returns the names that the notes have.
func NewNames(notes *session.Notes) *Names { return &Names{notes} }

// NameHolder is a method that knows the user names of all its accounts, former ones too.
type NameHolder interface {
	Method

	// HoldsName reports whether the name, of any case, is or was one of its accounts'. It answers from
	// memory.
	HoldsName(name string) bool
}

// NameSharer is a provider that can say that its accounts are the same people as those of their names
// elsewhere.
type NameSharer interface {
	Provider

	SharesUserNames() bool
}

func shares(method Method) bool {
	sharer, ok := method.(NameSharer)
	return ok && sharer.SharesUserNames()
}

// noteUserName is the kind of the notes that names are kept in, and noExpiry how long.
const noteUserName = "user-name"

var noExpiry = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)

// Claim makes the user name of a provider's account the account's. It is ErrNameTaken where it is
// somebody else's.
func (n *Names) Claim(ctx context.Context, methods *Methods, id *session.Identity) error {
	if shares(methods.byID[id.Account.Method]) {
		return nil
	}
	if methods.shadowed(id) {
		return fmt.Errorf("user name of a local user: %w", ErrNameTaken)
	}
	for {
		holder, held, err := n.Holder(ctx, id.UserName)
		switch {
		case err != nil:
			return err
		case held && holder == id.Account.ID():
			return nil
		case held:
			return fmt.Errorf("user name of %s: %w", holder, ErrNameTaken)
		}
		err = n.notes.Put(ctx, noteUserName, foldName(id.UserName), []byte(id.Account.ID()), noExpiry)
		if !errors.Is(err, session.ErrNoted) {
			return err
		}
	}
}

// Holder returns the id of the provider's account that a name belongs to, and false where it belongs to
// none.
func (n *Names) Holder(ctx context.Context, name string) (account string, held bool, err error) {
	value, held, err := n.notes.Get(ctx, noteUserName, foldName(name))
	if err != nil {
		return "", false, fmt.Errorf("look up user name: %w", err)
	}
	return string(value), held, nil
}

// Release gives a name back, so that the next account that signs in with it can have it. It returns the
// id of the account that had it, and false where none had.
func (n *Names) Release(ctx context.Context, name string) (account string, held bool, err error) {
	value, held, err := n.notes.Take(ctx, noteUserName, foldName(name))
	if err != nil {
		return "", false, fmt.Errorf("release user name: %w", err)
	}
	return string(value), held, nil
}

func foldName(name string) string { return strings.ToLower(norm.NFKC.String(name)) }

// shadowed reports whether a local user has the name of a provider's account, and so is who upstreams
// would take it for.
func (m *Methods) shadowed(id *session.Identity) bool {
	method := m.byID[id.Account.Method]
	if _, ok := method.(Provider); !ok || shares(method) {
		return false
	}
	for _, other := range m.all {
		if holder, ok := other.(NameHolder); ok && holder.HoldsName(foldName(id.UserName)) {
			return true
		}
	}
	return false
}
