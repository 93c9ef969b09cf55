package login

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// Names sees to it that a user name is one account's. Upstreams know people by their user names, and
// do not see which login an account is of. Without this, whoever can choose a name at one provider, or
// gets the name that somebody there has given up, would be somebody else to them.
//
// The users that the gateway has itself come first: a provider's account of such a name is not let in.
// Else a name is the account's that first signed in with it, for good; an administrator can release it.
// Accounts of a provider that shares user names have their names beside others. Names are compared as
// user.FoldName makes them equal.
//
// It may be used concurrently.
type Names struct{ users *user.Users }

// NewNames returns the names of accounts beside the users.
func NewNames(users *user.Users) *Names { return &Names{users} }

// NameHolder is a method that knows the user names of all its accounts, former ones too.
type NameHolder interface {
	Method

	// HoldsName reports whether the user name of an account of another login is or was one of this
	// method's, so that upstreams would take the one for the other. It answers from memory.
	HoldsName(other *session.Identity) bool
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

// Claim makes the user name of a provider's account the account's. It is ErrNameTaken where it is
// somebody else's, or where the account has had too many.
func (n *Names) Claim(ctx context.Context, methods *Methods, id *session.Identity) error {
	if shares(methods.byID[id.Account.Method]) {
		return nil
	}
	if methods.shadowed(id) {
		return fmt.Errorf("user name of a local user: %w", ErrNameTaken)
	}
	err := n.users.ClaimName(ctx, id.UserName, id.Account.ID())
	if errors.Is(err, user.ErrNameTaken) {
		return fmt.Errorf("%w: %w", ErrNameTaken, err)
	}
	return err
}

// IsNew reports whether a provider's account has not signed in before. Of accounts whose login shares
// its user names nobody knows, so they count as known.
func (n *Names) IsNew(methods *Methods, account session.Account) bool {
	return !shares(methods.byID[account.Method]) && !n.users.OwnsNames(account.ID())
}

// Holder returns the id of the provider's account that a name belongs to, and false where it belongs to
// none.
func (n *Names) Holder(name string) (account string, held bool) { return n.users.NameOwner(name) }

// Release gives a name back, so that the next account that signs in with it can have it. It returns the
// id of the account that had it, and false where none had.
func (n *Names) Release(ctx context.Context, name string) (account string, held bool, err error) {
	return n.users.ReleaseName(ctx, name)
}

// shadowed reports whether a local user has the name of a provider's account, and so is who upstreams
// would take it for.
func (m *Methods) shadowed(id *session.Identity) bool {
	method := m.byID[id.Account.Method]
	if _, ok := method.(Provider); !ok || shares(method) {
		return false
	}
	for _, other := range m.all {
		if holder, ok := other.(NameHolder); ok && holder.HoldsName(id) {
			return true
		}
	}
	return false
}
