package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/fcgi"
	"strings"
	"testing"
)

// TestForgedIdentityByFastCGI is about upstreams that are told by CGI variables: what becomes of a
// header, and REMOTE_USER, which no header is behind.
func TestForgedIdentityByFastCGI(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	type told struct {
		RemoteUser string
		Header     http.Header
	}
	go fcgi.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(told{fcgi.ProcessEnv(r)["REMOTE_USER"], r.Header})
	}))
	gated, optional := freeAddress(t), freeAddress(t)
	config := fmt.Sprintf("{\nservers {\nexpected_underscore_headers Remote_* X_*\n}\nmulti_session {\nlogin password {\nthrottle off\n%s\n}\n}\n}\n", userOptions)
	for address, gate := range map[string]string{gated: "multi_session", optional: "multi_session {\noptional\n}"} {
		config += fmt.Sprintf("http://%s {\n%s\nreverse_proxy %s {\ntransport fastcgi\n}\n}\n", address, gate, listener.Addr())
	}
	startGateway(t, config)
	cookie := signedIn(t, "http://"+gated)

	raw := "GET /x HTTP/1.1\r\nHost: {host}\r\n{cookie}Remote-User: forged\r\nRemote_Groups: forged\r\nX-Webauth_User: forged\r\nREMOTE.EMAIL: forged\r\nRemote!Name: forged\r\nHttp-Remote-User: forged\r\nAuth-Type: forged\r\nConnection: close, Remote-User\r\n\r\n"
	for name, test := range map[string]struct {
		address, cookie, user, header string
	}{
		"gated as alice":     {gated, cookie, "password:alice", "alice"},
		"optional as alice":  {optional, cookie, "password:alice", "alice"},
		"optional as nobody": {optional, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			answers := send(t, test.address, fillIn(raw, test.address, test.cookie))
			var got told
			if len(answers) != 1 || json.Unmarshal([]byte(answers[0].body), &got) != nil {
				t.Fatalf("%v", answers)
			}
			if got.RemoteUser != test.user || got.Header.Get("Remote-User") != test.header {
				t.Errorf("REMOTE_USER %q, Remote-User %q", got.RemoteUser, got.Header["Remote-User"])
			}
			delete(got.Header, "Http-Remote-User") // HTTP_HTTP_REMOTE_USER is another variable
			delete(got.Header, "Auth-Type")
			if all := fmt.Sprint(got.Header); strings.Contains(all, forged) || strings.Contains(all, "multi_session") {
				t.Errorf("the upstream is told %s", all)
			}
		})
	}
	if answers := send(t, gated, fillIn(raw, gated, "")); len(answers) != 1 || answers[0].StatusCode != http.StatusUnauthorized {
		t.Errorf("nobody: %v", answers)
	}
}
