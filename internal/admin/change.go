package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

func (c *UserChange) members() map[string]any {
	return map[string]any{
		"username":       &c.Username,
		"email":          &c.Email,
		"email_verified": &c.EmailVerified,
		"name":           &c.Name,
		"picture":        &c.Picture,
		"groups":         &c.Groups,
		"disabled":       &c.Disabled,
	}
}

// apply makes the change. An address set by an administrator counts as verified unless the request
// says otherwise. Disabling a user ends all sessions.
func (c *UserChange) apply(u *user.User) {
	set(&u.Name, c.Username)
	if c.Email != nil && user.Fold(*c.Email) != u.Email {
		u.Email = user.Fold(*c.Email)
		u.EmailVerified = u.Email != ""
	}
	set(&u.EmailVerified, c.EmailVerified)
	set(&u.DisplayName, c.Name)
	set(&u.Picture, c.Picture)
	set(&u.Groups, c.Groups)
	if c.Disabled != nil && *c.Disabled && !u.Disabled {
		u.Epoch++
	}
	set(&u.Disabled, c.Disabled)
}

func set[T any](field *T, to *T) {
	if to != nil {
		*field = *to
	}
}

func (s *server) createUser(w http.ResponseWriter, r *http.Request, _ query) error {
	var wanted NewUser
	members := wanted.members()
	members["password"], members["password_hash"] = &wanted.Password, &wanted.PasswordHash
	if _, err := readObject(w, r, members); err != nil {
		return err
	}
	if wanted.Username == nil {
		return invalid("member %q is missing", "username")
	}
	var u user.User
	wanted.apply(&u)
	if err := s.unreserved(&u, &user.User{}); err != nil {
		return err
	}
	hash, err := s.hash(r.Context(), wanted.Password, wanted.PasswordHash, &u)
	if err != nil {
		return err
	}
	u.Hash = hash
	created, err := s.Users.Create(r.Context(), u, true)
	if err != nil {
		return err
	}
	s.audit.user(r, actionCreateUser, created)
	w.Header().Set("Location", Root+"/users/"+url.PathEscape(created.ID))
	answer := s.ofStore(created)
	s.warnOfOwnedName(&answer)
	return writeJSON(w, http.StatusCreated, answer)
}

func (s *server) updateUser(w http.ResponseWriter, r *http.Request, _ query) error {
	var wanted UserChange
	given, err := readObject(w, r, wanted.members())
	if err != nil {
		return err
	}
	if len(given) == 0 {
		return invalid("no member says what to change")
	}
	u, err := s.findStored(r.PathValue("user"))
	if err != nil {
		return err
	}
	disabled, renamed := false, false
	changed, err := s.Users.Change(r.Context(), u.ID, true, func(u *user.User) error {
		before := *u
		wanted.apply(u)
		disabled = u.Disabled && !before.Disabled
		renamed = user.Fold(u.Name) != user.Fold(before.Name)
		return s.unreserved(u, &before)
	})
	if err != nil {
		return err
	}
	s.audit.user(r, actionUpdateUser, changed, zap.Strings("changed", given))
	if disabled {
		s.tidy(r, changed)
	}
	answer := s.ofStore(changed)
	if renamed {
		s.warnOfOwnedName(&answer)
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (s *server) deleteUser(w http.ResponseWriter, r *http.Request, _ query) error {
	u, err := s.findStored(r.PathValue("user"))
	if err != nil {
		return err
	}
	deleted, err := s.Users.Delete(r.Context(), u.ID)
	if err != nil {
		return err
	}
	s.audit.user(r, actionDeleteUser, deleted)
	return writeJSON(w, http.StatusOK, s.tidy(r, deleted))
}

func (s *server) setPassword(w http.ResponseWriter, r *http.Request, _ query) error {
	var wanted PasswordChange
	_, err := readObject(w, r, map[string]any{
		"password":      &wanted.Password,
		"password_hash": &wanted.PasswordHash,
		"keep_sessions": &wanted.KeepSessions,
	})
	if err != nil {
		return err
	}
	if wanted.Password == nil && wanted.PasswordHash == nil {
		return invalid("member %q or %q is missing", "password", "password_hash")
	}
	u, err := s.findStored(r.PathValue("user"))
	if err != nil {
		return err
	}
	hash, err := s.hash(r.Context(), wanted.Password, wanted.PasswordHash, u)
	if err != nil {
		return err
	}
	changed, err := s.Users.Change(r.Context(), u.ID, true, func(u *user.User) error {
		u.Hash = hash
		if !wanted.KeepSessions {
			u.Epoch++
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.audit.user(r, actionSetPassword, changed, zap.Bool("keep_sessions", wanted.KeepSessions))
	if wanted.KeepSessions {
		return writeJSON(w, http.StatusOK, SessionsEnded{})
	}
	return writeJSON(w, http.StatusOK, s.tidy(r, changed))
}

// unreserved refuses a new name or address that a user of the configuration has: its owner could
// not sign in.
func (s *server) unreserved(u, before *user.User) error {
	switch {
	case s.Passwords == nil:
		return nil
	case user.Fold(u.Name) != user.Fold(before.Name) && s.Passwords.Reserves(u.Name, ""):
		return failure(http.StatusConflict, "user name is taken by a user of the configuration")
	case u.Email != before.Email && s.Passwords.Reserves("", u.Email):
		return failure(http.StatusConflict, "e-mail address is taken by a user of the configuration")
	}
	return nil
}

// hash returns the given hash, or the hash of the given password. It is empty if the request has
// neither.
func (s *server) hash(ctx context.Context, typed, hash *string, u *user.User) (string, error) {
	switch {
	case typed != nil && hash != nil:
		return "", invalid("members %q and %q are there both", "password", "password_hash")
	case hash != nil:
		if err := password.ValidateHash(*hash, s.Budget); err != nil {
			return "", invalid("password_%v", err) // the error begins with "hash: "
		}
		return *hash, nil
	case typed != nil:
		return password.NewHash(ctx, s.Budget, *typed, u.Name, u.Email, u.DisplayName)
	}
	return "", nil
}

// tidy removes a user's sessions that a change has made dead from their jars. It continues if the
// client has gone.
func (s *server) tidy(r *http.Request, u *user.User) SessionsEnded {
	if s.Passwords == nil {
		return SessionsEnded{}
	}
	ended, err := s.Manager.End(context.WithoutCancel(r.Context()), session.Selection{Account: s.account(u)}, nil)
	s.audit.ended(r, ended)
	answer := SessionsEnded{SessionsEnded: len(ended)}
	if err != nil {
		answer.Warning = "the sessions have ended, but not all could be removed: " + err.Error()
		if !errors.Is(err, session.ErrUnreadable) {
			s.Log.Error("removing ended sessions", zap.String("user", u.ID), zap.Error(err))
		}
	}
	return answer
}

// account returns the account of a stored user, if there is a login for it.
func (s *server) account(u *user.User) session.Account {
	return session.Account{Method: s.Passwords.ID(), Subject: u.ID}
}
