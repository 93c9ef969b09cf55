package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// session0 is the token of a browser without a jar.
var session0 session.Token

func names(users []User) string {
	var all []string
	for _, u := range users {
		all = append(all, u.Username)
	}
	return strings.Join(all, " ")
}

func TestCreateUser(t *testing.T) {
	w := newWorld(t)
	got := w.do(http.MethodPost, "/users", `{"username":"Carol","email":"Carol@Example.org","name":"Carol C.","groups":["dev"],"password":"correct horse"}`)
	if got.status != http.StatusCreated {
		t.Fatalf("answered %d %s", got.status, got.body)
	}
	carol := ok[User](w, http.MethodGet, "/users/carol", "")
	if want := Root + "/users/" + carol.ID; got.header.Get("Location") != want {
		t.Errorf("Location is %s, want %s", got.header.Get("Location"), want)
	}
	want := `{"id":"` + carol.ID + `","username":"Carol","email":"carol@example.org","email_verified":true,"name":"Carol C.","picture":"",` +
		`"groups":["dev"],"disabled":false,"password":true,"source":"store","shadowed":false,` +
		`"created_at":"2026-11-23T11:38:47.288Z","updated_at":"2026-11-23T11:38:47.288Z"}` + "\n"
	if got.body != want {
		t.Errorf("answered %s\nwant %s", got.body, want)
	}
	if id, err := w.passwords.Authenticate(t.Context(), passwordOf("carol", "correct horse")); err != nil || id.Account.Subject != carol.ID {
		t.Errorf("sign-in is %v, %v", id, err)
	}
}

func TestCreateUserWithoutAnything(t *testing.T) {
	w := newWorld(t)
	got := ok[User](w, http.MethodPost, "/users", `{"username":"carol","disabled":true}`)
	if got.Password || got.EmailVerified || !got.Disabled || got.Groups == nil {
		t.Errorf("created %+v", got)
	}
	unverified := ok[User](w, http.MethodPost, "/users", `{"username":"dave","email":"dave@example.org","email_verified":false}`)
	if unverified.EmailVerified {
		t.Error("the address is verified that was said not to be")
	}
}

func TestAdministratorsReuseNames(t *testing.T) {
	w := newWorld(t)
	was := w.create("carol")
	ok[SessionsEnded](w, http.MethodDelete, "/users/carol", "")
	is := w.create("carol")
	if is.ID == was.ID {
		t.Error("the new user has the old one's id")
	}
	// Who was given a name that was another's keeps it.
	if got := ok[User](w, http.MethodPatch, "/users/carol", `{"name":"Carol"}`); got.Name != "Carol" {
		t.Errorf("changed to %+v", got)
	}
}

func TestConfiguredUsers(t *testing.T) {
	w := newWorld(t)
	got := w.do(http.MethodGet, "/users/ALICE@example.com", "")
	want := `{"id":"Alice","username":"Alice","email":"alice@example.com","email_verified":true,"name":"Alice A.","picture":"",` +
		`"groups":["admin"],"disabled":false,"password":true,"source":"configuration","shadowed":false}` + "\n"
	if got.body != want {
		t.Errorf("answered %s\nwant %s", got.body, want)
	}
}

