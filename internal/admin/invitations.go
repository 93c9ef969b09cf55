package admin

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/user"
)

// Defaults of an invitation.
const (
	defaultUses      = 1
	defaultExpiresIn = 7 * 24 * time.Hour
)

func (s *server) listInvitations(w http.ResponseWriter, r *http.Request, _ query) error {
	stored, err := s.Users.Invitations(r.Context())
	if err != nil {
		return err
	}
	answer := InvitationList{Invitations: make([]Invitation, len(stored))}
	for i, invitation := range stored {
		answer.Invitations[i] = ofInvitation(invitation)
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (s *server) invite(w http.ResponseWriter, r *http.Request, _ query) error {
	var wanted NewInvitation
	_, err := readObject(w, r, map[string]any{
		"email":      &wanted.Email,
		"groups":     &wanted.Groups,
		"uses":       &wanted.Uses,
		"expires_in": &wanted.ExpiresIn,
	})
	if err != nil {
		return err
	}
	given := user.Invitation{Email: user.Fold(wanted.Email), Groups: wanted.Groups, Uses: defaultUses}
	set(&given.Uses, wanted.Uses)
	lasts := defaultExpiresIn
	if wanted.ExpiresIn != nil {
		if lasts, err = parseDuration(*wanted.ExpiresIn); err != nil {
			return err
		}
	}
	given.ExpiresAt = s.Now().Add(lasts)
	made, code, err := s.Users.Invite(r.Context(), given)
	if err != nil {
		return err
	}
	s.audit.line(r, actionInvite, zap.String("invitation", made.ID), zap.Int("uses", made.Uses), zap.Strings("groups", made.Groups))
	page := s.Prefix + "/sign-up?invitation=" + url.QueryEscape(code)
	urls := make([]string, 0, len(s.Sites))
	for _, site := range s.Sites {
		if !strings.Contains(site, "*") {
			urls = append(urls, site+page)
		}
	}
	return writeJSON(w, http.StatusCreated, Invited{ofInvitation(made), code, page, urls})
}

func (s *server) withdraw(w http.ResponseWriter, r *http.Request, _ query) error {
	id := r.PathValue("id")
	err := s.Users.Withdraw(r.Context(), id)
	if errors.Is(err, user.ErrNotFound) {
		return errNoInvitation
	}
	if err != nil {
		return err
	}
	s.audit.line(r, actionWithdraw, zap.String("invitation", id))
	return writeJSON(w, http.StatusOK, struct{}{})
}

func ofInvitation(i *user.Invitation) Invitation {
	return Invitation{i.ID, i.Email, list(i.Groups), i.Uses, Time{i.CreatedAt}, Time{i.ExpiresAt}}
}

// maxDays keeps days within the range of a time.Duration.
const maxDays = 10_000

// parseDuration parses a duration in the syntax of Go, with days before it or alone: 90m, 7d,
// 1d12h.
func parseDuration(text string) (time.Duration, error) {
	wrong := invalid("member %q: %q is no duration such as 12h or 7d", "expires_in", bounded(text))
	rest := text
	var days time.Duration
	if number, behind, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n > maxDays {
			return 0, wrong
		}
		days, rest = time.Duration(n)*24*time.Hour, behind
	}
	if rest == "" && text != "" {
		return days, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > maxDays*24*time.Hour {
		return 0, wrong
	}
	return days + d, nil
}
