package admin

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/storage"
)

// twoBrowsers has Alice, carol and a google account of the name carol in one browser, carol in another.
func twoBrowsers(w *world) (carol User, one, two session.Token) {
	w.Helper()
	carol = w.create("carol")
	google := &session.Identity{Account: session.Account{Method: "google", Subject: "1"}, UserName: "carol", Name: "Carol G."}
	one = session0
	for _, identity := range []*session.Identity{w.configured("Alice"), w.identity(carol.ID), google} {
		one = w.signIn(one, identity)
		w.clock.advance(time.Second)
	}
	two = w.signIn(session0, w.identity(carol.ID))
	return carol, one, two
}

// accounts lists the accounts of sessions, in order.
func accounts(sessions []Session) string {
	var all []string
	for _, s := range sessions {
		all = append(all, s.Account)
	}
	return strings.Join(all, " ")
}

func jarOf(w *world, token session.Token) string {
	w.Helper()
	v, err := w.manager.Visit(w.Context(), token)
	if err != nil {
		w.Fatal(err)
	}
	return v.JarID()
}

func TestListSessions(t *testing.T) {
	w := newWorld(t)
	carol, one, two := twoBrowsers(w)
	local := "local:" + carol.ID
	everybody := ok[SessionList](w, http.MethodGet, "/sessions", "").Sessions
	for query, want := range map[string]string{
		"":                                      local + " google:1 " + local + " local:Alice",
		"user=carol":                            local + " " + local,
		"user=" + carol.ID:                      local + " " + local,
		"user=carol@example.org":                local + " " + local,
		"user=" + url.QueryEscape(local):        local + " " + local,
		"user=alice":                            "local:Alice",
		"user=google:1":                         "google:1",
		"user=google:2":                         "",
		"user=bob":                              "",
		"method=google":                         "google:1",
		"method=local":                          local + " " + local + " local:Alice",
		"method=nothing":                        "",
		"jar=" + jarOf(w, two):                  local,
		"jar=unknown":                           "",
		"session=" + everybody[3].ID:            "local:Alice",
		"session=unknown":                       "",
		"user=carol&jar=" + jarOf(w, one):       local,
		"user=carol&method=google":              "",
		"user=alice&session=" + everybody[0].ID: "",
	} {
		if got := accounts(ok[SessionList](w, http.MethodGet, "/sessions?"+query, "").Sessions); got != want {
			t.Errorf("%q lists %q, want %q", query, got, want)
		}
	}
	for limit, want := range map[string]bool{"limit=1": true, "limit=3": true, "limit=4": false, "limit=5": false} {
		list := ok[SessionList](w, http.MethodGet, "/sessions?"+limit, "")
		n := min(int(limit[6]-'0'), len(everybody))
		if list.More != want || !reflect.DeepEqual(list.Sessions, everybody[:n]) {
			t.Errorf("%s: lists %d sessions and more is %t, want %t", limit, len(list.Sessions), list.More, want)
		}
	}
}

func TestSessionOnTheWire(t *testing.T) {
	w := newWorld(t)
	token := w.signIn(session0, w.configured("Alice"))
	v, err := w.manager.Visit(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	active, _ := v.Active()
	want := `{"sessions":[{"id":"` + active.ID + `","jar":"` + v.JarID() + `","account":"local:Alice","user":"Alice","name":"Alice A.",` +
		`"method":"local","active":true,"ip":"192.0.2.1","user_agent":"test","created_at":"2026-11-23T11:38:47.288Z",` +
		`"last_used_at":"2026-11-23T11:38:47.288Z","expires_at":"2026-11-30T11:38:47.288Z"}]}` + "\n"
	got := w.do(http.MethodGet, "/sessions", "").body
	if got != want {
		t.Errorf("answered %s\nwant %s", got, want)
	}
	if strings.Contains(got, active.Handle) || strings.Contains(got, token.Reveal()) {
		t.Error("the answer has what the browser knows the session by")
	}
}

func TestEndSessions(t *testing.T) {
	for name, tc := range map[string]struct {
		query    string // with {jar} of the first browser
		ended    int
		one, two string // what is left there
	}{
		"a user's":            {"user=carol", 2, "google local:Alice", ""},
		"a configured user's": {"user=ALICE", 1, "carol google", "carol"},
		"a method's":          {"method=google", 1, "carol local:Alice", "carol"},
		"a browser's":         {"jar={jar}", 3, "", "carol"},
		"a user's in one":     {"jar={jar}&user=carol", 1, "google local:Alice", "carol"},
		"everybody's":         {"everybody=true", 4, "", ""},
		"nobody's":            {"user=bob", 0, "carol google local:Alice", "carol"},
		"of two conditions":   {"user=carol&method=google", 0, "carol google local:Alice", "carol"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			carol, one, two := twoBrowsers(w)
			all := strings.NewReplacer("carol", "local:"+carol.ID, "google", "google:1")
			got := ok[SessionsEnded](w, http.MethodDelete, "/sessions?"+strings.ReplaceAll(tc.query, "{jar}", jarOf(w, one)), "")
			if got.SessionsEnded != tc.ended || got.Warning != "" {
				t.Errorf("answered %+v, want %d", got, tc.ended)
			}
			w.wantLive(one, strings.Fields(all.Replace(tc.one))...)
			w.wantLive(two, strings.Fields(all.Replace(tc.two))...)
		})
	}
}

