package oidc

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
)

// advance moves the bubble's clock on. What is due by then has happened when it returns, and no
// time has passed outside.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func authorizeError(m *Method, t testing.TB) error {
	_, _, err := m.Authorize(t.Context(), login.AuthorizationRequest{State: "s", RedirectURI: redirectURI})
	return err
}

func TestConfigurationAsksNobody(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	if !m.Available() {
		t.Error("is not available before anybody has asked")
	}
	wantAsked(t, w, pathDiscovery, 0)
	wantReason(t, authorizeError(m, t), "accepted")
	wantReason(t, authorizeError(m, t), "accepted")
	wantAsked(t, w, pathDiscovery, 1)
	wantAsked(t, w, pathKeys, 0)
}

func TestProviderIsDownAtFirst(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	w.respond(pathDiscovery, unwell)
	for range 10 {
		wantReason(t, authorizeError(m, t), "unavailable")
	}
	wantAsked(t, w, pathDiscovery, 1)
	if m.Available() {
		t.Error("is available")
	}
	w.respond(pathDiscovery, nil)
	w.pass(retryAfter - time.Nanosecond)
	wantReason(t, authorizeError(m, t), "unavailable")
	w.pass(time.Nanosecond)
	wantReason(t, authorizeError(m, t), "accepted")
	if !m.Available() {
		t.Error("is not available")
	}
}

func TestManyAskOnce(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	arrived, release := make(chan struct{}, 20), make(chan struct{})
	w.respond(pathDiscovery, func(out http.ResponseWriter, in *http.Request) {
		<-release
		w.respond(pathDiscovery, nil)
		w.ServeHTTP(out, in)
	})
	var people sync.WaitGroup
	for range 20 {
		people.Go(func() {
			arrived <- struct{}{}
			wantReason(t, authorizeError(m, t), "accepted")
		})
	}
	for range 20 {
		<-arrived
	}
	close(release)
	people.Wait()
	wantAsked(t, w, pathDiscovery, 2) // the second is the handler's own
}

func TestDiscoveryGoesOnWithoutTheOneWhoAsked(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	asked, release := make(chan struct{}), make(chan struct{})
	w.respond(pathDiscovery, func(out http.ResponseWriter, in *http.Request) {
		close(asked)
		<-release
		w.respond(pathDiscovery, nil)
		w.ServeHTTP(out, in)
	})
	ctx, cancel := context.WithCancel(t.Context())
	var people sync.WaitGroup
	people.Go(func() {
		_, _, err := m.Authorize(ctx, login.AuthorizationRequest{})
		wantReason(t, err, "unavailable")
	})
	<-asked
	cancel()
	people.Wait()
	close(release)
	wantReason(t, authorizeError(m, t), "accepted")
}

// moments has a world note when it was asked for its metadata, in a bubble's time.
func moments(w *world, fail func() bool) func() []time.Duration {
	start := time.Now()
	var mu sync.Mutex
	var at []time.Duration
	w.respond(pathDiscovery, func(out http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		at = append(at, time.Since(start))
		mu.Unlock()
		if fail() {
			unwell(out, nil)
			return
		}
		w.serve(out, w.metadata())
	})
	return func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(at)
	}
}

func TestRunTriesAgainUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSilentWorld(t)
		m := w.connect(w.method(func(c *Config) { c.Now = time.Now }))
		up := time.Now().Add(30 * time.Minute)
		asked := moments(w, func() bool { return time.Now().Before(up) })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go m.Run(ctx)

		advance(29 * time.Minute)
		if m.Available() {
			t.Error("is available while it is down")
		}
		at := asked()
		for i := range len(at) - 1 {
			longest := min(minBackoff<<min(i, 10), maxBackoff)
			if gap := at[i+1] - at[i]; gap < longest/2 || gap > longest {
				t.Errorf("tried again after %s, want %s at most and half of it at least", gap, longest)
			}
		}
		if len(at) < 29 || len(at) > 70 {
			t.Errorf("tried %d times", len(at))
		}

		advance(3 * time.Minute)
		if !m.Available() || m.provider.peek() == nil {
			t.Error("is not available when it is up")
		}
		tries := len(asked())
		advance(23 * time.Hour)
		if got := len(asked()); got != tries {
			t.Errorf("asked again %d times within a day", got-tries)
		}
		advance(2 * time.Hour)
		if got := len(asked()); got != tries+1 {
			t.Errorf("asked again %d times after a day, want once", got-tries)
		}
	})
}

func TestFailingRediscoveryKeepsWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSilentWorld(t)
		m := w.connect(w.method(func(c *Config) { c.Now = time.Now }))
		var down atomic.Bool
		moments(w, down.Load)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go m.Run(ctx)
		advance(time.Hour)
		down.Store(true)
		advance(48 * time.Hour)
		if m.Available() {
			t.Error("is available while it is down")
		}
		wantReason(t, authorizeError(m, t), "accepted")

		w.say("issuer", "https://evil.example.com") // up again, and not itself
		down.Store(false)
		advance(2 * time.Minute)
		if m.Available() || m.provider.peek().endpoint.TokenURL != w.issuer()+pathToken {
			t.Error("another issuer's metadata is taken")
		}
		w.say("issuer", nil)
		advance(2 * time.Minute)
		if !m.Available() {
			t.Error("is not available when it is up again")
		}
	})
}

func TestRediscoveryTakesWhatIsNew(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	w.mustSignIn(m, nil)
	keys := m.provider.peek().keys
	w.say("end_session_endpoint", w.issuer()+"/logout")
	if _, err := m.provider.discover(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	known := m.provider.peek()
	if known.endSession == "" {
		t.Error("what is new is not known")
	}
	if known.keys != keys {
		t.Error("the keys are forgotten, though they are where they were")
	}
	w.say("jwks_uri", w.issuer()+"/other")
	if _, err := m.provider.discover(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if m.provider.peek().keys == keys {
		t.Error("the keys of another place are still used")
	}
}

// TestReloadDiscoversAgain has an administrator reload the configuration, perhaps because the provider
// has changed. Nobody waits for that, and reloads in quick succession do not count.
func TestReloadDiscoversAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSilentWorld(t)
		providers := NewProviders()
		with := func(c *Config) { c.Now, c.Providers = time.Now, providers }
		before := w.connect(w.method(with))
		asked := moments(w, func() bool { return false })
		run := func(m *Method) context.CancelFunc {
			ctx, cancel := context.WithCancel(t.Context())
			go m.Run(ctx)
			return cancel
		}
		wantTimes := func(want int) {
			t.Helper()
			if got := len(asked()); got != want {
				t.Errorf("asked %d times, want %d", got, want)
			}
		}
		stop := run(before)
		advance(time.Hour)
		wantTimes(1)
		w.say("authorization_endpoint", w.issuer()+"/new")
		after := w.method(with, func(c *Config) { c.ID = "renamed" })
		wantReason(t, authorizeError(after, t), "accepted")
		wantTimes(1)
		stopAfter := run(after)
		stop()
		synctest.Wait()
		wantTimes(2)
		if location, _, err := after.Authorize(t.Context(), login.AuthorizationRequest{}); err != nil || !strings.HasPrefix(location, w.issuer()+"/new?") {
			t.Errorf("sent to %s, %v", location, err)
		}
		for range 5 {
			stopAfter()
			advance(10 * time.Second)
			stopAfter = run(w.method(with))
			synctest.Wait()
		}
		wantTimes(2)
		advance(23 * time.Hour)
		wantTimes(2)
		advance(time.Hour)
		wantTimes(3)
		stopAfter()

		if other := w.method(with, func(c *Config) { c.InsecureHTTP = true }); other.provider == after.provider {
			t.Error("what was judged by one rule is taken for judged by another")
		}
	})
}

