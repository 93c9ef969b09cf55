package password

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// Keeps implements login.AccountEditor: stored users are changed here, those of the configuration there.
func (m *Method) Keeps(account session.Account) bool {
	_, ok := m.kept(account)
	return ok
}

// kept returns the stored user of an account.
func (m *Method) kept(account session.Account) (*user.User, bool) {
	if m.stored == nil || account.Method != m.id {
		return nil, false
	}
	return m.stored.users.ByID(account.Subject)
}

// ChangePassword implements login.AccountEditor. A wrong current password counts as a failed sign-in of the
// account: whoever finds a browser open must not guess faster here than at the sign-in page.
func (m *Method) ChangePassword(ctx context.Context, c login.PasswordChange) (*session.Identity, error) {
	u, ok := m.kept(c.Account)
	if !ok {
		return nil, login.ErrNotKept
	}
	if err := CheckNew(c.New, u.Name, u.Email, u.DisplayName); err != nil {
		return nil, err
	}
	if err := m.confirm(ctx, u, c); err != nil {
		return nil, err
	}
	text, err := m.budget.make(ctx, prepare(c.New))
	if err != nil {
		return nil, err
	}
	changed, err := m.stored.users.Change(ctx, u.ID, true, func(now *user.User) error {
		if now.Hash != u.Hash || now.Epoch != u.Epoch || now.Disabled {
			return errChanged
		}
		now.Hash = text
		if c.EndSessions {
			now.Epoch++
		}
		return nil
	})
	if errors.Is(err, errChanged) {
		return nil, login.ErrBadCredentials // the password is not the current one any more
	}
	if err != nil {
		return nil, told(err)
	}
	return m.known(changed).identity, nil
}

// confirm checks the current password.
func (m *Method) confirm(ctx context.Context, u *user.User, c login.PasswordChange) error {
	if len(c.Current) > maxPasswordBytes || c.Current == "" {
		return login.ErrBadCredentials
	}
	h, err := parseHash(u.Hash)
	if err != nil {
		return login.ErrNotKept // there is no password to change
	}
	attempt, err := m.throttle.Admit(ctx, m.limits, m.throttleName(u.Name), c.ClientIP)
	if err != nil {
		return err
	}
	defer attempt.Fail() // unless told otherwise below
	matched, err := m.budget.matches(ctx, h, prepare(c.Current))
	if err != nil {
		attempt.Withdraw()
		return err
	}
	if !matched {
		return login.ErrBadCredentials
	}
	attempt.Succeed()
	return nil
}

// UpdateProfile implements login.AccountEditor.
func (m *Method) UpdateProfile(ctx context.Context, account session.Account, p login.Profile) (*session.Identity, error) {
	if _, ok := m.kept(account); !ok {
		return nil, login.ErrNotKept
	}
	changed, err := m.stored.users.Change(ctx, account.Subject, false, func(u *user.User) error {
		if p.UserName != nil && *p.UserName != u.Name {
			if err := m.mayTake(*p.UserName, u); err != nil {
				return err
			}
			u.Name = *p.UserName
		}
		if p.Name != nil {
			if err := validDisplayName(*p.Name); err != nil {
				return err
			}
			u.DisplayName = *p.Name
		}
		if p.Picture != nil {
			if err := user.ValidatePicture(*p.Picture); err != nil {
				return &login.InvalidError{Field: login.FieldPicture, Why: err.Error()}
			}
			u.Picture = *p.Picture
		}
		return nil
	})
	if err != nil {
		return nil, told(err)
	}
	return m.known(changed).identity, nil
}

// mayTake refuses a name that a user cannot choose.
func (m *Method) mayTake(name string, u *user.User) error {
	if user.Fold(name) == user.Fold(u.Name) {
		return nil // another case of the own one
	}
	if err := validChosenName(name); err != nil {
		return err
	}
	if len(u.FormerNames) >= user.MaxFormerNames {
		return login.ErrNameTaken
	}
	return m.mayChoose(name)
}

// EndSessions implements login.AccountEditor.
func (m *Method) EndSessions(ctx context.Context, account session.Account) error {
	if _, ok := m.kept(account); !ok {
		return login.ErrNotKept
	}
	_, err := m.stored.users.Change(ctx, account.Subject, true, func(u *user.User) error {
		u.Epoch++
		return nil
	})
	return told(err)
}

// told puts an error of package user into the words of package login.
func told(err error) error {
	switch {
	case errors.Is(err, user.ErrNameTaken):
		return login.ErrNameTaken
	case errors.Is(err, user.ErrEmailTaken):
		return login.ErrEmailTaken
	case errors.Is(err, user.ErrInvitation):
		return login.ErrNotInvited
	case errors.Is(err, user.ErrNotFound):
		return fmt.Errorf("%w: %w", login.ErrNotKept, err) // deleted a moment ago
	}
	return err
}
