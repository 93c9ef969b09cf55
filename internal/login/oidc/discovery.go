package oidc

import (
	"cmp"
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

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"go.uber.org/zap"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
)

const (
	// metadataFresh is how long metadata of a provider is used before it is fetched again.
	metadataFresh = 24 * time.Hour

	// Shortest and longest pause between two attempts in the background.
	minBackoff = time.Second
	maxBackoff = time.Minute

	// askTimeout bounds one request to a provider, in addition to the limits of the client.
	askTimeout = 15 * time.Second

	maxProviders = 64
	maxErrorText = 300 // bytes
)

// Providers caches the metadata and keys of providers. It outlives configurations, so that after a
// reload nobody waits for a provider. It is safe for concurrent use.
type Providers struct {
	mu       sync.Mutex
	byIssuer *simplelru.LRU[providerKey, *provider]
}

// providerKey is all that decides what a provider is taken for. So a changed option is never answered
// with what was found by the old one.
type providerKey struct {
	issuer       string
	insecureHTTP bool
	endpoints    Endpoints
	authorities  string // see oauthclient.Options
	tenanted     bool   // the issuer stands for those of many tenants
}

// Endpoints are addresses of a provider that differ from what it says of itself, such as those by
// which the gateway reaches it inside of a network. Empty ones are as the provider says.
type Endpoints struct {
	Discovery     string // of the metadata; default: below the issuer
	Authorization string // for browsers
	Token         string
	UserInfo      string
	Keys          string
	EndSession    string // for browsers
}

// complete reports whether nothing is left to discover.
func (e Endpoints) complete() bool {
	return e.Discovery == "" && e.Authorization != "" && e.Token != "" && e.Keys != ""
}

// validate refuses endpoints that could not be used.
func (e Endpoints) validate(insecureHTTP bool) error {
	for _, o := range []struct{ name, url string }{
		{"discovery_url", e.Discovery},
		{"authorization_endpoint", e.Authorization},
		{"token_endpoint", e.Token},
		{"userinfo_endpoint", e.UserInfo},
		{"jwks_uri", e.Keys},
		{"end_session_endpoint", e.EndSession},
	} {
		if o.url == "" {
			continue
		}
		if err := oauthclient.ValidateURL(o.url, insecureHTTP); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	return nil
}

// NewProviders returns an empty cache for 64 providers. A further one replaces the one that was
// configured longest ago.
func NewProviders() *Providers {
	byIssuer, _ := simplelru.NewLRU[providerKey, *provider](maxProviders, nil) // fails only for sizes below one
	return &Providers{byIssuer: byIssuer}
}

// get returns the provider of an issuer, and adds it if it is new.
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

// provider is an issuer and what is known about it. Its methods may be called concurrently.
type provider struct {
	providerKey
	client *http.Client
	health *oauthclient.Health // of what client asks
	now    func() time.Time

	asking singleflight.Group

	mu      sync.Mutex
	known   *metadata // nil until discovered
	triedAt time.Time // when the last attempt ended
	failed  error     // error of the last attempt; nil if it succeeded
}

// metadata is a provider's metadata (OpenID Connect Discovery 1.0, section 3). Only its keys
// change.
type metadata struct {
	issuer     string // of tokens, with tenantPlaceholder if there are tenants
	endpoint   oauth2.Endpoint
	userInfo   string // empty: none
	endSession string // empty: none
	algorithms []jose.SignatureAlgorithm
	push       string   // endpoint of pushed authorization requests; empty: none
	mustPush   bool     // the provider takes no other authorization requests
	clientAuth []string // ways to authenticate at the token endpoint
	claims     []string // that the provider has; empty: not known
	prompts    []string // values of prompt; nil if the provider does not say
	answersIss bool     // answers name the issuer (RFC 9207)
	keys       *keys
	at         time.Time
}

func newProvider(key providerKey, now func() time.Time) *provider {
	health := oauthclient.NewHealth(now)
	return &provider{
		providerKey: key,
		client:      health.Watch(oauthclient.NewHTTPClient(oauthclient.Options{Authorities: key.authorities})),
		health:      health,
		now:         now,
	}
}

// metadata returns the known metadata, and fetches it if there is none. After a failure within
// retryAfter it returns the same error again.
func (p *provider) metadata(ctx context.Context) (*metadata, error) {
	if known := p.peek(); known != nil {
		return known, nil
	}
	return p.discover(ctx, false)
}

// peek returns the known metadata, or nil. It sends no request.
func (p *provider) peek() *metadata {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known
}

// available reports whether the last discovery succeeded, and the provider has answered since. It is
// true before the first one.
func (p *provider) available() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed == nil && p.health.Answers()
}