func TestShadowedUsers(t *testing.T) {
	w := newWorld(t)
	// As before a configuration that names alice.
	bare := w.config
	bare.Passwords = nil
	w.handler = New(bare)
	shadowed := ok[User](w, http.MethodPost, "/users", `{"username":"alice"}`)
	if shadowed.Shadowed {
		t.Error("somebody is shadowed without a configuration")
	}
	w.handler = New(w.config)

	if got := ok[User](w, http.MethodGet, "/users/alice", ""); got.Source != SourceConfiguration {
		t.Errorf("the name means %+v, want the configuration's", got)
	}
	if got := ok[User](w, http.MethodGet, "/users/"+shadowed.ID, ""); !got.Shadowed || got.Source != SourceStore {
		t.Errorf("the id means %+v, want the shadowed one", got)
	}
	list := ok[UserList](w, http.MethodGet, "/users?limit=1", "")
	next := ok[UserList](w, http.MethodGet, "/users?limit=1&after="+url.QueryEscape(list.Next), "")
	if list.Users[0].ID != "Alice" || next.Users[0].ID != shadowed.ID {
		t.Errorf("pages are %v and %v", list.Users, next.Users)
	}
	// What is not the name can be changed, and another name ends it.
	ok[User](w, http.MethodPatch, "/users/"+shadowed.ID, `{"name":"Other Alice"}`)
	if got := ok[User](w, http.MethodPatch, "/users/"+shadowed.ID, `{"username":"alicia"}`); got.Shadowed {
		t.Error("shadowed under another name")
	}
}

func TestListUsers(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"Zoe", "carol", "Dave", "dave2", "anna"} {
		w.create(name)
	}
	ok[User](w, http.MethodPatch, "/users/carol", `{"name":"Ümit Özil"}`)
	for search, want := range map[string]string{
		"":            "Alice anna bob carol Dave dave2 Zoe",
		"dAVE":        "Dave dave2",
		"example.com": "Alice",
		"özil":        "carol",
		"nobody":      "",
		"~":           "anna carol Dave dave2 Zoe", // by id
	} {
		if got := names(ok[UserList](w, http.MethodGet, "/users?search="+url.QueryEscape(search), "").Users); got != want {
			t.Errorf("search %q finds %q, want %q", search, got, want)
		}
	}
	var paged []User
	for after := ""; ; {
		page := ok[UserList](w, http.MethodGet, "/users?limit=2&after="+url.QueryEscape(after), "")
		paged = append(paged, page.Users...)
		if after = page.Next; after == "" {
			break
		}
	}
	if got := names(paged); got != "Alice anna bob carol Dave dave2 Zoe" {
		t.Errorf("the pages have %q", got)
	}
}

func TestUpdateUser(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want func(*User)
	}{
		"name":                        {`{"name":"C"}`, func(u *User) { u.Name = "C" }},
		"username":                    {`{"username":"caroline"}`, func(u *User) { u.Username = "caroline" }},
		"username in another case":    {`{"username":"CAROL"}`, func(u *User) { u.Username = "CAROL" }},
		"groups":                      {`{"groups":["a","b"]}`, func(u *User) { u.Groups = []string{"a", "b"} }},
		"no groups":                   {`{"groups":[]}`, func(u *User) { u.Groups = []string{} }},
		"picture":                     {`{"picture":"https://example.org/c.png"}`, func(u *User) { u.Picture = "https://example.org/c.png" }},
		"another address":             {`{"email":"C@Example.org"}`, func(u *User) { u.Email, u.EmailVerified = "c@example.org", true }},
		"another address, unverified": {`{"email":"c@example.org","email_verified":false}`, func(u *User) { u.Email = "c@example.org" }},
		"the same address":            {`{"email":"CAROL@example.org"}`, func(*User) {}},
		"no address":                  {`{"email":""}`, func(u *User) { u.Email = "" }},
		"verified":                    {`{"email_verified":true}`, func(u *User) { u.EmailVerified = true }},
		"disabled":                    {`{"disabled":true}`, func(u *User) { u.Disabled = true }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			want := ok[User](w, http.MethodPost, "/users", `{"username":"carol","email":"carol@example.org","email_verified":false,"groups":["dev"]}`)
			w.clock.advance(time.Hour)
			tc.want(&want)
			got := ok[User](w, http.MethodPatch, "/users/"+want.ID, tc.body)
			got.UpdatedAt = want.UpdatedAt
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("changed to %v, want %v", got, want)
			}
			if again := ok[User](w, http.MethodGet, "/users/"+want.ID, ""); again.Username != want.Username || again.Email != want.Email {
				t.Errorf("stored is %v", again)
			}
		})
	}
}

