package admin

import (
	"net/http"
	"strings"
	"testing"
)

// TestErrors is what every route refuses, in a world with the stored users carol and dave, and one
// session of carol's. {carol} stands for her id.
func TestErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		words              string
	}{
		"an unknown path":                {"GET", "/nothing", "", 404, "no such path"},
		"the root":                       {"GET", "", "", 404, "no such path"},
		"a path with a slash behind":     {"GET", "/users/", "", 404, "no such path"},
		"a path with two slashes":        {"DELETE", "//sessions?everybody=true", "", 404, "no such path"},
		"users, another method":          {"PUT", "/users", "", 405, "PUT"},
		"a user, another method":         {"POST", "/users/carol", "", 405, "POST"},
		"a password, another method":     {"GET", "/users/carol/password", "", 405, "GET"},
		"sessions, another method":       {"POST", "/sessions", "", 405, "POST"},
		"a session, another method":      {"GET", "/sessions/x", "", 405, "GET"},
		"active, another method":         {"POST", "/sessions/x/active", "", 405, "POST"},
		"active, no body":                {"PUT", "/sessions/x/active", "", 415, "application/json"},
		"active, no session":             {"PUT", "/sessions/x/active", `{}`, 400, `"session"`},
		"active, an unknown session":     {"PUT", "/sessions/x/active", `{"session":"y"}`, 404, "no such session"},
		"active, a name of spaces":       {"PUT", "/sessions/x/active", `{"session":" "}`, 404, "no such session"},
		"active, a host":                 {"PUT", "/sessions/x/active", `{"session":"y","host":"wiki.example.com"}`, 409, "per_host"},
		"end, beside an unknown session": {"DELETE", "/sessions/x?beside=y", "", 404, "no such session"},
		"end, beside nothing":            {"DELETE", "/sessions/x?beside=", "", 404, "no such session"},
		"list, beside a name of spaces":  {"GET", "/sessions?beside=%20", "", 400, `"beside"`},
		"invitations, another method":    {"DELETE", "/invitations", "", 405, "DELETE"},
		"an invitation, another method":  {"GET", "/invitations/x", "", 405, "GET"},
		"a name, another method":         {"POST", "/names/x", "", 405, "POST"},
		"a name of nobody":               {"GET", "/names/nobody", "", 404, "no account"},
		"release, a name of nobody":      {"DELETE", "/names/nobody", "", 404, "no account"},
		"backup, another method":         {"POST", "/backup", "", 405, "POST"},
		"restore, another method":        {"GET", "/restore", "", 405, "GET"},
		"check, another method":          {"POST", "/check", "", 405, "POST"},
		"an unknown parameter":           {"GET", "/users?serach=x", "", 400, `"serach"`},
		"a parameter of another route":   {"GET", "/check?user=x", "", 400, `"user"`},
		"a parameter twice":              {"GET", "/users?limit=1&limit=2", "", 400, `"limit"`},
		"a query with a semicolon":       {"DELETE", "/sessions?user=carol;everybody=true", "", 400, "query"},
		"a query with a stray percent":   {"GET", "/users?search=%zz", "", 400, "query"},
		"no limit":                       {"GET", "/users?limit=0", "", 400, `"limit"`},
		"a limit too high":               {"GET", "/users?limit=1001", "", 400, `"limit"`},
		"a limit in words":               {"GET", "/users?limit=ten", "", 400, `"limit"`},
		"nobody":                         {"GET", "/users/nobody", "", 404, "no such user"},
		"an id of nobody":                {"GET", "/users/~nobody", "", 404, "no such user"},
		"an address of nobody":           {"GET", "/users/nobody@example.org", "", 404, "no such user"},
		"create, no body":                {"POST", "/users", "", 415, "application/json"},
		"create, no name":                {"POST", "/users", `{}`, 400, `"username"`},
		"create, an empty name":          {"POST", "/users", `{"username":""}`, 400, "name: missing"},
		"create, a name that is an id":   {"POST", "/users", `{"username":"{carol}"}`, 400, "name"},
		"create, a name of no letters":   {"POST", "/users", `{"username":"eve\n"}`, 400, "name"},
		"create, an address as a name":   {"POST", "/users", `{"username":"eve@example.org"}`, 400, "name"},
		"create, no address":             {"POST", "/users", `{"username":"eve","email":"eve"}`, 400, "e-mail"},
		"create, a group with a comma":   {"POST", "/users", `{"username":"eve","groups":["a,b"]}`, 400, "comma"},
		"create, a script as a picture":  {"POST", "/users", `{"username":"eve","picture":"javascript:1"}`, 400, "picture"},
		"create, verified of nothing":    {"POST", "/users", `{"username":"eve","email_verified":true}`, 400, "verified"},
		"create, a user too large":       {"POST", "/users", `{"username":"eve","groups":["` + strings.Repeat(strings.Repeat("g", 1000)+`","`, 20) + `g"]}`, 400, "bytes"},
		"create, a name that is taken":   {"POST", "/users", `{"username":"CAROL"}`, 409, "user name is taken"},
		"create, an address taken":       {"POST", "/users", `{"username":"eve","email":"Carol@Example.org"}`, 409, "e-mail address is taken"},
		"create, a configured name":      {"POST", "/users", `{"username":"ALICE"}`, 409, "configuration"},
		"create, a configured address":   {"POST", "/users", `{"username":"eve","email":"Alice@example.com"}`, 409, "configuration"},
		"create, a short password":       {"POST", "/users", `{"username":"eve","password":"short"}`, 400, "shorter than 8"},
		"create, a long password":        {"POST", "/users", `{"username":"eve","password":"` + strings.Repeat("x", 129) + `"}`, 400, "longer than 128"},
		"create, a common password":      {"POST", "/users", `{"username":"eve","password":"password"}`, 400, "guessers"},
		"create, the name as password":   {"POST", "/users", `{"username":"eve-smith","password":"Eve-Smith"}`, 400, "guessers"},
		"create, no hash":                {"POST", "/users", `{"username":"eve","password_hash":"secret-secret"}`, 400, "password_hash: neither"},
		"create, an empty hash":          {"POST", "/users", `{"username":"eve","password_hash":""}`, 400, "password_hash: missing"},
		"create, password and hash":      {"POST", "/users", `{"username":"eve","password":"correct horse","password_hash":"` + cheapHash + `"}`, 400, "both"},
		"create, an unknown member":      {"POST", "/users", `{"username":"eve","admin":true}`, 400, `"admin"`},
		"create, a member in capitals":   {"POST", "/users", `{"Username":"eve"}`, 400, `"Username"`},
		"create, a member twice":         {"POST", "/users", `{"username":"eve","username":"mallory"}`, 400, "twice"},
		"create, null":                   {"POST", "/users", `{"username":null}`, 400, "must be a text"},
		"create, another type":           {"POST", "/users", `{"username":"eve","groups":"admin"}`, 400, "a list of texts"},
		"create, a number for a boolean": {"POST", "/users", `{"username":"eve","disabled":1}`, 400, "true or false"},
		"create, two objects":            {"POST", "/users", `{"username":"eve"}{}`, 400, "more after"},
		"create, a list":                 {"POST", "/users", `["eve"]`, 400, "not a JSON object"},
		"create, half an object":         {"POST", "/users", `{"username":"eve"`, 400, "not JSON"},
		"create, not UTF-8":              {"POST", "/users", "{\"username\":\"eve\",\"name\":\"\xff\"}", 400, "UTF-8"},
		"create, a large body":           {"POST", "/users", `{"username":"` + strings.Repeat("x", 64<<10) + `"}`, 413, "65536"},
		"change, nothing":                {"PATCH", "/users/carol", `{}`, 400, "no member"},
		"change, nobody":                 {"PATCH", "/users/nobody", `{"name":"N"}`, 404, "no such user"},
		"change, a configured user":      {"PATCH", "/users/alice", `{"name":"N"}`, 409, "Alice is a user of the configuration"},
		"change, by configured address":  {"PATCH", "/users/ALICE@example.com", `{"name":"N"}`, 409, "configuration"},
		"change, a password":             {"PATCH", "/users/carol", `{"password":"correct horse"}`, 400, `"password"`},
		"change, the id":                 {"PATCH", "/users/carol", `{"id":"~x"}`, 400, `"id"`},
		"change, a name that is taken":   {"PATCH", "/users/carol", `{"username":"Dave"}`, 409, "user name is taken"},
		"change, an address taken":       {"PATCH", "/users/carol", `{"email":"DAVE@example.org"}`, 409, "e-mail address is taken"},
		"change, a configured name":      {"PATCH", "/users/carol", `{"username":"Bob"}`, 409, "configuration"},
		"change, a configured address":   {"PATCH", "/users/carol", `{"email":"alice@example.com"}`, 409, "configuration"},
		"change, a name with a slash":    {"PATCH", "/users/carol", `{"username":"../x"}`, 400, "name"},
		"change, verified of nothing":    {"PATCH", "/users/carol", `{"email":"","email_verified":true}`, 400, "verified"},
		"delete, nobody":                 {"DELETE", "/users/nobody", "", 404, "no such user"},
		"delete, a configured user":      {"DELETE", "/users/Alice", "", 409, "configuration"},
		"password, nobody":               {"PUT", "/users/nobody/password", `{"password":"correct horse"}`, 404, "no such user"},
		"password, a configured user":    {"PUT", "/users/bob/password", `{"password":"correct horse"}`, 409, "configuration"},
		"password, none":                 {"PUT", "/users/carol/password", `{"keep_sessions":true}`, 400, `"password"`},
		"password, an empty one":         {"PUT", "/users/carol/password", `{"password":""}`, 400, "shorter"},
		"password, the user's address":   {"PUT", "/users/carol/password", `{"password":"carol@example.org"}`, 400, "guessers"},
		"password, a hash too costly":    {"PUT", "/users/carol/password", `{"password_hash":"$argon2id$v=19$m=2097152,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, 400, "memory"},
		"sessions, an empty user":        {"GET", "/sessions?user=", "", 400, `"user" is empty`},
		"sessions, nobody":               {"GET", "/sessions?user=nobody", "", 404, "no such user"},
		"sessions, everybody":            {"GET", "/sessions?everybody=true", "", 400, `"everybody"`},
		"sessions, half an account":      {"GET", "/sessions?user=local:", "", 400, "no account id"},
		"sessions, a jar that is none":   {"GET", "/sessions?jar=%00", "", 400, `"jar"`},
		"sessions, an id too long":       {"GET", "/sessions?session=" + strings.Repeat("x", 65), "", 400, `"session"`},
		"end, without a word":            {"DELETE", "/sessions", "", 400, "everybody=true"},
		"end, an empty user":             {"DELETE", "/sessions?user=", "", 400, `"user" is empty`},
		"end, an empty method":           {"DELETE", "/sessions?user=carol&method=", "", 400, `"method" is empty`},
		"end, everybody and somebody":    {"DELETE", "/sessions?everybody=true&user=carol", "", 400, "no other"},
		"end, everybody=1":               {"DELETE", "/sessions?everybody=1", "", 400, "true only"},
		"end, everybody=false":           {"DELETE", "/sessions?everybody=false", "", 400, "true only"},
		"end, an empty everybody":        {"DELETE", "/sessions?everybody=", "", 400, "true only"},
		"end, nobody":                    {"DELETE", "/sessions?user=nobody", "", 404, "no such user"},
		"end one, unknown":               {"DELETE", "/sessions/unknown", "", 404, "no such session"},
		"end one, too long":              {"DELETE", "/sessions/" + strings.Repeat("x", 600), "", 404, "no such session"},
		"end one, with a NUL":            {"DELETE", "/sessions/%00", "", 404, "no such session"},
		"invite, no uses":                {"POST", "/invitations", `{"uses":0}`, 400, "uses"},
		"invite, half a use":             {"POST", "/invitations", `{"uses":0.5}`, 400, "a whole number"},
		"invite, too many uses":          {"POST", "/invitations", `{"uses":10001}`, 400, "uses"},
		"invite, no duration":            {"POST", "/invitations", `{"expires_in":"soon"}`, 400, `"soon"`},
		"invite, an empty duration":      {"POST", "/invitations", `{"expires_in":""}`, 400, "duration"},
		"invite, a duration of days":     {"POST", "/invitations", `{"expires_in":"d"}`, 400, "duration"},
		"invite, in the past":            {"POST", "/invitations", `{"expires_in":"-1h"}`, 400, "duration"},
		"invite, at once":                {"POST", "/invitations", `{"expires_in":"0d"}`, 400, "expires"},
		"invite, for two years":          {"POST", "/invitations", `{"expires_in":"730d"}`, 400, "expires"},
		"invite, for longer than ever":   {"POST", "/invitations", `{"expires_in":"99999999999d"}`, 400, "duration"},
		"invite, no address":             {"POST", "/invitations", `{"email":"x"}`, 400, "e-mail"},
		"invite, a group with a comma":   {"POST", "/invitations", `{"groups":["a,b"]}`, 400, "comma"},
		"withdraw, unknown":              {"DELETE", "/invitations/unknown", "", 404, "no such invitation"},
		"restore, no backup":             {"POST", "/restore", `{}`, 415, "application/x-ndjson"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			carol := w.create("carol")
			w.create("dave")
			token := w.signIn(session0, w.identity(carol.ID))
			before := w.stored()
			w.fails(tc.method, tc.path, strings.ReplaceAll(tc.body, "{carol}", carol.ID), tc.status, tc.words)
			if w.stored() != before {
				t.Error("something was stored")
			}
			w.wantLive(token, "local:"+carol.ID)
		})
	}
}

func TestAnswersAreJSONAndNotStored(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/users", "/users/alice", "/users/nobody", "/nothing", "/sessions", "/invitations", "/check"} {
		got := w.do(http.MethodGet, path, "")
		if got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the headers are %v", path, got.header)
		}
	}
	if got := w.do(http.MethodGet, "/backup", ""); got.header.Get("Content-Type") != BackupType || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("backup: the headers are %v", got.header)
	}
}

func TestAllow(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"/users":            "GET, HEAD, POST",
		"/users/x":          "GET, HEAD, PATCH, DELETE",
		"/users/x/password": "PUT",
		"/sessions":         "GET, HEAD, DELETE",
		"/sessions/x":       "DELETE",
		"/invitations":      "GET, HEAD, POST",
		"/invitations/x":    "DELETE",
		"/backup":           "GET, HEAD",
		"/restore":          "POST",
		"/check":            "GET, HEAD",
	} {
		if got := w.do(http.MethodOptions, path, ""); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != want {
			t.Errorf("%s: %d, Allow: %s, want 405 and %s", path, got.status, got.header.Get("Allow"), want)
		}
	}
}