// TestProviderChangesItsAlgorithm has a provider sign with another algorithm than its metadata named
// when it was discovered, and have its keys elsewhere.
func TestProviderChangesItsAlgorithm(t *testing.T) {
	change := func(t *testing.T) (*world, *Method) {
		w := newWorld(t)
		w.say("id_token_signing_alg_values_supported", []string{"ES256"})
		m := w.method()
		w.mustSignIn(m, nil)
		w.pass(time.Hour - time.Second) // no key is due yet
		w.signer, w.kid = rsaKey(), "key-2"
		w.keys = nil
		w.publish(w.kid, w.signer.Public())
		w.say("id_token_signing_alg_values_supported", []string{"RS256"})
		return w, m
	}
	t.Run("sign-in", func(t *testing.T) {
		w, m := change(t)
		w.mustSignIn(m, nil)
		wantAsked(t, w, pathDiscovery, 2)
	})
	t.Run("logout token", func(t *testing.T) {
		w, m := change(t)
		_, err := m.VerifyLogout(t.Context(), w.sign(w.logoutClaims()))
		wantReason(t, err, "accepted")
	})
	t.Run("place of the keys", func(t *testing.T) {
		w := newWorld(t)
		m := w.method()
		w.mustSignIn(m, nil)
		w.pass(askAgain)
		w.rotate("key-2")
		w.respond("/keys/new", func(out http.ResponseWriter, _ *http.Request) { w.serve(out, jose.JSONWebKeySet{Keys: w.keys}) })
		w.respond(pathKeys, func(out http.ResponseWriter, _ *http.Request) {
			w.serve(out, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: ecKey(t).Public(), KeyID: "key-1"}}})
		})
		w.say("jwks_uri", w.issuer()+"/keys/new")
		w.mustSignIn(m, nil)
	})
	t.Run("attack: a flood of tokens", func(t *testing.T) {
		w := newWorld(t)
		m := w.method()
		w.say("id_token_signing_alg_values_supported", []string{"ES256"})
		w.mustSignIn(m, nil)
		const minutes = 5
		for range minutes {
			w.pass(askAgain)
			for _, alg := range []string{"RS512", "ES512", "HS256", "none"} {
				for range 10 {
					_, err := m.VerifyLogout(t.Context(), w.signAs(object{"alg": alg}, w.logoutClaims()))
					wantReason(t, err, "alg")
				}
			}
		}
		wantAsked(t, w, pathDiscovery, 1+minutes)
	})
}

// The sign-in page says that a provider is out of reach, also if it was discovered before.
func TestOutageIsShown(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	granted := w.mustSignIn(m, nil)
	if !m.Available() {
		t.Error("is out of reach")
	}
	for path, ask := range map[string]func(){
		pathToken: func() { w.signIn(m, nil) },
		pathKeys:  func() { w.pass(2 * keysFresh); w.signIn(m, nil) },
		"renewal": func() { w.respond(pathToken, unwell); m.Renew(t.Context(), granted.Identity, granted.Tokens) },
	} {
		w.respond(path, unwell)
		ask()
		if m.Available() {
			t.Errorf("%s fails, and the provider counts as available", path)
		}
		w.respond(path, nil)
		w.respond(pathToken, nil)
		w.pass(retryAfter)
		w.mustSignIn(m, nil)
		if !m.Available() {
			t.Errorf("%s answers again, and the provider counts as out of reach", path)
		}
	}
}

func TestTwoLoginsAtOneProviderAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSilentWorld(t)
		providers := NewProviders()
		asked := moments(w, func() bool { return false })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, id := range []string{"staff", "guests"} {
			m := w.method(func(c *Config) { c.ID, c.Now, c.Providers = id, time.Now, providers })
			go w.connect(m).Run(ctx)
			synctest.Wait()
		}
		advance(24*time.Hour + time.Minute)
		if got := len(asked()); got != 2 {
			t.Errorf("asked %d times in a day and a minute, want twice", got)
		}
	})
}

func TestProvidersAreBounded(t *testing.T) {
	providers := NewProviders()
	first := providers.get(providerKey{issuer: "https://0.example.com"}, time.Now)
	for i := range maxProviders {
		providers.get(providerKey{issuer: fmt.Sprintf("https://%d.example.com", i+1)}, time.Now)
	}
	if got := providers.byIssuer.Len(); got != maxProviders {
		t.Errorf("%d are remembered, want %d", got, maxProviders)
	}
	if providers.get(providerKey{issuer: "https://0.example.com"}, time.Now) == first {
		t.Error("the one that was used longest ago is remembered")
	}
}