// TestWhatEndsSessions is in memory as in the store: the jar was looked at before.
func TestWhatEndsSessions(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path, body string
		ended              int // as answered, -1 where it is not
		lives              bool
	}{
		"disabling":               {"PATCH", "/users/carol", `{"disabled":true}`, -1, false},
		"deletion":                {"DELETE", "/users/carol", "", 1, false},
		"a new password":          {"PUT", "/users/carol/password", `{"password":"correct horse"}`, 1, false},
		"a new hash":              {"PUT", "/users/carol/password", `{"password_hash":"` + cheapHash + `"}`, 1, false},
		"sessions that are kept":  {"PUT", "/users/carol/password", `{"password_hash":"` + cheapHash + `","keep_sessions":true}`, 0, true},
		"another name":            {"PATCH", "/users/carol", `{"username":"caroline"}`, -1, true},
		"another address":         {"PATCH", "/users/carol", `{"email":"c@example.org"}`, -1, true},
		"enabling who is enabled": {"PATCH", "/users/carol", `{"disabled":false}`, -1, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			carol, dave := w.create("carol"), w.create("dave")
			stale := w.identity(carol.ID) // of a sign-in that is under way meanwhile
			token := w.signIn(w.signIn(session0, w.identity(dave.ID)), stale)
			w.wantLive(token, "local:"+carol.ID, "local:"+dave.ID)

			ended := ok[struct {
				N *int `json:"sessions_ended"`
			}](w, tc.method, tc.path, tc.body)
			if (ended.N == nil) != (tc.ended < 0) || ended.N != nil && *ended.N != tc.ended {
				t.Errorf("answered sessions_ended %v, want %d", ended.N, tc.ended)
			}
			late := w.signIn(session0, stale)
			if tc.lives {
				w.wantLive(token, "local:"+carol.ID, "local:"+dave.ID)
				w.wantLive(late, "local:"+carol.ID)
				return
			}
			w.wantLive(token, "local:"+dave.ID)
			w.wantLive(late)
		})
	}
}

func TestEnablingRevivesNoSession(t *testing.T) {
	w := newWorld(t)
	carol := w.create("carol")
	stale := w.identity(carol.ID)
	token := w.signIn(session0, stale)
	ok[User](w, http.MethodPatch, "/users/carol", `{"disabled":true}`)
	late := w.signIn(session0, stale)
	ok[User](w, http.MethodPatch, "/users/carol", `{"disabled":false}`)
	w.wantLive(token)
	w.wantLive(late)
	w.wantLive(w.signIn(session0, w.identity(carol.ID)), "local:"+carol.ID)
}

func TestTheIDOfAnotherIsNoUserName(t *testing.T) {
	w := newWorld(t)
	carol := w.create("carol")
	for _, body := range []string{`{"username":"` + carol.ID + `"}`, `{"username":"~"}`} {
		w.fails(http.MethodPost, "/users", body, http.StatusBadRequest, "name")
		w.fails(http.MethodPatch, "/users/carol", body, http.StatusBadRequest, "name")
	}
}

func TestPathTraversal(t *testing.T) {
	w := newWorld(t)
	carol := w.create("carol")
	token := w.signIn(session0, w.identity(carol.ID))
	before := w.stored()
	for _, user := range []string{
		"..", ".", "../sessions", "%2e%2e", "%2e%2e/sessions", "..%2fsessions", "carol/..", "carol/../dave", "x/../carol", "carol%2fpassword",
		"carol%00", "carol%0a", "//carol", "/carol", "carol/", "%20carol", "user:" + carol.ID, "carol%252e", "*", "~", "@", "%40",
	} {
		got := w.do(http.MethodDelete, "/users/"+user, "")
		if got.status != http.StatusNotFound && got.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: answered %d %s", user, got.status, got.body)
		}
		if got.header.Get("Content-Type") != "application/json" || got.header.Get("Location") != "" {
			t.Errorf("%s: the headers are %v", user, got.header)
		}
	}
	if w.stored() != before {
		t.Error("something was stored")
	}
	w.wantLive(token, "local:"+carol.ID)
}

