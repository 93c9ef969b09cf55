package oidc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"go.uber.org/zap"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
)

const (
	// metadataFresh is how long what a provider says of itself is used before it is asked again.
	metadataFresh = 24 * time.Hour

	// The least and the longest time between two tries in the background.
	minBackoff = time.Second
	maxBackoff = time.Minute

	// askTimeout bounds one question to a provider, whatever the client's own bounds are.
	askTimeout = 15 * time.Second

	maxProviders = 64
	maxErrorText = 300 // bytes, of what may be a whole answer of the provider's
)

// Providers is what providers said of themselves, and their keys, kept by issuer. It outlives
// configurations, so that a reload asks nobody. It is safe for concurrent use.
type Providers struct {
	mu       sync.Mutex
	byIssuer *simplelru.LRU[providerKey, *provider]
}

type providerKey struct {
	issuer       string
	insecureHTTP bool
}

// NewProviders returns an empty memory. It holds 64 providers, and forgets the one that was
// configured longest ago when there are more.
func NewProviders() *Providers {
	byIssuer, _ := simplelru.NewLRU[providerKey, *provider](maxProviders, nil) // errs for sizes below one only
	return &Providers{byIssuer: byIssuer}
}

// get returns the provider of an issuer, whether anything is known of it or not.
func (p *Providers) get(key providerKey, now func() time.Time) *provider {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.byIssuer.Get(key); ok {
		return known
	}
	known := newProvider(key, now)
	p.byIssuer.Add(key, known)
	return known
}

// provider is an issuer, and what is known of it. Its methods may be called concurrently.
type provider struct {
	providerKey
	client *http.Client
	now    func() time.Time

	asking singleflight.Group

	mu       sync.Mutex
	known    *metadata // nil until it has been discovered
	failed   error     // of the last try; nil where it succeeded
	failedAt time.Time
}

// metadata is what a provider says of itself (OpenID Connect Discovery 1.0, section 3). It is not
// changed once made, except for the keys.
type metadata struct {
	endpoint   oauth2.Endpoint
	userInfo   string // empty where there is none
	endSession string // empty where there is none
	algorithms []jose.SignatureAlgorithm
	clientAuth []string // ways to authenticate at the token endpoint
	answersIss bool     // RFC 9207
	keys       *keys
	at         time.Time
}

func newProvider(key providerKey, now func() time.Time) *provider {
	return &provider{providerKey: key, client: oauthclient.NewHTTPClient(oauthclient.Options{}), now: now}
}

// metadata returns what is known, and asks where nothing is. A failure of a moment ago is the
// answer.
func (p *provider) metadata(ctx context.Context) (*metadata, error) {
	if known := p.peek(); known != nil {
		return known, nil
	}
	return p.discover(ctx, false)
}

// peek returns what is known, or nil. It asks nobody.
func (p *provider) peek() *metadata {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known
}

// available reports whether the last try succeeded, or there was none.
func (p *provider) available() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed == nil
}

// due is how long what is known is to be used without asking again.
func (p *provider) due() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		return 0
	}
	return p.known.at.Add(metadataFresh).Sub(p.now())
}

// discover asks the provider, or joins those who do already. It goes on when the one who asks does
// not wait any more. Without insistence, what is known or a failure of a moment ago is the answer.
func (p *provider) discover(ctx context.Context, insist bool) (*metadata, error) {
	answered := p.asking.DoChan("", func() (any, error) {
		if !insist {
			if known, err := p.lately(); known != nil || err != nil {
				return known, err
			}
		}
		return p.record(p.ask(context.WithoutCancel(ctx)))
	})
	select {
	case answer := <-answered:
		found, _ := answer.Val.(*metadata)
		return found, answer.Err
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
}

// lately returns what others have found meanwhile, or the failure of a moment ago, if there was
// one.
func (p *provider) lately() (*metadata, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known != nil {
		return p.known, nil
	}
	if since := p.now().Sub(p.failedAt); since < 0 || since >= retryAfter {
		return nil, nil
	}
	return nil, p.failed
}

// record keeps what was found. A failure leaves what is known as it is.
func (p *provider) record(found *metadata, err error) (*metadata, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed, p.failedAt = unavailable(fmt.Errorf("discovery of %s: %w", p.issuer, err)), p.now()
		return nil, p.failed
	}
	p.failed, p.failedAt = nil, time.Time{}
	if p.known != nil && p.known.keys.url == found.keys.url {
		found.keys = p.known.keys
	}
	p.known = found
	return found, nil
}

