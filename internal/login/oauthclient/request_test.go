package oauthclient

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
)

func TestValidateURL(t *testing.T) {
	for name, tc := range map[string]struct {
		url      string
		insecure bool
		ok       bool
	}{
		"https":                         {"https://x.example/token", false, true},
		"https with a port and query":   {"https://x.example:8443/token?a=b", false, true},
		"http":                          {"http://x.example/", false, false},
		"http, allowed":                 {"http://x.example/", true, true},
		"localhost":                     {"http://localhost:8080/", false, true},
		"loopback":                      {"http://127.1.2.3/", false, true},
		"loopback, IPv6":                {"http://[::1]:80/", false, true},
		"a name below localhost":        {"http://x.localhost/", false, false},
		"a name that begins like it":    {"http://localhost.evil.example/", false, false},
		"a name that is a number":       {"http://127.0.0.1.evil.example/", false, false},
		"another address":               {"http://192.0.2.1/", false, false},
		"empty":                         {"", true, false},
		"a path":                        {"/token", true, false},
		"no host":                       {"https:///token", true, false},
		"a port alone":                  {"https://:443/token", true, false},
		"opaque":                        {"https:x.example", true, false},
		"another scheme":                {"ftp://x.example/", true, false},
		"a script":                      {"javascript:alert(1)", true, false},
		"a password":                    {"https://a:b@x.example/", true, false},
		"a user name":                   {"https://a@x.example/", true, false},
		"a fragment":                    {"https://x.example/#a", true, false},
		"an empty fragment":             {"https://x.example/#", true, false},
		"a newline":                     {"https://x.example/\n", true, false},
		"a space ahead":                 {" https://x.example/", true, false},
		"a port that is none":           {"https://x.example:a/", true, false},
		"a user name that is localhost": {"http://localhost@evil.example/", false, false},
	} {
		if err := ValidateURL(tc.url, tc.insecure); (err == nil) != tc.ok {
			t.Errorf("%s: ValidateURL = %v, want it accepted: %t", name, err, tc.ok)
		}
	}
}