func TestEveryWayToSayAUserMeansTheSame(t *testing.T) {
	w := newWorld(t)
	carol := w.create("Carol")
	for _, say := range []string{carol.ID, url.PathEscape(carol.ID), "%7E" + carol.ID[1:], "carol", "CAROL", "c%61rol", "carol@example.org", "CAROL@example.ORG", "carol%40example.org"} {
		if got := ok[User](w, http.MethodGet, "/users/"+say, ""); got.ID != carol.ID {
			t.Errorf("%s means %v", say, got)
		}
	}
	// Ids have upper and lower case.
	w.fails(http.MethodGet, "/users/"+strings.ToUpper(carol.ID), "", http.StatusNotFound, "no such user")
}

func TestTwoUsersNeverGetOneAddress(t *testing.T) {
	w := newWorld(t)
	const n = 8
	var wg sync.WaitGroup
	statuses := make([]int, n)
	for i := range n {
		w.create(fmt.Sprintf("user%d", i))
	}
	for i := range n {
		wg.Go(func() {
			statuses[i] = w.do(http.MethodPatch, fmt.Sprintf("/users/user%d", i), `{"email":"one@example.org","username":"one"}`).status
		})
	}
	wg.Wait()
	slices.Sort(statuses)
	if statuses[0] != http.StatusOK || statuses[1] != http.StatusConflict {
		t.Errorf("the answers are %v, want one 200", statuses)
	}
	ok[Checked](w, http.MethodGet, "/check", "")
}

func TestAudit(t *testing.T) {
	w := newWorld(t)
	carol := ok[User](w, http.MethodPost, "/users", `{"username":"carol","password":"correct horse"}`)
	ok[User](w, http.MethodPatch, "/users/carol", `{"name":"C"}`)
	w.signIn(session0, w.identity(carol.ID))
	ok[SessionsEnded](w, http.MethodPut, "/users/carol/password", `{"password":"battery staple"}`)
	ok[SessionsEnded](w, http.MethodPut, "/users/carol/password", `{"password_hash":"`+cheapHash+`"}`)
	invited := ok[Invited](w, http.MethodPost, "/invitations", `{}`)
	ok[struct{}](w, http.MethodDelete, "/invitations/"+invited.ID, "")
	backup := w.do(http.MethodGet, "/backup", "").body
	w.send(http.MethodPost, "/restore", BackupType, strings.NewReader(backup))
	ok[SessionsEnded](w, http.MethodDelete, "/users/carol", "")
	w.fails(http.MethodDelete, "/users/carol", "", http.StatusNotFound, "no such user")

	want := []string{
		"create-user " + carol.ID + " ",
		"update-user " + carol.ID + " ",
		"set-password " + carol.ID + " ",
		"end-session  local:" + carol.ID,
		"set-password " + carol.ID + " ",
		"create-invitation  ",
		"delete-invitation  ",
		"backup  ",
		"restore  ",
		"delete-user " + carol.ID + " ",
	}
	if got := w.audited("user", "account"); !slices.Equal(got, want) {
		t.Errorf("the audit has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, entry := range w.logged.All() {
		line := fmt.Sprint(entry.Message, entry.ContextMap())
		for _, secret := range []string{"correct horse", "battery staple", "$argon2", invited.Code} {
			if strings.Contains(line, secret) {
				t.Errorf("a secret is in the log: %s", line)
			}
		}
		if entry.LoggerName == "audit" && (entry.Message != "admin" || entry.ContextMap()["event"] != "admin") {
			t.Errorf("a line without its event: %s", line)
		}
	}
}
