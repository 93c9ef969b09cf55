package admin

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// The model is who is signed in where, in its plainest form: a user has a life, a session was made in
// one, and is live while that is the user's. What ends sessions begins another life.
type (
	model struct {
		users    map[string]modelUser // by id
		browsers []modelBrowser
		lives    int
		saved    map[string]modelUser
	}
	modelUser struct {
		name, email string
		disabled    bool
		life        int
	}
	modelBrowser map[string]int // account id to the life that its session was made in
)

func (m *model) newLife() int { m.lives++; return m.lives }

func (m *model) change(id string, edit func(*modelUser)) {
	u := m.users[id]
	edit(&u)
	m.users[id] = u
}

// live returns the accounts that are signed in in a browser.
func (m *model) live(b modelBrowser) []string {
	ids := []string{}
	for account, life := range b {
		subject := strings.TrimPrefix(account, "local:")
		u, there := m.users[subject]
		if subject == "bob" || there && !u.disabled && u.life == life {
			ids = append(ids, account)
		}
	}
	slices.Sort(ids)
	return ids
}

// end removes the sessions that are meant, and returns how many of them were live.
func (m *model) end(meant func(browser int, account string) bool) (live int) {
	for i, b := range m.browsers {
		alive := m.live(b)
		maps.DeleteFunc(b, func(account string, _ int) bool {
			gone := meant(i, account)
			if gone && slices.Contains(alive, account) {
				live++
			}
			return gone
		})
	}
	return live
}

// game is the model beside the world.
type game struct {
	*world
	*model
	*rand.Rand
	tokens []session.Token
	stale  []*session.Identity // of sign-ins that were begun and are finished later
	lives  map[*session.Identity]int
	backed string
}

// nobodyID is somebody whom no id, name or address is of.
const nobodyID = "~nobody"

func (g *game) anybody() string {
	ids := append(slices.Sorted(maps.Keys(g.model.users)), nobodyID)
	return ids[g.IntN(len(ids))]
}

// say names a user in one of the ways there are.
func (g *game) say(id string) string {
	u := g.model.users[id]
	ways := []string{id}
	if u.name != "" {
		ways = append(ways, u.name, strings.ToUpper(u.name))
	}
	if u.email != "" {
		ways = append(ways, u.email)
	}
	return ways[g.IntN(len(ways))]
}

func (g *game) aName() string { return []string{"carol", "dave", "erin", "Frank", "CAROL"}[g.IntN(5)] }

func (g *game) taken(id, name, email string) bool {
	for other, u := range g.model.users {
		if other != id && (user.Fold(u.name) == user.Fold(name) || email != "" && u.email == email) {
			return true
		}
	}
	return false
}

// want sends a request and reports whether it succeeded, which it must or must not.
func (g *game) want(success bool, failure int, method, path, body string) (reply, bool) {
	g.Helper()
	got := g.do(method, path, body)
	if success && got.status >= 300 || !success && got.status != failure {
		g.Fatalf("%s %s %s: %d %s, want success to be %t", method, path, body, got.status, got.body, success)
	}
	return got, success
}

func (g *game) wantEnded(got reply, n int) {
	g.Helper()
	if want := fmt.Sprintf(`{"sessions_ended":%d}`+"\n", n); got.body != want {
		g.Fatalf("answered %s, want %s", got.body, want)
	}
}

// of picks out the sessions of an account.
func of(id string) func(int, string) bool {
	return func(_ int, account string) bool { return account == "local:"+id }
}