// ask fetches the provider's metadata and judges it.
func (p *provider) ask(ctx context.Context) (*metadata, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.issuer) // the issuer is compared exactly
	if err != nil {
		return nil, clipped(err)
	}
	var document struct {
		KeySet      string   `json:"jwks_uri"`
		EndSession  string   `json:"end_session_endpoint"`
		Algorithms  []string `json:"id_token_signing_alg_values_supported"`
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
		AnswersIss  bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := answer.Claims(&document); err != nil {
		return nil, clipped(err)
	}
	found := &metadata{
		endpoint:   answer.Endpoint(),
		userInfo:   answer.UserInfoEndpoint(),
		endSession: document.EndSession,
		clientAuth: document.AuthMethods,
		answersIss: document.AnswersIss,
		keys:       newKeys(document.KeySet, p.client, p.now),
		at:         p.now(),
	}
	if found.algorithms, err = algorithms(document.Algorithms); err != nil {
		return nil, err
	}
	for _, e := range []struct {
		name, url string
		optional  bool
	}{
		{"authorization_endpoint", found.endpoint.AuthURL, false},
		{"token_endpoint", found.endpoint.TokenURL, false},
		{"jwks_uri", document.KeySet, false},
		{"userinfo_endpoint", found.userInfo, true},
		{"end_session_endpoint", found.endSession, true},
	} {
		if e.url == "" && e.optional {
			continue
		}
		if err := p.trusts(e.url); err != nil {
			return nil, clipped(fmt.Errorf("%s %q: %w", e.name, e.url, err))
		}
	}
	return found, nil
}

// trusts refuses an endpoint that is less protected than the issuer is: a provider at HTTPS must
// not lead to plain HTTP, not even on loopback, where the gateway has other services next to it.
func (p *provider) trusts(endpoint string) error {
	if err := oauthclient.ValidateURL(endpoint, p.insecureHTTP); err != nil {
		return err
	}
	if p.insecureHTTP {
		return nil
	}
	issuer, err := url.Parse(p.issuer)
	if err != nil {
		return err
	}
	if u, err := url.Parse(endpoint); err != nil || u.Scheme != "https" && u.Scheme != issuer.Scheme {
		return errors.New("must be https, as the issuer is")
	}
	return nil
}

// asymmetric are the algorithms whose signatures only the provider can make (RFC 7518, section
// 3.1). Those with a shared secret are left out, for the gateway has no secret that nobody else
// knows, and none is no signature.
var asymmetric = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.EdDSA,
}

// algorithms are those that ID tokens may be signed with: of the provider's the asymmetric ones,
// and RS256 where it names none.
func algorithms(named []string) ([]jose.SignatureAlgorithm, error) {
	if len(named) == 0 {
		return []jose.SignatureAlgorithm{jose.RS256}, nil
	}
	var usable []jose.SignatureAlgorithm
	for _, a := range asymmetric {
		if slices.Contains(named, string(a)) {
			usable = append(usable, a)
		}
	}
	if len(usable) == 0 {
		return nil, errors.New("id_token_signing_alg_values_supported: none is an asymmetric one")
	}
	return usable, nil
}

// Run asks the provider what it says of itself until it answers, and again once a day; it returns
// when ctx ends. Without it, the provider is asked when there is something to ask it for.
func (m *Method) Run(ctx context.Context) {
	failures := 0
	for {
		wait := m.provider.due()
		if failures > 0 {
			wait = backoff(failures)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if failures == 0 && m.provider.due() > 0 {
			continue // another method of the same provider, or a sign-in, has asked
		}
		_, err := m.provider.discover(ctx, true)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if failures > 0 {
				m.log.Info("provider is available again", zap.String("issuer", m.provider.issuer))
			}
			failures = 0
		case failures == 0:
			m.log.Warn("provider is not available; trying again", zap.String("issuer", m.provider.issuer), zap.Error(err))
			fallthrough
		default:
			failures++
		}
	}
}

// backoff is how long to wait after a number of failures in a row: a second, doubled each time up
// to a minute, of which up to a half is taken off by chance, so that many gateways do not ask at
// once.
func backoff(failures int) time.Duration {
	longest := min(minBackoff<<min(failures-1, 10), maxBackoff)
	return longest - rand.N(longest/2)
}

// clipped is an error with a text of limited length: libraries put whole answers and headers into
// it.
func clipped(err error) error {
	text := err.Error()
	if len(text) <= maxErrorText {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:maxErrorText], "") + "...")
}
