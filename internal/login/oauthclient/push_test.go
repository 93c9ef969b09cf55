package oauthclient

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// The browser carries a reference, and what it is asked for stays between the gateway and the provider.
func TestPushedRequest(t *testing.T) {
	e, location, err := askAll(t, Credentials{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{"tenant": {"1"}, "client_id": {"gateway"}, "request_uri": {"urn:ietf:params:oauth:request_uri:6esc"}}
	if u.Path != "/authorize" || u.Query().Encode() != want.Encode() {
		t.Errorf("the browser is sent to %s", location)
	}
	pushed := e.forms[2]
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "gateway", "redirect_uri": "https://app.example/callback", "state": "state", "nonce": "n",
		"code_challenge_method": "S256", "code_challenge": oauth2.S256ChallengeFromVerifier(verifier), "tenant": "", "request_uri": "",
	} {
		if got := pushed.Get(name); got != want {
			t.Errorf("%s = %q was pushed, want %q", name, got, want)
		}
	}
}

func TestAnswersToPushedRequests(t *testing.T) {
	const json = "application/json"
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string
		code    string
	}{
		"a reference":         {answer(201, json, `{"request_uri": "urn:x", "expires_in": 60}`), "ok", ""},
		"with 200":            {answer(200, json, `{"request_uri": "urn:x"}`), "ok", ""},
		"invalid_client":      {answer(401, json, `{"error": "invalid_client", "error_description": "who?"}`), "configuration", "invalid_client"},
		"unauthorized_client": {answer(400, json, `{"error": "unauthorized_client"}`), "configuration", "unauthorized_client"},
		"invalid_request":     {answer(400, json, `{"error": "invalid_request", "error_description": "no such scope"}`), "unavailable", "invalid_request"},
		"error with 201":      {answer(201, json, `{"request_uri": "urn:x", "error": "server_error"}`), "unavailable", "server_error"},
		"echo of the secret":  {answer(400, json, `{"error": "invalid_request", "error_description": "`+secret+`"}`), "unavailable", "invalid_request"},
		"a page":              {answer(200, "text/html", `<p>`+leaked), "unavailable", ""},
		"404":                 {answer(404, "text/html", leaked), "unavailable", ""},
		"503":                 {answer(503, "text/html", leaked), "unavailable", ""},
		"no reference":        {answer(201, json, `{}`), "unavailable", ""},
		"a broken reference":  {answer(201, json, `{"request_uri": "urn:x\r\ny"}`), "unavailable", ""},
		"an endless one":      {answer(201, json, `{"request_uri": "`+strings.Repeat("x", maxRequestURIBytes+1)+`"}`), "unavailable", ""},
		"slow":                {hostile["slow headers"], "unavailable", ""},
		"gone":                {hostile["no answer"], "unavailable", ""},
		"redirected":          {hostile["redirect loop"], "unavailable", ""},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, tc.handler)
			location, err := Push(t.Context(), client(t), address+"/par", config(address), "state", verifier, nil)
			if got := outcome(err); got != tc.want || (location == "") != (err != nil) {
				t.Errorf("%s (%v, %q), want %s", got, err, location, tc.want)
			}
			var said *login.AnswerError
			if code := tc.code; code != "" && (!errors.As(err, &said) || said.Code != code || !strings.Contains(err.Error(), "pushed")) {
				t.Errorf("%v does not say %s", err, code)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), leaked)) {
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
}
