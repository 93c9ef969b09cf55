package integration

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// What the gateway is at every provider of these tests. The secret has what must be encoded on its way.
const (
	clientID     = "gateway"
	clientSecret = "s3cret of the gateway: 100%+1&more"
)

// localOrigin is the origin of an address under a name that makes it another site than 127.0.0.1: the
// browser's cookies of the one are none of the other's.
func localOrigin(address string) string { return "http://localhost:" + port(address) }

// siteOrigin is the origin of a gateway's site, which can be told by its address alone.
func siteOrigin(gateway string) string {
	if strings.Contains(gateway, "://") {
		return gateway
	}
	return "http://" + gateway
}

// callback is where providers send browsers back to for a login of a gateway's site.
func callback(gateway, id string) string { return siteOrigin(gateway) + "/.auth/callback/" + id }

// idp is an OpenID provider in this process: the server is github.com/zitadel/oidc, what it keeps and
// its pages are the tests' own. It has a session with each browser, which can go on without asking.
type idp struct {
	t       testing.TB
	issuer  string
	address string
	keep    *idpStore
	habits  idpHabits

	provider *op.Provider
	handler  http.Handler
	server   *http.Server // nil while it is down

	mu        sync.Mutex
	requests  map[string]int
	overrides map[string]http.HandlerFunc
}

// idpOptions are what there is to say about a provider. Its zero value is one of a day's work.
type idpOptions struct {
	Gateway  string        // origin of the gateway's site, or its host:port
	IDs      []string      // of the logins there; "idp" alone by default
	Lifetime time.Duration // of access tokens; an hour by default
	Lean     bool          // ID tokens have no profile, which is to be asked for
	Habits   idpHabits     // what it does about prompts
}

// idpHabits are what a provider does about prompts, other than to ask whom it is told to ask.
type idpHabits struct {
	Supports []string                      // prompts that its metadata names; nil for no word about them
	Refuses  map[string]func() *oidc.Error // prompts that it answers with an error
	Ignores  bool                          // it asks nobody whom it knows
	Sticks   bool                          // it asks those whom it knows, and takes nobody else's word
}

// newIDP runs a provider until the test ends.
func newIDP(t testing.TB, o idpOptions) *idp {
	t.Helper()
	if len(o.IDs) == 0 {
		o.IDs = []string{"idp"}
	}
	if o.Lifetime == 0 {
		o.Lifetime = time.Hour
	}
	p := &idp{t: t, address: freeAddress(t), habits: o.Habits, requests: map[string]int{}, overrides: map[string]http.HandlerFunc{}}
	p.issuer = localOrigin(p.address)
	p.keep = newIDPStore(t, o)

	var key [32]byte
	_, _ = rand.Read(key[:])
	provider, err := op.NewProvider(&op.Config{
		CryptoKey:                         key,
		DefaultLogoutRedirectURI:          p.issuer + "/signed-out",
		CodeMethodS256:                    true,
		GrantTypeRefreshToken:             true,
		SupportedScopes:                   []string{"openid", "profile", "email", "groups", "offline_access"},
		BackChannelLogoutSupported:        true,
		BackChannelLogoutSessionSupported: true,
	}, p.keep, op.StaticIssuer(p.issuer), op.WithAllowInsecure())
	if err != nil {
		t.Fatal(err)
	}
	p.provider = provider
	mux := http.NewServeMux()
	mux.Handle("/", provider)
	mux.Handle("GET /login", http.HandlerFunc(p.askWho))
	mux.Handle("POST /login", http.HandlerFunc(p.answerWho))
	mux.HandleFunc("GET /signed-out", func(w http.ResponseWriter, _ *http.Request) { writePage(w, "Signed out", "") })
	// The library's page that posts an answer names no icon, so browsers look for one.
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if override := p.note(r); override != nil {
			override(w, r)
			return
		}
		if r.URL.Path == discoveryEndpoint && o.Habits.Supports != nil {
			p.describe(w, r, mux)
			return
		}
		mux.ServeHTTP(w, r)
	})
	quietProvider()
	p.up()
	t.Cleanup(p.down)
	return p
}