// untilStale returns for how long the known metadata is not older than the age.
func (p *provider) untilStale(age time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		return 0
	}
	return p.known.at.Add(age).Sub(p.now())
}

// rediscover returns the provider's metadata as it is now, or else the given metadata: if it cannot
// be fetched, or was fetched, or tried to, within askAgain.
func (p *provider) rediscover(ctx context.Context, seen *metadata) *metadata {
	p.mu.Lock()
	known, since := p.known, p.now().Sub(p.triedAt)
	p.mu.Unlock()
	if known == seen && (since < 0 || since >= askAgain) {
		known, _ = p.discover(ctx, true)
	}
	return cmp.Or(known, seen)
}

// discover fetches the metadata, or joins a fetch that is already running. The fetch continues if
// the caller stops waiting. With force it always fetches; otherwise known metadata or a failure
// within retryAfter is the answer.
func (p *provider) discover(ctx context.Context, force bool) (*metadata, error) {
	if force {
		return p.ask(ctx, func() (*metadata, error) { return nil, nil })
	}
	return p.ask(ctx, p.cached)
}

// refresh fetches the metadata like discover, unless it is not older than the age.
func (p *provider) refresh(ctx context.Context, age time.Duration) (*metadata, error) {
	return p.ask(ctx, func() (*metadata, error) {
		if p.untilStale(age) > 0 {
			return p.peek(), nil
		}
		return nil, nil
	})
}

// ask fetches the metadata unless cached returns an answer when no fetch is running any more.
func (p *provider) ask(ctx context.Context, cached func() (*metadata, error)) (*metadata, error) {
	answered := p.asking.DoChan("", func() (any, error) {
		if known, err := cached(); known != nil || err != nil {
			return known, err
		}
		return p.record(p.fetch(context.WithoutCancel(ctx)))
	})
	select {
	case answer := <-answered:
		found, _ := answer.Val.(*metadata)
		return found, answer.Err
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
}

// cached returns metadata that another call has fetched, or the failure of the last attempt within
// retryAfter. Both are nil if there is neither.
func (p *provider) cached() (*metadata, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known != nil {
		return p.known, nil
	}
	if since := p.now().Sub(p.triedAt); since < 0 || since >= retryAfter {
		return nil, nil
	}
	return nil, p.failed
}

// record stores the outcome of a fetch. A failure keeps the known metadata.
func (p *provider) record(found *metadata, err error) (*metadata, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed, p.triedAt = nil, p.now()
	if err != nil {
		p.failed = unavailable(fmt.Errorf("discovery of %s: %w", p.issuer, err))
		return nil, p.failed
	}
	if p.known != nil && p.known.keys.url == found.keys.url {
		found.keys = p.known.keys
	}
	p.known = found
	return found, nil
}

// document is a provider's metadata as it is written (OpenID Connect Discovery 1.0, section 3).
type document struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	UserInfo      string   `json:"userinfo_endpoint"`
	Keys          string   `json:"jwks_uri"`
	EndSession    string   `json:"end_session_endpoint"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	Push          string   `json:"pushed_authorization_request_endpoint"`
	MustPush      bool     `json:"require_pushed_authorization_requests"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	Claims        []string `json:"claims_supported"`
	Prompts       []string `json:"prompt_values_supported"`
	AnswersIss    bool     `json:"authorization_response_iss_parameter_supported"`
}