func TestAttackMetadata(t *testing.T) {
	for name, tc := range map[string]struct {
		change object
		want   string
	}{
		"all in order": {nil, "accepted"},

		"issuer of another":      {object{"issuer": "https://evil.example.com"}, "unavailable"},
		"issuer with a slash":    {object{"issuer": "https://id.example.com/"}, "unavailable"},
		"issuer in capitals":     {object{"issuer": "https://ID.example.com"}, "unavailable"},
		"issuer with the port":   {object{"issuer": "https://id.example.com:443"}, "unavailable"},
		"issuer missing":         {object{"issuer": nil}, "unavailable"},
		"issuer no text":         {object{"issuer": []string{"https://id.example.com"}}, "unavailable"},
		"authorization missing":  {object{"authorization_endpoint": nil}, "unavailable"},
		"authorization script":   {object{"authorization_endpoint": "javascript:alert(1)"}, "unavailable"},
		"authorization data":     {object{"authorization_endpoint": "data:text/html,x"}, "unavailable"},
		"authorization relative": {object{"authorization_endpoint": "/authorize"}, "unavailable"},
		"authorization HTTP":     {object{"authorization_endpoint": "http://id.example.com/a"}, "unavailable"},
		"token missing":          {object{"token_endpoint": nil}, "unavailable"},
		"token HTTP":             {object{"token_endpoint": "http://id.example.com/t"}, "unavailable"},
		"token on loopback":      {object{"token_endpoint": "http://127.0.0.1:2019/load"}, "unavailable"},
		"token at localhost":     {object{"token_endpoint": "http://localhost/t"}, "unavailable"},
		"token with a password":  {object{"token_endpoint": "https://id.example.com@evil.example.com/t"}, "unavailable"},
		"keys missing":           {object{"jwks_uri": nil}, "unavailable"},
		"keys in a file":         {object{"jwks_uri": "file:///etc/passwd"}, "unavailable"},
		"keys by another way":    {object{"jwks_uri": "gopher://id.example.com/"}, "unavailable"},
		"keys on loopback":       {object{"jwks_uri": "http://[::1]:6379/"}, "unavailable"},
		"keys without a host":    {object{"jwks_uri": "https:///keys"}, "unavailable"},
		"userinfo HTTP":          {object{"userinfo_endpoint": "http://id.example.com/u"}, "unavailable"},
		"userinfo elsewhere":     {object{"userinfo_endpoint": "https://openid.example.net/u"}, "accepted"},
		"logout script":          {object{"end_session_endpoint": "javascript:alert(1)"}, "unavailable"},
		"no asymmetric one":      {object{"id_token_signing_alg_values_supported": []string{"none", "HS256"}}, "unavailable"},
		"algorithms no list":     {object{"id_token_signing_alg_values_supported": "RS256"}, "unavailable"},
		"algorithms missing":     {object{"id_token_signing_alg_values_supported": nil}, "accepted"},
		"no secret is taken":     {object{"token_endpoint_auth_methods_supported": []string{"private_key_jwt"}}, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSilentWorld(t)
			w.respond(pathDiscovery, func(out http.ResponseWriter, _ *http.Request) { w.serve(out, with(w.metadata(), tc.change)) })
			wantReason(t, authorizeError(w.connect(w.method()), t), tc.want)
		})
	}
}

// TestEndpointsApart has a provider whose addresses are not those that it says of itself.
func TestEndpointsApart(t *testing.T) {
	const pathApart = "/apart"
	apart := func(w *world) Endpoints {
		there := w.issuer() + pathApart
		return Endpoints{Authorization: there + "/authorize", Token: there + "/token", UserInfo: there + "/userinfo", Keys: there + "/keys", EndSession: there + "/logout"}
	}
	for name, tc := range map[string]struct {
		change     func(w *world, e *Endpoints)
		discovered int
		location   string
	}{
		"nothing":          {func(_ *world, e *Endpoints) { *e = Endpoints{} }, 1, "/authorize?tenant=1&"},
		"discovery alone":  {func(w *world, e *Endpoints) { *e = Endpoints{Discovery: w.issuer() + pathApart + "/meta"} }, 0, "/authorize?tenant=1&"},
		"single ones":      {func(w *world, e *Endpoints) { *e = Endpoints{Token: e.Token, Keys: e.Keys} }, 1, "/authorize?tenant=1&"},
		"all":              {func(*world, *Endpoints) {}, 0, pathApart + "/authorize?"},
		"all, and another": {func(w *world, e *Endpoints) { e.Discovery = w.issuer() + pathApart + "/meta" }, 0, pathApart + "/authorize?"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.userInfo = object{"sub": alice, "groups": []string{"dev"}}
			for path, there := range map[string]string{pathApart + "/token": pathToken, pathApart + "/userinfo": pathUserInfo, pathApart + "/keys": pathKeys} {
				w.respond(path, func(out http.ResponseWriter, in *http.Request) {
					in.URL.Path = there
					w.ServeHTTP(out, in)
				})
			}
			w.respond(pathApart+"/meta", func(out http.ResponseWriter, _ *http.Request) { w.serve(out, w.metadata()) })
			endpoints := apart(w)
			tc.change(w, &endpoints)
			m := w.method(func(c *Config) { c.Endpoints = endpoints })
			granted := w.mustSignIn(m, nil)
			if !slices.Equal(granted.Identity.Groups, []string{"dev"}) {
				t.Errorf("signed in as %+v", granted.Identity)
			}
			location, _, err := m.Authorize(t.Context(), login.AuthorizationRequest{})
			if err != nil || !strings.HasPrefix(location, w.issuer()+tc.location) {
				t.Errorf("sent to %s, %v", location, err)
			}
			wantAsked(t, w, pathDiscovery, tc.discovered)
			used := func(configured, path string) {
				t.Helper()
				if got := w.asked(pathApart + path); (got > 0) != (configured != "") {
					t.Errorf("%s was asked %d times", pathApart+path, got)
				}
			}
			used(endpoints.Token, "/token")
			used(endpoints.UserInfo, "/userinfo")
			used(endpoints.Keys, "/keys")
			if where, ok := m.EndSession(granted.Tokens, "", ""); ok != (endpoints.EndSession != "") || ok && !strings.HasPrefix(where, endpoints.EndSession) {
				t.Errorf("signs out at %q", where)
			}
		})
	}
	t.Run("attack: metadata of another issuer", func(t *testing.T) {
		w := newWorld(t)
		w.respond(pathApart, func(out http.ResponseWriter, _ *http.Request) {
			w.serve(out, with(w.metadata(), object{"issuer": "https://evil.example.com"}))
		})
		m := w.method(func(c *Config) { c.Endpoints.Discovery = w.issuer() + pathApart })
		wantReason(t, authorizeError(m, t), "unavailable")
	})
	t.Run("another place is not answered from what is known", func(t *testing.T) {
		w := newWorld(t)
		providers := NewProviders()
		shared := func(c *Config) { c.Providers = providers }
		w.mustSignIn(w.method(shared), nil)
		m := w.method(shared, func(c *Config) { c.Endpoints.Discovery = w.issuer() + "/nowhere" })
		wantReason(t, authorizeError(m, t), "unavailable")
	})
}

