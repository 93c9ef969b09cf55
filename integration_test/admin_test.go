package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// inviting is a gated site where people can sign up who are invited, beside the users of
// userOptions. Its database is the file.
func inviting(address, upstream, database string) string {
	return strings.Replace(site(address, upstream, storeAt(database), "multi_session"),
		"throttle off", "throttle off\n\t\t\tsign_up {\n\t\t\t\tinvitation\n\t\t\t}", 1)
}

// administered is a gateway with such a site.
type administered struct {
	*gateway
	up       *echo
	origin   string // of the site
	database string
	config   string
}

func startAdministered(t *testing.T) *administered {
	t.Helper()
	a := &administered{gateway: newGateway(t), up: newEcho(t)}
	address := freeAddress(t)
	a.origin = "http://" + address
	a.database = filepath.Join(a.dir, "sessions.db")
	a.config = inviting(address, a.up.address(), a.database)
	a.start(a.config)
	return a
}

// browser is a new one at the site.
func (a *administered) browser() *browser { return newBrowser(a.t, a.origin) }

// administer sends a request to the administration API as curl does. A body that is no text is
// sent as JSON.
func (g *gateway) administer(method, path string, body any) reply {
	g.t.Helper()
	answer, err := g.tryAdminister(method, path, body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer
}

func (g *gateway) tryAdminister(method, path string, body any) (reply, error) {
	var content io.Reader
	kind := "application/json"
	switch body := body.(type) {
	case nil:
	case string:
		content, kind = strings.NewReader(body), "application/x-ndjson"
	default:
		data, err := json.Marshal(body)
		if err != nil {
			return reply{}, err
		}
		content = bytes.NewReader(data)
	}
	request, err := http.NewRequest(method, "http://"+g.admin+"/multi-session"+path, content)
	if err != nil {
		return reply{}, err
	}
	if body != nil {
		request.Header.Set("Content-Type", kind)
	}
	request.Close = true // a reload ends connections
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{response, string(text)}, err
}

// done is administer for what must succeed, and returns the members of the answer.
func (g *gateway) done(method, path string, body any) object {
	g.t.Helper()
	answer := g.administer(method, path, body)
	if answer.StatusCode/100 != 2 {
		g.t.Fatalf("%s %s: %s: %s", method, path, answer.Status, answer.body)
	}
	var members object
	answer.json(g.t, &members)
	return members
}

type object = map[string]any

// createUser makes a stored user with the password that browser.signIn types.
func (g *gateway) createUser(name string, groups ...string) {
	g.t.Helper()
	g.done(http.MethodPost, "/users", object{"username": name, "email": name + "@example.org", "password": password(name), "groups": append([]string{}, groups...)})
}

// user is what the site's app is told who somebody is, "" where the gate sends to sign in.
func (b *browser) user() string {
	b.t.Helper()
	return b.told("Remote-User")
}

func (b *browser) told(header string) string {
	b.t.Helper()
	answer := b.get("/")
	if answer.StatusCode == http.StatusUnauthorized {
		return ""
	}
	return answer.seen(b.t).Header.Get(header)
}

// TestAdministrationRoutes calls every route once, and looks at what all answers have in common.
func TestAdministrationRoutes(t *testing.T) {
	a := startAdministered(t)
	b := a.browser()
	b.signIn("alice")
	for _, c := range []struct {
		name, method, path string
		body               any
		status             int
		says               string
	}{
		{"no users but the configuration's", "GET", "/users", nil, 200, `{"users":[{"id":"alice","username":"alice"`},
		{"create", "POST", "/users", object{"username": "dave", "email": "Dave@Example.org", "password": password("dave"), "groups": []string{"ops"}}, 201, `"email":"dave@example.org","email_verified":true`},
		{"create the same", "POST", "/users", object{"username": "Dave"}, 409, `{"error":"user name is taken"}`},
		{"create one of the configuration", "POST", "/users", object{"username": "alice"}, 409, "user of the configuration"},
		{"create with a password that is easily guessed", "POST", "/users", object{"username": "erin", "password": "password1"}, 400, `{"error":"password: one of those that guessers try first"}`},
		{"create with a member that is not known", "POST", "/users", object{"username": "erin", "admin": true}, 400, `{"error":"unknown member \"admin\""}`},
		{"create by a form", "POST", "/users", "username=erin", 415, "application/json"},
		{"show by name", "GET", "/users/dave", nil, 200, `"source":"store"`},
		{"show by address", "GET", "/users/dave@example.org", nil, 200, `"username":"dave"`},
		{"show nobody", "GET", "/users/nobody", nil, 404, `{"error":"no such user"}`},
		{"search", "GET", "/users?search=DAVE", nil, 200, `"username":"dave"`},
		{"search by what is not known", "GET", "/users?serach=dave", nil, 400, `"error":"unknown query parameter \"serach\""`},
		{"page", "GET", "/users?limit=1", nil, 200, `"next":"alice"`},
		{"change", "PATCH", "/users/dave", object{"name": "Dave D."}, 200, `"name":"Dave D."`},
		{"change one of the configuration", "PATCH", "/users/alice", object{"name": "A"}, 409, "configuration"},
		{"password", "PUT", "/users/dave/password", object{"password": "another-secret-42"}, 200, `{"sessions_ended":0}`},
		{"sessions", "GET", "/sessions", nil, 200, `"account":"password:alice"`},
		{"sessions of a user", "GET", "/sessions?user=alice", nil, 200, `"user":"alice"`},
		{"sessions of an account", "GET", "/sessions?user=password:bob", nil, 200, `{"sessions":[]}`},
		{"end none in particular", "DELETE", "/sessions", nil, 400, "everybody=true"},
		{"end that of an empty name", "DELETE", "/sessions?user=", nil, 400, `query parameter \"user\" is empty`},
		{"end one that is not there", "DELETE", "/sessions/nothing", nil, 404, "no such session"},
		{"end those of a login", "DELETE", "/sessions?method=password", nil, 200, `{"sessions_ended":1}`},
		{"invite", "POST", "/invitations", object{"email": "erin@example.org", "groups": []string{"ops"}, "expires_in": "1d"}, 201, `"path":"/.auth/sign-up?invitation=`},
		{"invitations", "GET", "/invitations", nil, 200, `"email":"erin@example.org"`},
		{"delete an invitation that is not there", "DELETE", "/invitations/nothing", nil, 404, "no such invitation"},
		{"check", "GET", "/check", nil, 200, `{"ok":true,"users":1,"sessions":0,"jars":0}`},
		{"delete", "DELETE", "/users/dave", nil, 200, `{"sessions_ended":0}`},
		{"delete once more", "DELETE", "/users/dave", nil, 404, "no such user"},
		{"restore what is none", "POST", "/restore", "{}\n", 400, "line 1"},
		{"a method that is not there", "PUT", "/users", object{}, 405, "not allowed"},
		{"a path that is not there", "GET", "/nothing", nil, 404, "no such path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := a.administer(c.method, c.path, c.body)
			if answer.StatusCode != c.status || !strings.Contains(answer.body, c.says) {
				t.Errorf("%s: %s, want %d and %s", answer.Status, answer.body, c.status, c.says)
			}
			for header, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"} {
				if got := answer.Header.Get(header); got != want {
					t.Errorf("%s is %q, want %q", header, got, want)
				}
			}
		})
	}
	answer := a.administer(http.MethodGet, "/backup", nil)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("backup: %s, %v", answer.Status, answer.Header)
	}
	if got := a.done(http.MethodPost, "/restore", answer.body); got["users"] != 0. || got["invitations"] != 1. {
		t.Errorf("restored %v", got)
	}
	noErrors(t, a.gateway)
}

