package admin

import (
	"context"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// getName answers which account of a provider a user name belongs to.
func (s *server) getName(w http.ResponseWriter, r *http.Request, _ query) error {
	name := r.PathValue("name")
	account, held := s.Names.Holder(name)
	if !held {
		return errNoName
	}
	return writeJSON(w, http.StatusOK, HeldName{name, account})
}

// releaseName frees a user name for the next account that signs in with it. The sessions that the
// previous owner has under the name end: nobody else may be called like them at the same time.
func (s *server) releaseName(w http.ResponseWriter, r *http.Request, _ query) error {
	name := r.PathValue("name")
	account, held, err := s.Names.Release(r.Context(), name)
	if err != nil {
		return err
	}
	if !held {
		return errNoName
	}
	s.audit.line(r, actionReleaseName, zap.String("user_name", name), zap.String("account", account))
	method, subject, _ := strings.Cut(account, ":")
	otherName := func(session *session.Session) bool {
		return user.FoldName(session.Recorded.UserName) != user.FoldName(name)
	}
	// The name is released, so this goes on if the client goes away.
	ended, err := s.Manager.End(context.WithoutCancel(r.Context()), session.Selection{Account: session.Account{Method: method, Subject: subject}}, otherName)
	s.audit.ended(r, ended)
	answer := ReleasedName{HeldName{name, account}, SessionsEnded{SessionsEnded: len(ended)}}
	if answer.Warning, err = s.warning(err); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// warnOfOwnedName says in a user's answer that the user has a name of a provider's account, which is
// not let in any more.
func (s *server) warnOfOwnedName(u *User) {
	if account, owned := s.Names.Holder(u.Username); owned {
		u.Warning = "the user name belongs to " + account + ", which cannot sign in with it any more: release the name if that is meant"
		s.Log.Warn("a user has the name of a provider's account, which cannot sign in any more", zap.String("user", u.ID), zap.String("user_name", u.Username), zap.String("account", account))
	}
}