func TestEndSession(t *testing.T) {
	w := newWorld(t)
	carol, one, two := twoBrowsers(w)
	id := ok[SessionList](w, http.MethodGet, "/sessions?user=alice", "").Sessions[0].ID
	if got := ok[SessionsEnded](w, http.MethodDelete, "/sessions/"+id, ""); got.SessionsEnded != 1 {
		t.Errorf("answered %+v, want 1", got)
	}
	w.fails(http.MethodDelete, "/sessions/"+id, "", http.StatusNotFound, "no such session")
	w.wantLive(one, "local:"+carol.ID, "google:1")
	w.wantLive(two, "local:"+carol.ID)
}

// TestADamagedJarHidesNoOther spoils one of two jars in the store.
// TestForTheBrowserOfARequest is what an app behind the gateway does, which knows the session of a
// request only.
func TestForTheBrowserOfARequest(t *testing.T) {
	w := newWorld(t)
	carol, one, two := twoBrowsers(w)
	local := "local:" + carol.ID
	sessions := map[string]string{}
	known := func() string {
		w.Helper()
		v, err := w.manager.Visit(w.Context(), one)
		if err != nil {
			w.Fatal(err)
		}
		active, ok := v.Active()
		if !ok {
			w.Fatal("nobody is active")
		}
		return active.ID
	}
	list := func() string {
		w.Helper()
		clear(sessions)
		all := ok[SessionList](w, http.MethodGet, "/sessions?beside="+known(), "").Sessions
		for _, s := range all {
			sessions[s.Account] = s.ID
		}
		return accounts(all)
	}
	if got, want := list(), "google:1 "+local+" local:Alice"; got != want {
		t.Fatalf("beside the active session are %s, want %s", got, want)
	}
	active := ok[Session](w, http.MethodPut, "/sessions/"+known()+"/active", `{"session":"`+sessions["local:Alice"]+`"}`)
	if active.ID != sessions["local:Alice"] || !active.Active || known() != active.ID {
		t.Errorf("%+v is active", active)
	}
	elsewhere := ok[SessionList](w, http.MethodGet, "/sessions?jar="+jarOf(w, two), "").Sessions[0].ID
	w.fails(http.MethodPut, "/sessions/"+known()+"/active", `{"session":"`+elsewhere+`"}`, 404, "no such session")
	w.fails(http.MethodDelete, "/sessions/"+elsewhere+"?beside="+known(), "", 404, "no such session")
	if got := ok[SessionsEnded](w, http.MethodDelete, "/sessions/"+active.ID+"?beside="+active.ID, ""); got.SessionsEnded != 1 {
		t.Errorf("%+v", got)
	}
	if known() != sessions["google:1"] || list() != "google:1 "+local {
		t.Errorf("%s is active", known())
	}
	w.wantLive(two, local)
	got := w.audited("session")
	if !slices.Contains(got, "set-active "+active.ID) || !slices.Contains(got, "end-session "+active.ID) {
		t.Errorf("audited: %q", got)
	}
}

func TestActiveSessionOfAHost(t *testing.T) {
	w := newWorld(t)
	w.config.PerHost = true
	w.handler = New(w.config)
	_, one, _ := twoBrowsers(w)
	all := ok[SessionList](w, http.MethodGet, "/sessions?jar="+jarOf(w, one), "").Sessions
	got := ok[Session](w, http.MethodPut, "/sessions/"+all[0].ID+"/active", `{"session":"`+all[1].ID+`","host":"Wiki.example.com"}`)
	if got.ID != all[1].ID || !slices.Equal(got.ActiveHosts, []string{"wiki.example.com"}) {
		t.Errorf("%+v", got)
	}
	w.fails(http.MethodPut, "/sessions/"+all[0].ID+"/active", `{"session":"`+all[1].ID+`","host":"a b"}`, 400, `"host"`)
}