// describe answers with the metadata of the library, which does not know prompt_values_supported.
func (p *idp) describe(w http.ResponseWriter, r *http.Request, library http.Handler) {
	recorded := httptest.NewRecorder()
	library.ServeHTTP(recorded, r)
	var metadata object
	if err := json.Unmarshal(recorded.Body.Bytes(), &metadata); err != nil {
		p.t.Errorf("the provider's metadata: %v", err)
	}
	metadata["prompt_values_supported"] = p.habits.Supports
	writeObject(w, metadata)
}

// quietProvider has the library, which logs every refusal, keep silent.
var quietProvider = sync.OnceFunc(func() { slog.SetDefault(slog.New(slog.DiscardHandler)) })

// up has the provider serve, at the address that it always has.
func (p *idp) up() {
	p.t.Helper()
	var listener net.Listener
	await(p.t, "the provider's port", func() (ok bool) {
		var err error
		listener, err = net.Listen("tcp", p.address)
		return err == nil
	})
	p.server = &http.Server{Handler: p.handler}
	go func(server *http.Server) {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.t.Errorf("the provider: %v", err)
		}
	}(p.server)
}

// down has the provider serve no longer, and ends its connections.
func (p *idp) down() {
	if p.server != nil {
		p.server.Close()
		p.server = nil
	}
}

// note counts a request, and returns what is to answer it in place of the provider.
func (p *idp) note(r *http.Request) http.HandlerFunc {
	endpoint := r.URL.Path
	if endpoint == tokenEndpoint {
		endpoint = r.PostFormValue("grant_type")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests[endpoint]++
	return p.overrides[endpoint]
}

// The endpoints that tests count, beside the paths. The token endpoint counts by what it is asked for.
const (
	tokenEndpoint     = "/oauth/token"
	discoveryEndpoint = "/.well-known/openid-configuration"
	keysEndpoint      = "/keys"
	userInfoEndpoint  = "/userinfo"
	exchanges         = "authorization_code"
	renewals          = "refresh_token"
)

// count is how many requests an endpoint had.
func (p *idp) count(endpoint string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[endpoint]
}

// override has an endpoint answered otherwise; nil ends that.
func (p *idp) override(endpoint string, handler http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if handler == nil {
		delete(p.overrides, endpoint)
		return
	}
	p.overrides[endpoint] = handler
}

// login is the block of a Caddyfile for this provider, with further options.
func (p *idp) login(id string, options ...string) string {
	return oidcLogin(id, p.issuer, append([]string{"scopes openid profile email groups offline_access"}, options...)...)
}

// oidcLogin is the block of a Caddyfile for a provider.
func oidcLogin(id, issuer string, options ...string) string {
	return fmt.Sprintf("login oidc %s {\n\tissuer %s\n\tclient_id %s\n\tclient_secret %q\n\t%s\n}\n",
		id, issuer, clientID, clientSecret, strings.Join(options, "\n\t"))
}

// logoutToken is one that ends sessions at the gateway, signed by the provider's key. Changes are
// claims, such as sid and sub; a nil takes one away.
func (p *idp) logoutToken(changes object) string {
	return p.keep.signer().logoutToken(p.t, p.issuer, changes)
}

// logoutToken is what Back-Channel Logout 1.0 has a provider sign (section 2.4).
func (s *signer) logoutToken(t testing.TB, issuer string, changes object) string {
	now := time.Now()
	claims := object{
		"iss":    issuer,
		"aud":    clientID,
		"iat":    now.Unix(),
		"exp":    now.Add(2 * time.Minute).Unix(),
		"jti":    rand.Text(),
		"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}},
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return s.sign(t, "logout+jwt", claims)
}

// callbackURL is where the library goes on with a request after somebody has signed in.
func (p *idp) callbackURL(ctx context.Context, request string) string {
	return op.AuthCallbackURL(p.provider)(op.ContextWithIssuer(ctx, p.issuer), request)
}

// subjectOfAccess is whose access token one is, as the provider sees it.
func (p *idp) subjectOfAccess(token string) string {
	decrypted, err := p.provider.Crypto().Decrypt(token)
	if err != nil {
		return ""
	}
	_, subject, _ := strings.Cut(decrypted, ":")
	return subject
}
