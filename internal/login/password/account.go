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
	waiting, cancel := login.WithPatience(ctx, m.maxWait)
	defer cancel()
	if err := m.confirm(waiting, u, c); err != nil {
		return nil, err
	}
	text, err := m.budget.make(waiting, c.ClientIP, prepare(c.New))
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
	matched, err := m.budget.matches(ctx, c.ClientIP, h, prepare(c.Current))
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

// UpdateProfile implements login.AccountEditor. Everything is validated before anything is told about
// the user name, and a wish for another name counts like a sign-up. So nobody finds out which names
// there are without taking them.
func (m *Method) UpdateProfile(ctx context.Context, account session.Account, p login.Profile) (*session.Identity, error) {
	u, ok := m.kept(account)
	if !ok {
		return nil, login.ErrNotKept
	}
	if err := validProfile(*u, p); err != nil {
		return nil, err
	}
	if p.UserName == nil || user.Fold(*p.UserName) == user.Fold(u.Name) {
		return m.updateProfile(ctx, account, p)
	}
	waiting, cancel := login.WithPatience(ctx, m.maxWait)
	defer cancel()
	attempt, err := m.signUps.Admit(waiting, m.limits, m.id+":profile:"+u.ID, p.ClientIP)
	if err != nil {
		return nil, err
	}
	defer attempt.Fail() // unless told otherwise below
	identity, err := m.updateProfile(ctx, account, p)
	if err == nil {
		attempt.Count()
	}
	return identity, err
}

// validProfile refuses a profile that the user could not have, whoever else there is.
func validProfile(u user.User, p login.Profile) error {
	if p.UserName != nil && user.Fold(*p.UserName) != user.Fold(u.Name) {
		if err := validChosenName(*p.UserName); err != nil {
			return err
		}
	}
	if p.Name != nil {
		if err := validDisplayed(login.FieldName, *p.Name); err != nil {
			return err
		}
	}
	if p.DisplayUserName != nil {
		if err := validDisplayed(login.FieldDisplayUserName, *p.DisplayUserName); err != nil {
			return err
		}
	}
	setProfile(&u, p)
	if err := user.ValidatePicture(u.Picture); err != nil {
		return &login.InvalidError{Field: login.FieldPicture, Why: err.Error()}
	}
	if err := u.Validate(); err != nil { // what is left is an address that is too long
		return &login.InvalidError{Field: login.FieldPicture, Why: err.Error()}
	}
	return nil
}

func setProfile(u *user.User, p login.Profile) {
	set(&u.Name, p.UserName)
	set(&u.DisplayUserName, p.DisplayUserName)
	set(&u.DisplayName, p.Name)
	set(&u.Picture, p.Picture)
}

func set(field, to *string) {
	if to != nil {
		*field = *to
	}
}

func (m *Method) updateProfile(ctx context.Context, account session.Account, p login.Profile) (*session.Identity, error) {
	changed, err := m.stored.users.Change(ctx, account.Subject, false, func(u *user.User) error {
		if p.UserName != nil {
			if err := m.mayTake(*p.UserName, u); err != nil {
				return err
			}
		}
		setProfile(u, p)
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