func TestADamagedJarHidesNoOther(t *testing.T) {
	w := newWorld(t)
	carol, one, two := twoBrowsers(w)
	record, revision, err := w.store.Get(t.Context(), jarKey(w, two))
	if err != nil {
		t.Fatal(err)
	}
	record.Value = []byte(`{"v":99}`)
	if _, err := w.store.CompareAndSwap(t.Context(), record.Key, revision, record); err != nil {
		t.Fatal(err)
	}
	w.jars.Forget()

	list := ok[SessionList](w, http.MethodGet, "/sessions", "")
	if len(list.Sessions) != 3 || !strings.Contains(list.Warning, "version 99") {
		t.Errorf("lists %d sessions with the warning %q, want 3 and one", len(list.Sessions), list.Warning)
	}
	got := w.do(http.MethodGet, "/check", "")
	got.refused(t, http.StatusInternalServerError, "not in order")
	if !strings.Contains(got.body, "version 99") {
		t.Errorf("the check says %s", got.body)
	}
	ended := ok[SessionsEnded](w, http.MethodDelete, "/users/carol", "")
	if ended.SessionsEnded != 1 || ended.Warning == "" {
		t.Errorf("answered %+v, want 1 and a warning", ended)
	}
	w.wantLive(one, "local:Alice", "google:1")
	w.fails(http.MethodGet, "/users/"+carol.ID, "", http.StatusNotFound, "no such user")
}

// jarKey is the store's key of a browser's jar.
func jarKey(w *world, token session.Token) string {
	w.Helper()
	id, key := jarOf(w, token), ""
	err := w.store.Walk(w.Context(), "jar:", func(r storage.Record) error {
		if slices.Contains(r.Terms, "jar:"+id) {
			key = r.Key
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return key
}

func TestWithoutALogin(t *testing.T) {
	w := newWorld(t)
	carol := w.create("carol")
	bare := w.config
	bare.Passwords = nil
	w.handler = New(bare)
	if got := names(ok[UserList](w, http.MethodGet, "/users", "").Users); got != "carol" {
		t.Errorf("lists %q, want the stored user alone", got)
	}
	w.fails(http.MethodGet, "/users/alice", "", http.StatusNotFound, "no such user")
	w.fails(http.MethodGet, "/sessions?user=carol", "", http.StatusConflict, "no password login")
	token := w.signIn(session0, w.identity(carol.ID))
	ok[SessionsEnded](w, http.MethodPut, "/users/carol/password", `{"password":"correct horse"}`)
	w.wantLive(token) // by the epoch alone
	if got := ok[User](w, http.MethodPost, "/users", `{"username":"Alice"}`); got.Shadowed {
		t.Errorf("created %+v", got)
	}
	ok[SessionsEnded](w, http.MethodDelete, "/users/carol", "")
}

func TestInvitations(t *testing.T) {
	w := newWorld(t)
	first := ok[Invited](w, http.MethodPost, "/invitations", `{}`)
	if want := []string{"https://app.example.com" + first.Path, "http://localhost:8080" + first.Path}; !slices.Equal(first.URLs, want) {
		t.Errorf("the addresses are %v, want %v", first.URLs, want)
	}
	if first.Uses != 1 || first.Path != "/.auth/sign-up?invitation="+first.Code || len(first.Code) < 20 {
		t.Errorf("invited %+v", first)
	}
	if want := w.clock.now().Add(7 * 24 * time.Hour); !first.ExpiresAt.Equal(want) {
		t.Errorf("expires at %v, want %v", first.ExpiresAt, want)
	}
	w.clock.advance(time.Hour)
	second := ok[Invited](w, http.MethodPost, "/invitations", `{"email":"Carol@Example.org","groups":["dev"],"uses":3,"expires_in":"1d12h"}`)
	if second.Email != "carol@example.org" || second.Uses != 3 || !second.ExpiresAt.Equal(w.clock.now().Add(36*time.Hour)) {
		t.Errorf("invited %+v", second)
	}
	got := w.do(http.MethodGet, "/invitations", "").body
	want := `{"invitations":[{"id":"` + second.ID + `","email":"carol@example.org","groups":["dev"],"uses":3,"created_at":"2026-11-23T12:38:47.288Z","expires_at":"2026-11-25T00:38:47.288Z"},` +
		`{"id":"` + first.ID + `","email":"","groups":[],"uses":1,"created_at":"2026-11-23T11:38:47.288Z","expires_at":"2026-11-30T11:38:47.288Z"}]}` + "\n"
	if got != want {
		t.Errorf("listed %s\nwant %s", got, want)
	}
	if err := w.users.Admissible(t.Context(), second.Code, "carol@example.org"); err != nil {
		t.Errorf("the code is not good: %v", err)
	}
	if got := w.do(http.MethodDelete, "/invitations/"+second.ID, ""); got.status != http.StatusOK || got.body != "{}\n" {
		t.Errorf("answered %d %s", got.status, got.body)
	}
	if err := w.users.Admissible(t.Context(), second.Code, "carol@example.org"); err == nil {
		t.Error("the code is still good")
	}
	w.fails(http.MethodDelete, "/invitations/"+second.ID, "", http.StatusNotFound, "no such invitation")
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 7 * 24 * time.Hour, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute, "0d": 0, "1d1h30m": 25*time.Hour + 30*time.Minute, "10000d": 10000 * 24 * time.Hour,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "7", "-7d", "+7d", "7d-1h", "7d7d", "1.5d", "7 d", "10001d", "9999999h", "d7", "1h7d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}