func TestWhatTheProviderSupportsDecidesThePrompt(t *testing.T) {
	nothing := login.AuthorizationRequest{}
	adding := login.AuthorizationRequest{Ask: login.AskAccount}
	known := login.AuthorizationRequest{Ask: login.AskAccount, LoginHint: "alice"}
	other := login.AuthorizationRequest{Ask: login.AskLogin}
	clients := login.AuthorizationRequest{Ask: login.AskAccount, Parameters: map[string]string{"prompt": "create"}}
	for name, tc := range map[string]struct {
		option, fixed, supported string
		request                  login.AuthorizationRequest
		want                     []string
	}{
		"the first account":                 {"", "", "", nothing, []string{"", "login"}},
		"adding":                            {"", "", "", adding, []string{"select_account", "login", ""}},
		"adding, supported":                 {"", "", "none login select_account", adding, []string{"select_account", "login", ""}},
		"adding, no choice of accounts":     {"", "", "none login consent", adding, []string{"login", ""}},
		"adding, only a choice of accounts": {"", "", "none select_account", adding, []string{"select_account", ""}},
		"adding, neither":                   {"", "", "none", adding, []string{""}},
		"adding, as configured":             {"login", "", "", adding, []string{"login", ""}},
		"adding, as configured all the same": {"select_account", "", "none login", adding,
			[]string{"select_account", "login", ""}},
		"adding, off":               {"off", "", "login", adding, []string{""}},
		"adding a named one":        {"", "", "", known, []string{"", "login"}},
		"somebody else":             {"", "", "", other, []string{"login", "select_account", ""}},
		"somebody else, without it": {"", "", "none select_account", other, []string{"select_account", ""}},
		"somebody else, off":        {"off", "", "", other, []string{""}},
		"a client's own":            {"", "", "", clients, []string{""}},
		"a client's, fixed":         {"", "consent", "", clients, []string{"select_account", "login", ""}},
		"a further try": {"", "", "", login.AuthorizationRequest{Ask: login.AskAccount, Prompts: []string{"login", ""}},
			[]string{"login", ""}},
	} {
		got := Prompts(tc.option, strings.Fields(tc.supported), map[string]string{"prompt": tc.fixed}, tc.request)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestPromptIsAddedToTheFixedOne(t *testing.T) {
	for name, tc := range map[string]struct{ prompt, fixed, want string }{
		"none":                    {"", "", ""},
		"the gateway's":           {"login", "", "login"},
		"fixed":                   {"", "consent", "consent"},
		"both":                    {"select_account", "consent", "select_account consent"},
		"the same":                {"select_account", "consent select_account", "consent select_account"},
		"one that begins like it": {"login", "login_again", "login login_again"},
	} {
		if got := addPrompt(tc.prompt, tc.fixed); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestRequestParameters(t *testing.T) {
	adding := login.AuthorizationRequest{Ask: login.AskAccount, Parameters: map[string]string{"prompt": "login", "hd": "other.example"}}
	for name, tc := range map[string]struct {
		prompt     string
		configured map[string]string
		request    login.AuthorizationRequest
		want       map[string]string
	}{
		"none":                           {"", nil, login.AuthorizationRequest{}, map[string]string{}},
		"the gateway's prompt":           {"select_account", nil, login.AuthorizationRequest{Ask: login.AskAccount}, map[string]string{"prompt": "select_account"}},
		"the client's win over it":       {"", nil, adding, map[string]string{"prompt": "login", "hd": "other.example"}},
		"the configured win over both":   {"", map[string]string{"hd": "mine.example"}, adding, map[string]string{"prompt": "login", "hd": "mine.example"}},
		"a configured prompt stays":      {"select_account", map[string]string{"prompt": "consent"}, adding, map[string]string{"prompt": "select_account consent", "hd": "other.example"}},
		"a hint has the provider's name": {"", nil, login.AuthorizationRequest{Ask: login.AskAccount, LoginHint: "alice"}, map[string]string{"hint": "alice"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := RequestParameters(tc.prompt, tc.configured, "hint", tc.request); !maps.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestAuthCodeURLKeepsTheEndpointsQuery(t *testing.T) {
	location := AuthCodeURL(oauth2.Config{ClientID: "c", Endpoint: oauth2.Endpoint{AuthURL: "https://x.example/authorize?tenant=1"}}, "st", "v", map[string]string{"prompt": "login"})
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); len(q["prompt"]) != 1 || q.Get("prompt") != "login" || q.Get("tenant") != "1" || q.Get("code_challenge_method") != "S256" {
		t.Errorf("got %s", location)
	}
}

// TestAnswersOfOtherIssuers: nothing that another issuer says counts (RFC 9207, section 2.4).
func TestAnswersOfOtherIssuers(t *testing.T) {
	const issuer = "https://i.example"
	for name, tc := range map[string]struct {
		answer  string
		issuer  string
		require bool
		want    string // the reason of the rejection
	}{
		"the issuer":              {"code=a&iss=https://i.example", issuer, true, ""},
		"none, not required":      {"code=a", issuer, false, ""},
		"none, required":          {"code=a", issuer, true, "iss"},
		"another, not required":   {"code=a&iss=https://evil.example", issuer, false, "iss"},
		"several":                 {"code=a&iss=https://i.example&iss=https://i.example", issuer, false, "iss"},
		"an error of another":     {"error=access_denied&iss=https://evil.example", issuer, false, "iss"},
		"an error, none required": {"error=access_denied", issuer, true, "iss"},
		"not compared":            {"code=a&iss=https://evil.example", "", false, ""},
		"not compared, several":   {"code=a&iss=a&iss=b", "", false, "no_code"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := url.ParseQuery(tc.answer)
			if err != nil {
				t.Fatal(err)
			}
			code, err := Code(answer, tc.issuer, tc.require)
			var rejected *login.RejectedError
			switch {
			case tc.want == "" && (err != nil || code != "a"), tc.want != "" && (!errors.As(err, &rejected) || rejected.Reason != tc.want):
				t.Errorf("code %q, %v, want the reason %q", code, err, tc.want)
			}
		})
	}
}

// FuzzCode: whatever a browser brings, there is a code, or an error that says what is wrong, whose
// code fits into an address.
func FuzzCode(f *testing.F) {
	for _, seed := range []string{"code=a&state=b", "error=access_denied", "code=a&code=b", "error=%00", "iss=a&iss=b&code=c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		answer, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		code, err := Code(answer, "", false)
		var denied *login.DeniedError
		var rejected *login.RejectedError
		switch {
		case err == nil:
			if code == "" || len(answer["code"]) != 1 || answer.Get("error") != "" {
				t.Errorf("%q: code %q", query, code)
			}
		case code != "":
			t.Errorf("%q: code %q, and %v", query, code, err)
		case errors.As(err, &denied):
			if len(denied.Code) == 0 || len(denied.Code) > 64 || !visible(denied.Code) {
				t.Errorf("%q: denied with %q", query, denied.Code)
			}
		case !errors.As(err, &rejected) || rejected.Reason != "no_code":
			t.Errorf("%q: %v", query, err)
		}
	})
}
