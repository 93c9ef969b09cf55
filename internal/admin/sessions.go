package admin

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// maxListed bounds the parameter limit of a list of sessions.
const maxListed = 100_000

func (s *server) listSessions(w http.ResponseWriter, r *http.Request, q query) error {
	limit, err := q.number("limit", 0, maxListed)
	if err != nil {
		return err
	}
	delete(q, "limit")
	selected, err := s.selection(q)
	if err != nil {
		return err
	}
	if len(q) == 0 {
		selected.Everybody = true
	}
	found, more, err := s.Manager.LatestSessions(r.Context(), selected, limit)
	answer := SessionList{Sessions: make([]Session, len(found)), More: more}
	if answer.Warning, err = s.warning(err); err != nil {
		return err
	}
	for i, f := range found {
		answer.Sessions[i] = toWire(f)
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (s *server) endSessions(w http.ResponseWriter, r *http.Request, q query) error {
	everybody, all := q["everybody"]
	switch {
	case len(q) == 0:
		return invalid("no query parameter says which sessions; everybody=true means all")
	case all && everybody != "true":
		return invalid("query parameter %q: can be true only", "everybody")
	case all && len(q) > 1:
		return invalid("query parameter %q goes with no other", "everybody")
	}
	delete(q, "everybody")
	selected, err := s.selection(q)
	if err != nil {
		return err
	}
	selected.Everybody = all
	return s.end(w, r, selected)
}

// endSession ends a session. With the parameter beside it does so for the browser that has both
// sessions: if the ended one was active, another one becomes active.
func (s *server) endSession(w http.ResponseWriter, r *http.Request, q query) error {
	id := r.PathValue("id")
	if !validID(id) {
		return errNoSession
	}
	if beside, ok := q["beside"]; ok {
		return s.revoke(w, r, beside, id)
	}
	ended, err := s.Manager.End(r.Context(), session.Selection{Session: id}, nil)
	s.audit.ended(r, ended)
	if err != nil {
		return err
	}
	if len(ended) == 0 {
		return errNoSession
	}
	return writeJSON(w, http.StatusOK, SessionsEnded{SessionsEnded: len(ended)})
}

func (s *server) revoke(w http.ResponseWriter, r *http.Request, beside, id string) error {
	if !validID(beside) {
		return errNoSession
	}
	done, jarID, err := s.Manager.RevokeBeside(r.Context(), beside, id)
	if err != nil {
		return err
	}
	s.audit.ended(r, []session.Ended{{Session: done.Ended, JarID: jarID}})
	return writeJSON(w, http.StatusOK, SessionsEnded{SessionsEnded: 1})
}

// setActive makes another session of a browser the active one.
func (s *server) setActive(w http.ResponseWriter, r *http.Request, _ query) error {
	var wanted Activation
	given, err := readObject(w, r, map[string]any{"session": &wanted.Session, "host": &wanted.Host})
	if err != nil {
		return err
	}
	manager, beside := s.Manager, r.PathValue("id")
	if slices.Contains(given, "host") {
		site, err := session.ParseSite(strings.ToLower(wanted.Host))
		switch {
		case !s.PerHost:
			return failure(http.StatusConflict, "all hosts have one active session: %q goes with active per_host only", "host")
		case err != nil:
			return invalid("member %q: %v", "host", err)
		}
		manager = manager.At(site)
	}
	if !slices.Contains(given, "session") {
		return invalid("member %q is missing", "session")
	}
	if !validID(beside) || !validID(wanted.Session) {
		return errNoSession
	}
	active, err := manager.SetActiveBeside(r.Context(), beside, wanted.Session)
	if err != nil {
		return err
	}
	s.audit.activated(r, active)
	return writeJSON(w, http.StatusOK, toWire(active))
}

func (s *server) end(w http.ResponseWriter, r *http.Request, selected session.Selection) error {
	ended, err := s.Manager.End(r.Context(), selected, nil)
	s.audit.ended(r, ended) // also the sessions that ended before a failure
	answer := SessionsEnded{SessionsEnded: len(ended)}
	if answer.Warning, err = s.warning(err); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// warning turns the error that some jars are unreadable into a warning: nobody is signed in by
// these jars, and one of them must not hide all others.
func (s *server) warning(err error) (string, error) {
	if !errors.Is(err, session.ErrUnreadable) {
		return "", err
	}
	s.Log.Warn("jars that cannot be read", zap.Error(err))
	return err.Error(), nil
}

// selection returns the sessions that the request selects. It refuses parameters without a value,
// which may come from a script whose variable is not set.
func (s *server) selection(q query) (session.Selection, error) {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if q[name] == "" {
			return session.Selection{}, invalid("query parameter %q is empty", name)
		}
	}
	selected := session.Selection{Session: q["session"], Jar: q["jar"], Beside: q["beside"], Method: q["method"]}
	switch {
	case selected.Session != "" && !validID(selected.Session):
		return session.Selection{}, invalid("query parameter %q is no id", "session")
	case selected.Beside != "" && !validID(selected.Beside):
		return session.Selection{}, invalid("query parameter %q is no id", "beside")
	case selected.Jar != "" && !validID(selected.Jar):
		return session.Selection{}, invalid("query parameter %q is no id", "jar")
	}
	text, ok := q["user"]
	if !ok {
		return selected, nil
	}
	account, err := s.accountOf(text)
	selected.Account = account
	return selected, err
}

// accountOf returns the account with an account id, or of the user with an id, name or address.
// Only account ids have a colon.
func (s *server) accountOf(text string) (session.Account, error) {
	if method, subject, ok := strings.Cut(text, ":"); ok {
		if method == "" || subject == "" {
			return session.Account{}, invalid("query parameter %q: %q is no account id", "user", bounded(text))
		}
		return session.Account{Method: method, Subject: subject}, nil
	}
	configured, stored, err := s.find(text)
	switch {
	case err != nil:
		return session.Account{}, err
	case configured != nil:
		return configured.Account, nil
	case s.Passwords == nil:
		return session.Account{}, failure(http.StatusConflict, "no password login is configured, so the user has no sessions")
	}
	return s.account(stored), nil
}

// maxIDBytes is longer than any id.
const maxIDBytes = 64

// validID reports whether a text can be the id of a session or a jar.
func validID(text string) bool {
	return len(text) <= maxIDBytes && !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' })
}

func toWire(f session.Found) Session {
	var hosts []string
	for _, site := range f.Sites {
		hosts = append(hosts, cmp.Or(string(site), "*"))
	}
	return Session{
		ID:          f.ID,
		Jar:         f.JarID,
		Account:     f.Identity.Account.ID(),
		User:        f.Identity.UserName,
		Name:        f.Identity.Name,
		Method:      f.Identity.Account.Method,
		Active:      f.Active,
		ActiveHosts: hosts,
		IP:          f.IP,
		UserAgent:   f.UserAgent,
		CreatedAt:   Time{f.CreatedAt},
		LastUsedAt:  Time{f.LastUsedAt},
		ExpiresAt:   Time{f.Ends},
	}
}