// TestAdministrationIsNotPublic: what people reach has no way to it, and what web pages could send
// to the admin endpoint is refused there.
func TestAdministrationIsNotPublic(t *testing.T) {
	a := startAdministered(t)
	anonymous, alice := a.browser(), a.browser()
	alice.signIn("alice")
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		for _, path := range []string{"/multi-session/users", "/multi-session/sessions?everybody=true", "/multi-session/backup"} {
			if answer := anonymous.must(anonymous.request(method, path, nil)); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s by nobody: %s", method, path, answer.Status)
			}
			// For somebody who is signed in it is a path of the app like any other.
			answer := alice.must(alice.request(method, path, nil))
			if seen := answer.seen(t); seen.URI != path || seen.Method != method {
				t.Errorf("%s %s: the app saw %s %s", method, path, seen.Method, seen.URI)
			}
		}
		for _, path := range []string{"/.auth/multi-session/users", "/.auth/multi-session/sessions", "/.auth/multi-session/backup"} {
			if answer := alice.must(alice.request(method, path, nil)); answer.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %s", method, path, answer.Status)
			}
		}
	}
	request, err := http.NewRequest(http.MethodDelete, "http://"+a.admin+"/multi-session/sessions?everybody=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", a.origin)
	if answer := alice.must(request); answer.StatusCode != http.StatusForbidden {
		t.Errorf("from a web page: %s: %s", answer.Status, answer.body)
	}
	request.Header.Del("Origin")
	request.Host = "attacker.example"
	if answer := alice.must(request); answer.StatusCode != http.StatusForbidden {
		t.Errorf("by another host's name: %s: %s", answer.Status, answer.body)
	}
	if got := alice.active(); got != "alice" {
		t.Errorf("active is %q", got)
	}
}

