package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// Default and maximum number of users on a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

func (s *server) listUsers(w http.ResponseWriter, _ *http.Request, q query) error {
	limit, err := q.number("limit", defaultPage, maxPage)
	if err != nil {
		return err
	}
	search := strings.ToLower(q["search"])
	from := parsePlace(q["after"])
	list := UserList{Users: []User{}}
	for _, u := range s.everybody() {
		if !u.matches(search) || comparePlaces(u.place(), from) <= 0 {
			continue
		}
		if len(list.Users) == limit {
			list.Next = list.Users[limit-1].place().String()
			break
		}
		list.Users = append(list.Users, u)
	}
	return writeJSON(w, http.StatusOK, list)
}

func (s *server) getUser(w http.ResponseWriter, r *http.Request, _ query) error {
	configured, stored, err := s.find(r.PathValue("user"))
	if err != nil {
		return err
	}
	if configured != nil {
		return writeJSON(w, http.StatusOK, ofConfiguration(configured))
	}
	return writeJSON(w, http.StatusOK, s.ofStore(stored))
}

// find returns the user with an id, a name or an e-mail address: one of the configuration, or else
// a stored one.
func (s *server) find(text string) (*session.Identity, *user.User, error) {
	for _, identity := range s.configured() {
		folded := user.Fold(text)
		if folded == user.Fold(identity.UserName) || identity.Email != "" && folded == identity.Email {
			return identity, nil, nil
		}
	}
	if stored, ok := s.Users.Find(text); ok {
		return nil, stored, nil
	}
	return nil, nil, errNoUser
}

// findStored is find for users that are about to be changed.
func (s *server) findStored(text string) (*user.User, error) {
	configured, stored, err := s.find(text)
	if configured != nil {
		return nil, failure(http.StatusConflict, "%s is a user of the configuration, and is changed there", configured.UserName)
	}
	return stored, err
}

func (s *server) configured() []*session.Identity {
	if s.Passwords == nil {
		return nil
	}
	return s.Passwords.Configured()
}

// everybody returns all users in order.
func (s *server) everybody() []User {
	configured, stored := s.configured(), s.Users.All()
	all := make([]User, 0, len(configured)+len(stored))
	for _, identity := range configured {
		all = append(all, ofConfiguration(identity))
	}
	for _, u := range stored {
		all = append(all, s.ofStore(u))
	}
	slices.SortFunc(all, func(a, b User) int { return comparePlaces(a.place(), b.place()) })
	return all
}

// matches reports whether one of a user's names, addresses or ids contains a text, which is in
// lower case.
func (u *User) matches(search string) bool {
	return slices.ContainsFunc([]string{u.ID, u.Username, u.Name, u.Email}, func(text string) bool {
		return strings.Contains(strings.ToLower(text), search)
	})
}

// place is the position of a user in the order of all users: by name, and a user of the
// configuration before the stored one that it shadows.
type place struct{ name, id string }

func (u *User) place() place {
	p := place{name: user.Fold(u.Username)}
	if u.Source == SourceStore {
		p.id = u.ID
	}
	return p
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
}

// String joins name and id. No name contains the beginning of an id.
func (p place) String() string { return p.name + p.id }

func parsePlace(text string) place {
	end := strings.IndexFunc(text, func(c rune) bool { return user.IsID(string(c)) })
	if end < 0 {
		return place{name: user.Fold(text)}
	}
	return place{user.Fold(text[:end]), text[end:]}
}

func ofConfiguration(identity *session.Identity) User {
	return User{
		ID:            identity.Account.Subject,
		Username:      identity.UserName,
		Email:         identity.Email,
		EmailVerified: identity.EmailVerified,
		Name:          identity.Name,
		Picture:       identity.Picture,
		Groups:        list(identity.Groups),
		Password:      true,
		Source:        SourceConfiguration,
	}
}

func (s *server) ofStore(u *user.User) User {
	return User{
		ID:            u.ID,
		Username:      u.Name,
		Email:         u.Email,
		EmailVerified: u.EmailVerified,
		Name:          u.DisplayName,
		Picture:       u.Picture,
		Groups:        list(u.Groups),
		Disabled:      u.Disabled,
		Password:      u.Hash != "",
		Source:        SourceStore,
		Shadowed:      s.Passwords != nil && s.Passwords.Reserves(u.Name, u.Email),
		CreatedAt:     Time{u.CreatedAt},
		UpdatedAt:     Time{u.UpdatedAt},
	}
}

// list returns an empty list instead of nil, which would be null in JSON.
func list(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}