// step makes one random move, in the world and in the model, and returns what it was.
func (g *game) step() string {
	id := g.anybody()
	u, there := g.model.users[id]
	b := g.IntN(len(g.tokens))
	switch move := g.IntN(18); move {
	case 0:
		// No more than a browser has room for, so that none gives way.
		if len(g.model.users) >= session.DefaultMaxSessions-1 {
			return "nothing"
		}
		name := g.aName()
		email := user.Fold(name) + "@example.org"
		got, made := g.want(!g.taken("", name, email), http.StatusConflict, http.MethodPost, "/users",
			fmt.Sprintf(`{"username":%q,"email":%q,"password_hash":%q}`, name, email, cheapHash))
		if made {
			id := strings.TrimPrefix(got.header.Get("Location"), Root+"/users/")
			g.model.users[id] = modelUser{name: name, email: email, life: g.newLife()}
		}
		return "create " + name
	case 1, 2, 3:
		if !there || u.disabled {
			g.signInAs(b, g.configured("bob"), 0)
			return "sign bob in"
		}
		identity := g.identity(id)
		g.signInAs(b, identity, u.life)
		return "sign in " + u.name
	case 4, 14:
		if there {
			identity := g.identity(id)
			g.stale, g.lives[identity] = append(g.stale, identity), u.life
		}
		return "begin to sign in"
	case 5, 15, 16, 17:
		if len(g.stale) == 0 {
			return "nothing"
		}
		identity := g.stale[max(0, len(g.stale)-1-g.IntN(4))] // one of those that were begun last
		// A browser whose live accounts are as many as it holds would have to drop one.
		if len(g.model.live(g.browsers[b])) < session.DefaultMaxSessions {
			g.signInAs(b, identity, g.lives[identity])
		}
		return "finish to sign in as " + identity.UserName
	case 6:
		name := g.aName()
		status := http.StatusConflict
		if !there {
			status = http.StatusNotFound
		}
		if _, done := g.want(there && !g.taken(id, name, ""), status, http.MethodPatch, "/users/"+g.say(id), fmt.Sprintf(`{"username":%q}`, name)); done {
			g.change(id, func(u *modelUser) { u.name = name })
		}
		return "rename " + u.name + " to " + name
	case 7, 8:
		disabled := move == 7
		if _, done := g.want(there, http.StatusNotFound, http.MethodPatch, "/users/"+g.say(id), fmt.Sprintf(`{"disabled":%t}`, disabled)); done {
			g.change(id, func(u *modelUser) {
				if disabled && !u.disabled {
					u.life = g.newLife()
				}
				u.disabled = disabled
			})
		}
		return fmt.Sprintf("disable %s: %t", u.name, disabled)
	case 9:
		keep := g.IntN(2) == 0
		_, done := g.want(there, http.StatusNotFound, http.MethodPut, "/users/"+g.say(id)+"/password", fmt.Sprintf(`{"password_hash":%q,"keep_sessions":%t}`, cheapHash, keep))
		if !done || keep {
			return "another password"
		}
		g.change(id, func(u *modelUser) { u.life = g.newLife() })
		return "another password, and an end to the sessions"
	case 10:
		if _, done := g.want(there, http.StatusNotFound, http.MethodDelete, "/users/"+g.say(id), ""); done {
			delete(g.model.users, id)
		}
		return "delete " + u.name
	case 11:
		return g.end()
	case 12:
		g.backed = g.world.backup()
		g.saved = maps.Clone(g.model.users)
		return "take a backup"
	default:
		if g.backed == "" || g.IntN(3) > 0 {
			return "nothing"
		}
		g.mustRestore(g.backed)
		g.model.users = maps.Clone(g.saved)
		for id := range g.model.users {
			g.change(id, func(u *modelUser) { u.life = g.newLife() })
		}
		g.model.end(func(int, string) bool { return true })
		return "restore"
	}
}

func (g *game) signInAs(b int, identity *session.Identity, life int) {
	g.Helper()
	g.tokens[b] = g.world.signIn(g.tokens[b], identity)
	g.browsers[b][identity.Account.ID()] = life
}

// end has an administrator end sessions.
func (g *game) end() string {
	id, b := g.anybody(), g.IntN(len(g.tokens))
	jar := jarOf(g.world, g.tokens[b])
	switch g.IntN(4) {
	case 0:
		if _, done := g.want(id != nobodyID, http.StatusNotFound, http.MethodDelete, "/sessions?user="+g.say(id), ""); done {
			g.model.end(of(id))
		}
		return "end a user's sessions"
	case 1:
		if jar != "" {
			g.want(true, 0, http.MethodDelete, "/sessions?jar="+jar, "")
			g.model.end(func(browser int, _ string) bool { return browser == b })
		}
		return "end a browser's sessions"
	case 2:
		list := ok[SessionList](g.world, http.MethodGet, "/sessions", "").Sessions
		if len(list) > 0 {
			s := list[g.IntN(len(list))]
			browser := slices.IndexFunc(g.tokens, func(token session.Token) bool { return jarOf(g.world, token) == s.Jar })
			got, _ := g.want(true, 0, http.MethodDelete, "/sessions/"+s.ID, "")
			g.wantEnded(got, g.model.end(func(b int, account string) bool { return b == browser && account == s.Account }))
		}
		return "end one session"
	default:
		g.want(true, 0, http.MethodDelete, "/sessions?everybody=true", "")
		g.model.end(func(int, string) bool { return true })
		return "end everybody's sessions"
	}
}

// TestModel makes random moves and asks after each who is signed in where.
func TestModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			const browsers = 3
			g := &game{
				world:  newWorld(t),
				model:  &model{users: make(map[string]modelUser)},
				Rand:   rand.New(rand.NewPCG(seed, 1)),
				tokens: make([]session.Token, browsers),
				lives:  make(map[*session.Identity]int),
			}
			for range browsers {
				g.browsers = append(g.browsers, make(modelBrowser))
			}
			var moves []string
			for range 120 {
				moves = append(moves, g.step())
				listed := 0
				for i, token := range g.tokens {
					want := g.model.live(g.browsers[i])
					if got := g.world.live(token); !slices.Equal(got, want) {
						t.Fatalf("browser %d has %v, want %v, after\n%s", i, got, want, strings.Join(moves, "\n"))
					}
					listed += len(want)
				}
				if got := len(ok[SessionList](g.world, http.MethodGet, "/sessions", "").Sessions); got != listed {
					t.Fatalf("%d sessions are listed, want %d, after\n%s", got, listed, strings.Join(moves, "\n"))
				}
			}
			ok[Checked](g.world, http.MethodGet, "/check", "")
		})
	}
}