// fetchDocument fetches the provider's metadata. Where all is configured there is none, and keys decide
// about algorithms alone.
func (p *provider) fetchDocument(ctx context.Context) (document, error) {
	if p.endpoints.complete() {
		return document{Issuer: p.issuer, Algorithms: names(asymmetric)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	address := cmp.Or(p.endpoints.Discovery, strings.TrimSuffix(p.issuer, "/")+"/.well-known/openid-configuration")
	var found document
	if _, err := oauthclient.GetJSON(ctx, p.client, address, "", nil, &found); err != nil {
		return document{}, err
	}
	switch {
	case p.tenanted && !isTemplateOf(found.Issuer, p.issuer):
		return document{}, fmt.Errorf("the issuer at %s is %q, and not that of many tenants", address, found.Issuer)
	case !p.tenanted && isTemplateOf(found.Issuer, p.issuer):
		return document{}, fmt.Errorf("the issuer at %s is that of many tenants; the option tenants says which of them may sign in", address)
	case !p.tenanted && found.Issuer != p.issuer:
		return document{}, fmt.Errorf("the issuer at %s is %q", address, found.Issuer)
	}
	return found, nil
}

// fetch fetches and validates the provider's metadata.
func (p *provider) fetch(ctx context.Context) (*metadata, error) {
	said, err := p.fetchDocument(ctx)
	if err != nil {
		return nil, clip(err)
	}
	found := &metadata{
		issuer: said.Issuer,
		endpoint: oauth2.Endpoint{
			AuthURL:  cmp.Or(p.endpoints.Authorization, said.Authorization),
			TokenURL: cmp.Or(p.endpoints.Token, said.Token),
		},
		userInfo:   cmp.Or(p.endpoints.UserInfo, said.UserInfo),
		endSession: cmp.Or(p.endpoints.EndSession, said.EndSession),
		push:       said.Push,
		mustPush:   said.MustPush,
		clientAuth: said.AuthMethods,
		claims:     said.Claims,
		prompts:    said.Prompts,
		answersIss: said.AnswersIss,
		keys:       newKeys(cmp.Or(p.endpoints.Keys, said.Keys), p.client, p.now),
		at:         p.now(),
	}
	if found.algorithms, err = algorithms(said.Algorithms); err != nil {
		return nil, err
	}
	for _, e := range []struct {
		name, configured, said string
		optional               bool
	}{
		{"authorization_endpoint", p.endpoints.Authorization, said.Authorization, false},
		{"token_endpoint", p.endpoints.Token, said.Token, false},
		{"jwks_uri", p.endpoints.Keys, said.Keys, false},
		{"userinfo_endpoint", p.endpoints.UserInfo, said.UserInfo, true},
		{"end_session_endpoint", p.endpoints.EndSession, said.EndSession, true},
		{"pushed_authorization_request_endpoint", "", said.Push, true},
	} {
		if e.configured != "" || e.said == "" && e.optional {
			continue
		}
		if err := p.checkEndpoint(e.said); err != nil {
			return nil, clip(fmt.Errorf("%s %q: %w", e.name, e.said, err))
		}
	}
	return found, nil
}

// checkEndpoint refuses an endpoint that is less protected than the issuer. A provider at HTTPS
// must not point to plain HTTP, not even on loopback, where other services of this machine listen.
func (p *provider) checkEndpoint(endpoint string) error {
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
		return errors.New("must be https like the issuer")
	}
	return nil
}

// asymmetric are the algorithms whose signatures only the provider can make (RFC 7518, section
// 3.1). Algorithms with a shared secret are missing because the gateway shares no secret for
// signatures, and "none" because it is no signature.
var asymmetric = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.EdDSA,
}

// algorithms returns the algorithms that ID tokens may be signed with: the asymmetric ones of the
// provider's, or RS256 if it names none.
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
		return nil, errors.New("id_token_signing_alg_values_supported: none is asymmetric")
	}
	return usable, nil
}

// Run fetches the provider's metadata until that succeeds, and then once a day. It begins with a fetch
// unless the metadata is newer than askAgain: whoever reloads the configuration may do so because the
// provider has changed. It returns when ctx ends. Without Run, metadata is fetched when it is first
// needed.
func (m *Method) Run(ctx context.Context) {
	failures := 0
	fresh := metadataFresh
	if m.provider.untilStale(askAgain) <= 0 {
		fresh = askAgain
	}
	for {
		wait := m.provider.untilStale(fresh)
		if failures > 0 {
			wait = backoff(failures)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if failures == 0 && m.provider.untilStale(fresh) > 0 {
			fresh = metadataFresh
			continue // another method of this provider, or a sign-in, has fetched it
		}
		_, err := m.provider.refresh(ctx, fresh)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if failures > 0 {
				m.log.Info("provider is available again", zap.String("issuer", m.provider.issuer))
			}
			failures, fresh = 0, metadataFresh
		case failures == 0:
			m.log.Warn("provider is not available; trying again", zap.String("issuer", m.provider.issuer), zap.Error(err))
			fallthrough
		default:
			failures++
		}
	}
}

// backoff returns the pause after a number of failures in a row. It starts at a second and doubles
// up to a minute. A random part, up to a half, is subtracted so that many gateways do not ask at
// once.
func backoff(failures int) time.Duration {
	longest := min(minBackoff<<min(failures-1, 10), maxBackoff)
	return longest - rand.N(longest/2)
}

// clip limits the text of an error: libraries quote whole answers and headers.
func clip(err error) error {
	text := err.Error()
	if len(text) <= maxErrorText {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:maxErrorText], "") + "...")
}
