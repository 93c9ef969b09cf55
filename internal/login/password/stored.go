package password

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// With returns the method with the users that the gateway keeps itself beside those of the
// configuration. They are not asked for before that, because a configuration that is only validated
// opens no store. Rights are names that somebody is let in by: nobody can choose one, and an
// administrator can give it.
func (m *Method) With(users *user.Users, rights ...string) *Method {
	with := *m
	with.stored = &stored{users: users, reserved: make(map[string]bool)}
	for _, name := range slices.Concat(reservedNames, rights) {
		with.stored.reserved[user.Fold(name)] = true
	}
	return &with
}

// HoldsName implements login.NameHolder. A name that only looks like a user's, and that the account
// has had since before that was told, is not the user's.
func (m *Method) HoldsName(other *session.Identity) bool {
	name := user.FoldName(other.UserName)
	if m.stored == nil {
		return m.Reserves(name, "")
	}
	if !m.Reserves(name, "") && !m.stored.users.Holds(name) {
		return false
	}
	return !m.stored.users.KeepsName(other.UserName, other.Account.ID())
}

// mayChoose is login.ErrNameTaken for a name of the configuration or of another login's account, and for
// one that stands for rights.
func (m *Method) mayChoose(name string) error {
	if m.Reserves(name, "") || m.stored.reserved[user.Fold(name)] {
		return login.ErrNameTaken
	}
	if _, owned := m.stored.users.NameOwner(name); owned {
		return login.ErrNameTaken
	}
	return nil
}

// Configured returns the users of the configuration, in its order.
func (m *Method) Configured() []*session.Identity {
	all := make([]*session.Identity, len(m.subjects))
	for i, subject := range m.subjects {
		all[i] = m.identities[subject]
	}
	return all
}

// Shadowed returns the stored users who have a name or an e-mail address of a user of the
// configuration. That user is who is meant by it, so they cannot sign in, and they have no sessions.
func (m *Method) Shadowed() []*user.User {
	if m.stored == nil {
		return nil
	}
	return slices.DeleteFunc(m.stored.users.All(), func(u *user.User) bool { return !m.Reserves(u.Name, u.Email) })
}

// Reserves reports whether a user name or an e-mail address is a configured user's, so that no
// stored one can have it.
func (m *Method) Reserves(name, email string) bool {
	return m.byName[user.Fold(name)] != nil || email != "" && m.byEmail[user.Fold(email)] != nil
}

// currentStored is Current for a stored user.
func (m *Method) currentStored(recorded *session.Identity) (*session.Identity, bool) {
	if m.stored == nil || !user.IsID(recorded.Account.Subject) {
		return nil, false
	}
	u, ok := m.stored.users.ByID(recorded.Account.Subject)
	if !ok || u.Disabled || u.Epoch != recorded.Epoch {
		return nil, false
	}
	known := m.known(u)
	return known.identity, !known.shadowed
}

// resolveStored returns the stored user who is meant, as a candidate.
func (m *Method) resolveStored(name, email string) *candidate {
	if m.stored == nil {
		return nil
	}
	u, ok := m.stored.users.ByName(name)
	if email != "" {
		u, ok = m.stored.users.ByEmail(email)
	}
	if !ok {
		return nil
	}
	h, err := parseHash(u.Hash)
	if err != nil {
		return nil // without a password, or one that a later release has made
	}
	k := m.known(u)
	return &candidate{identity: k.identity, hash: h, stored: u, barred: u.Disabled || k.shadowed}
}

// renewHash gives a user who has just signed in a hash with the parameters that are made now. To fail
// at it loses nothing: the next sign-in tries again.
func (m *Method) renewHash(ctx context.Context, u *user.User, password []byte) {
	text, err := m.budget.make(ctx, netip.Addr{}, password)
	if err != nil {
		return
	}
	_, _ = m.stored.users.Change(ctx, u.ID, true, func(now *user.User) error {
		if now.Hash != u.Hash {
			return errChanged
		}
		now.Hash = text
		return nil
	})
}

// errChanged says that a user was changed since the password was looked at.
var errChanged = errors.New("the user was changed meanwhile")

// decoysNow are the decoys of all users there are, configured and stored.
func (m *Method) decoysNow() decoys {
	if m.stored == nil {
		return m.decoys
	}
	all := slices.Clone(m.decoys)
	if m.nobody {
		all = nil
	}
	secret := m.stored.users.Secret()
	for scheme, n := range m.stored.users.Schemes() {
		if h, ok := m.stored.decoy(scheme); ok {
			all = append(all, newGroupDecoy(secret, scheme, h, n))
		}
	}
	if len(all) == 0 {
		return m.decoys
	}
	return all
}

// decoy returns the hash that stands in for those of a scheme.
func (s *stored) decoy(scheme string) (hash, bool) {
	if known, ok := s.decoys.Load(scheme); ok {
		return known.(hash), true
	}
	h, err := decoyOfScheme(scheme)
	if err != nil {
		return nil, false
	}
	known, _ := s.decoys.LoadOrStore(scheme, h)
	return known.(hash), true
}

// known returns what there is to know about a user here, which is asked for on every request: it is
// found out once for each state that a user has.
func (m *Method) known(u *user.User) *known {
	if k, ok := m.stored.known.Load(u.ID); ok && k.(*known).user == u {
		return k.(*known)
	}
	k := &known{u, u.Identity(m.id), m.Reserves(u.Name, u.Email)}
	m.stored.known.Store(u.ID, k)
	return k
}

// known is a user as an account of the method.
type known struct {
	user     *user.User
	identity *session.Identity
	shadowed bool // a user of the configuration has the name or the address
}

// ValidateHash refuses the text of a hash that could not be checked here. Errors never repeat it.
func ValidateHash(text string, budget *Budget) error {
	h, err := parseHash(text)
	if err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	if err := budget.fits(h); err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	return nil
}

// NewHash returns the text of a hash of a password, made when there is room for it. Errors are those
// of CheckNew, *login.ThrottledError, or ctx's.
func NewHash(ctx context.Context, budget *Budget, password string, names ...string) (string, error) {
	if err := CheckNew(password, names...); err != nil {
		return "", err
	}
	return budget.make(ctx, netip.Addr{}, prepare(password))
}
