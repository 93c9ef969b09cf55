package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestWaysToAuthenticate has the gateway prove who it is to a provider of another make in each way: at
// sign-in, when tokens are renewed and when a request is pushed.
func TestWaysToAuthenticate(t *testing.T) {
	key := newSigner(t, jose.ES256)
	file := filepath.Join(t.TempDir(), "client.jwk")
	text, err := json.Marshal(key.jwk(true))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	public := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.jwk(false)}}
	secret := fmt.Sprintf("client_secret %q", clientSecret)
	for name, tc := range map[string]struct {
		registered object // at the provider
		push       bool   // the provider requires it
		options    []string
	}{
		"a secret in the body": {object{"token_endpoint_auth_method": "client_secret_post"}, false, []string{secret, "client_authentication client_secret_post"}},
		"a secret, pushed":     {nil, true, []string{secret}},
		"a key": {object{"token_endpoint_auth_method": "private_key_jwt", "client_secret": nil, "jwks": public}, false,
			[]string{"client_key_file " + file}},
		"a key, pushed": {object{"token_endpoint_auth_method": "private_key_jwt", "client_secret": nil, "jwks": public}, true,
			[]string{"client_key_file " + file}},
		"none": {object{"token_endpoint_auth_method": "none", "client_secret": nil}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReliant(t)
			p := newCertified(t, certifiedOptions{Gateway: r.address, Lifetime: 3 * time.Second, Quiet: true, Client: tc.registered, Push: tc.push})
			r.serve(fmt.Sprintf("login oidc certified {\n\tissuer %s\n\tclient_id %s\n\texpose access_token\n\t%s\n}\n", p.issuer, clientID, strings.Join(tc.options, "\n\t")),
				"multi_session {\n\t\theader X-Access {http.auth.user.access_token}\n\t}")
			b := r.browser()
			departure := b.depart("certified", nil)
			if pushed := strings.Contains(departure, "request_uri="); pushed != tc.push || pushed == strings.Contains(departure, "state=") {
				t.Errorf("the browser is sent to %s", departure)
			}
			b.signInAt("certified", "alice")
			b.wants(account("certified", "alice"))
			first := b.access()
			if first == "" {
				t.Fatal("there is no access token")
			}
			await(t, "a renewal", func() bool { token := b.access(); return token != "" && token != first })
			noErrors(t, r.gateway)
		})
	}
}