// TestAuthoritiesOfAProvider has a provider with a certificate that the system does not trust.
func TestAuthoritiesOfAProvider(t *testing.T) {
	w := newWorld(t)
	w.server.Close()
	w.server = httptest.NewUnstartedServer(w)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail, as they should
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	file := func(der []byte) string {
		name := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	providers := NewProviders()
	for _, tc := range []struct{ name, file, want string }{
		{"the system's", "", "unavailable"},
		{"its own", file(w.server.Certificate().Raw), "accepted"},
		{"another", file(authority(t)), "unavailable"},
	} {
		m := w.method(func(c *Config) { c.AuthoritiesFile, c.Providers = tc.file, providers })
		if got := reason(authorizeError(m, t)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func authority(t *testing.T) (der []byte) {
	key := ecKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestPlainHTTP is which endpoints a provider at plain HTTP may have, on loopback or where it is
// allowed.
func TestPlainHTTP(t *testing.T) {
	for _, tc := range []struct {
		issuer, endpoint string
		insecure, want   bool
	}{
		{"https://id.example.com", "https://id.example.com/t", false, true},
		{"https://id.example.com", "http://id.example.com/t", false, false},
		{"https://id.example.com", "http://localhost/t", false, false},
		{"http://localhost", "http://localhost/t", false, true},
		{"http://localhost", "http://127.0.0.1:9/t", false, true},
		{"http://localhost", "http://id.example.com/t", false, false},
		{"http://localhost", "https://id.example.com/t", false, true},
		{"http://id.lan", "http://id.lan/t", true, true},
		{"https://id.lan", "http://id.lan/t", true, true},
		{"http://id.lan", "ftp://id.lan/t", true, false},
	} {
		p := &provider{providerKey: providerKey{issuer: tc.issuer, insecureHTTP: tc.insecure}}
		if err := p.checkEndpoint(tc.endpoint); (err == nil) != tc.want {
			t.Errorf("%s leads to %s, insecure %t: %v", tc.issuer, tc.endpoint, tc.insecure, err)
		}
	}
}

// TestAttackAnswers is what a provider, or whoever is in its place, can do to those who wait for
// it.
func TestAttackAnswers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("followed to another site")
	}))
	defer elsewhere.Close()
	stop := make(chan struct{})
	answers := map[string]http.HandlerFunc{
		"slow": func(out http.ResponseWriter, in *http.Request) {
			select {
			case <-in.Context().Done():
			case <-stop:
			}
		},
		"slow body": func(out http.ResponseWriter, in *http.Request) {
			fmt.Fprint(out, `{"issuer":"`)
			out.(http.Flusher).Flush()
			select {
			case <-in.Context().Done():
			case <-stop:
			}
		},
		"huge": func(out http.ResponseWriter, in *http.Request) {
			fmt.Fprint(out, `{"x":"`)
			block := strings.Repeat("x", 64<<10)
			for range 32 {
				if _, err := fmt.Fprint(out, block); err != nil {
					return
				}
			}
			fmt.Fprint(out, `"}`)
		},
		"huge header": func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("X", strings.Repeat("x", 1<<20))
			fmt.Fprint(out, `{}`)
		},
		"redirect elsewhere": func(out http.ResponseWriter, in *http.Request) {
			http.Redirect(out, in, elsewhere.URL+in.URL.Path, http.StatusTemporaryRedirect)
		},
		"redirect in a circle": func(out http.ResponseWriter, in *http.Request) {
			http.Redirect(out, in, in.URL.Path, http.StatusFound)
		},
		"a page":       func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, `<html>sign in to the hotel`) },
		"nothing":      func(out http.ResponseWriter, _ *http.Request) {},
		"null":         func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, `null`) },
		"a list":       func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, `[]`) },
		"half":         func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, `{"issuer":`) },
		"hangs up":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"server error": unwell,
		"not there":    http.NotFound,
		"too many":     func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusTooManyRequests) },
	}
	defer close(stop)
	for _, path := range []string{pathDiscovery, pathKeys, pathToken, pathUserInfo} {
		for name, answer := range answers {
			t.Run(strings.Trim(path, "/")+" "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.userInfo = object{"sub": alice}
				m := w.method(func(c *Config) { c.Claims.UserName = []string{"nickname", "sub"} }) // UserInfo is needed
				m.provider.client = oauthclient.NewHTTPClient(oauthclient.Options{Timeout: 300 * time.Millisecond})
				if path == pathDiscovery {
					w.respond(path, answer)
					err := authorizeError(m, t)
					wantReason(t, err, "unavailable")
					if len(err.Error()) > 2*maxErrorText {
						t.Errorf("error of %d bytes", len(err.Error()))
					}
					return
				}
				query, pending := w.authorize(m, login.AuthorizationRequest{})
				w.idToken = func() string { return w.sign(with(w.claims(), object{"nonce": query.Get("nonce")})) }
				w.respond(path, answer)
				granted, err := m.Redeem(t.Context(), pending, map[string][]string{"code": {"code-1"}})
				if granted != nil || reason(err) != "unavailable" {
					t.Errorf("%v, %v", granted, err)
				}
			})
		}
	}
}