// TestAdministrationAcrossReloads: whatever configuration runs while a request is served, it is
// answered by one that has its database, or by the word that there is none.
func TestAdministrationAcrossReloads(t *testing.T) {
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	first := inviting(address, up.address(), filepath.Join(g.dir, "first.db"))
	second := inviting(address, up.address(), filepath.Join(g.dir, "second.db"))
	none := "{\n}\nhttp://" + address + " {\n\trespond ok\n}\n"
	g.start(first)
	g.createUser("dave")

	stop := make(chan struct{})
	var workers sync.WaitGroup
	var mu sync.Mutex
	outcomes := make(map[int]int)
	for number := range 4 {
		workers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				method, path, body := http.MethodGet, "/backup", any(nil)
				switch i % 4 {
				case 1:
					path = "/users"
				case 2:
					path = "/check"
				case 3:
					method, path, body = http.MethodPost, "/users", object{"username": fmt.Sprintf("user-%d-%d", number, i)}
				}
				answer, err := g.tryAdminister(method, path, body)
				if err != nil {
					continue // Caddy replaces the endpoint with each configuration
				}
				mu.Lock()
				outcomes[answer.StatusCode]++
				mu.Unlock()
				switch {
				case answer.StatusCode/100 == 2:
				case answer.StatusCode == http.StatusNotFound && strings.Contains(answer.body, "has no multi_session app"):
				default:
					t.Errorf("%s %s: %s: %s", method, path, answer.Status, answer.body)
				}
			}
		})
	}
	for i := range 24 {
		if err := g.reload([]string{second, none, first}[i%3]); err != nil {
			t.Error(err)
		}
	}
	// Right after a reload it is the new configuration's.
	if got := g.done(http.MethodGet, "/users/dave", nil); got["username"] != "dave" {
		t.Errorf("dave is %v", got)
	}
	close(stop)
	workers.Wait()
	t.Logf("answers by status: %v", outcomes)
	if outcomes[http.StatusOK] == 0 || outcomes[http.StatusCreated] == 0 {
		t.Error("nothing was answered")
	}
	if err := g.reload(none); err != nil {
		t.Fatal(err)
	}
	if answer := g.administer(http.MethodGet, "/users", nil); answer.StatusCode != http.StatusNotFound || answer.body != `{"error":"the running configuration has no multi_session app"}`+"\n" {
		t.Errorf("without the app: %s: %s", answer.Status, answer.body)
	}
	noErrors(t, g)
}