func TestRedirectOnTheSameSite(t *testing.T) {
	w := newWorld(t)
	w.respond(pathDiscovery, func(out http.ResponseWriter, in *http.Request) {
		http.Redirect(out, in, "/moved", http.StatusMovedPermanently)
	})
	w.respond("/moved", func(out http.ResponseWriter, _ *http.Request) { w.serve(out, w.metadata()) })
	w.mustSignIn(w.method(), nil)
}

func TestClientAuthentication(t *testing.T) {
	for name, tc := range map[string]struct {
		supported []string
		secret    string
		want      oauth2.AuthStyle
	}{
		"nothing said":  {nil, clientSecret, oauth2.AuthStyleInHeader},
		"both":          {[]string{"client_secret_post", "client_secret_basic"}, clientSecret, oauth2.AuthStyleInHeader},
		"body":          {[]string{"client_secret_post", "private_key_jwt"}, clientSecret, oauth2.AuthStyleInParams},
		"public client": {[]string{"none"}, "", oauth2.AuthStyleInParams},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.supported != nil {
				w.say("token_endpoint_auth_methods_supported", tc.supported)
			}
			w.mustSignIn(w.method(func(c *Config) { c.Credentials.Secret = tc.secret }), nil)
			got := maps.Clone(w.form)
			if tc.want == oauth2.AuthStyleInHeader {
				if w.basic[0] != clientID || got.Has("client_secret") {
					t.Errorf("authenticated as %q with %v", w.basic[0], got)
				}
				return
			}
			if w.basic[0] != "" || got.Get("client_id") != clientID || got.Get("client_secret") != tc.secret {
				t.Errorf("authenticated as %q with %v", w.basic[0], got)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1 << 40: time.Minute} {
		for range 100 {
			if got := backoff(failures); got > want || got < want/2 {
				t.Fatalf("%d failures: %s, want %s at most and half of it at least", failures, got, want)
			}
		}
	}
}
