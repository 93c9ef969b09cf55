package integration

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// person is somebody whom a provider knows.
type person struct {
	Subject  string
	UserName string
	Name     string
	Email    string
	Verified bool // the address
	Groups   []string
}

// people are those whom every provider of these tests knows. Their subjects are not their names.
func people() []person {
	return []person{
		{"248289761001", "alice", "Alice Provided", "alice@example.com", true, []string{"admin", "dev"}},
		{"248289761002", "bob", "Bob Provided", "bob@example.com", true, []string{"dev"}},
		{"248289761003", "carol", "Carol Provided", "carol@example.net", false, nil},
	}
}

// subjectOf is what providers call one of the people.
func subjectOf(user string) string {
	for _, p := range people() {
		if p.UserName == user {
			return p.Subject
		}
	}
	panic("nobody is called " + user)
}

// idpStore is what the provider of idp keeps, in memory: it is the op.Storage of one client.
type idpStore struct {
	client   *idpClient
	lifetime time.Duration

	mu       sync.Mutex
	people   []person
	requests map[string]*idpRequest // by id
	codes    map[string]*idpRequest
	access   map[string]*idpGrant // by the access token's id
	refresh  map[string]*idpGrant // by every refresh token there was
	sessions []*idpSession
	keys     []*signer // the first signs
	refused  map[string]bool
}

var (
	_ op.Storage                        = (*idpStore)(nil)
	_ op.CanSetUserinfoFromRequest      = (*idpStore)(nil)
	_ op.CanTerminateSessionFromRequest = (*idpStore)(nil)
)

func newIDPStore(t testing.TB, o idpOptions) *idpStore {
	return &idpStore{
		client:   &idpClient{gateway: o.Gateway, ids: o.IDs, lean: o.Lean},
		lifetime: o.Lifetime,
		people:   people(),
		requests: map[string]*idpRequest{},
		codes:    map[string]*idpRequest{},
		access:   map[string]*idpGrant{},
		refresh:  map[string]*idpGrant{},
		keys:     []*signer{newSigner(t, jose.ES256)},
		refused:  map[string]bool{},
	}
}

// idpRequest is a request to sign somebody in.
type idpRequest struct {
	*oidc.AuthRequest
	id      string
	session *idpSession // nil until it is known who it is
	begun   time.Time
}

func (r *idpRequest) GetID() string            { return r.id }
func (r *idpRequest) GetACR() string           { return "" }
func (r *idpRequest) GetAMR() []string         { return nil }
func (r *idpRequest) GetAudience() []string    { return []string{r.ClientID} }
func (r *idpRequest) GetAuthTime() time.Time   { return r.begun }
func (r *idpRequest) GetClientID() string      { return r.ClientID }
func (r *idpRequest) GetNonce() string         { return r.Nonce }
func (r *idpRequest) GetScopes() []string      { return r.Scopes }
func (r *idpRequest) Done() bool               { return r.session != nil }
func (r *idpRequest) granted() *idpSession     { return r.session }
func (r *idpRequest) GetSubject() (sub string) { return r.session.subject }
func (r *idpRequest) GetCodeChallenge() *oidc.CodeChallenge {
	if r.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod}
}

// idpGrant is what a client was granted with a code, and since then with refresh tokens.
type idpGrant struct {
	session *idpSession
	scopes  []string
	begun   time.Time
	current string // the one refresh token that is good
	over    bool
}

func (g *idpGrant) GetAMR() []string            { return nil }
func (g *idpGrant) GetAudience() []string       { return []string{clientID} }
func (g *idpGrant) GetAuthTime() time.Time      { return g.begun }
func (g *idpGrant) GetClientID() string         { return clientID }
func (g *idpGrant) GetScopes() []string         { return g.scopes }
func (g *idpGrant) GetSubject() string          { return g.session.subject }
func (g *idpGrant) SetCurrentScopes(s []string) {}
func (g *idpGrant) granted() *idpSession        { return g.session }

// register makes the site of an address the client's, in place of the one before.
func (s *idpStore) register(gateway string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := *s.client
	client.gateway = gateway
	s.client = &client
}

// named reports whether a hint is about the subject.
func (s *idpStore) named(hint, subject string) bool {
	found, ok := s.subject(hint)
	return ok && found == subject
}

// subject returns who has a user name or an e-mail address.
func (s *idpStore) subject(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.people, func(p person) bool { return p.UserName == name || p.Email == name })
	if i < 0 {
		return "", false
	}
	return s.people[i].Subject, true
}

// change changes what the provider knows of one of the people.
func (s *idpStore) change(user string, change func(*person)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.people {
		if s.people[i].UserName == user {
			change(&s.people[i])
		}
	}
}

// refuse has the provider renew nothing of somebody's any more.
func (s *idpStore) refuse(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[subjectOf(user)] = true
}

// rotate has a new key sign from now on. The old one is published along with it if it is to be kept.
func (s *idpStore) rotate(t testing.TB, keepOld bool) {
	key := newSigner(t, jose.ES256)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !keepOld {
		s.keys = nil
	}
	s.keys = append([]*signer{key}, s.keys...)
}

// signer is the key that signs.
func (s *idpStore) signer() *signer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[0]
}

func (s *idpStore) begin(subject string) *idpSession {
	session := newIDPSession(subject)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = append(s.sessions, session)
	return session
}

func (s *idpStore) session(secret string) (*idpSession, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.sessions, func(b *idpSession) bool { return b.secret == secret })
	if i < 0 {
		return nil, false
	}
	return s.sessions[i], true
}

// sids are the names of somebody's sessions with browsers, in order.
func (s *idpStore) sids(user string) (sids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.sessions {
		if b.subject == subjectOf(user) {
			sids = append(sids, b.sid)
		}
	}
	return sids
}

func (s *idpStore) request(id string) (*idpRequest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.requests[id]
	return r, ok
}

func (s *idpStore) finish(r *idpRequest, session *idpSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.session, r.begun = session, time.Now()
}

// The rest is op.Storage.

func (s *idpStore) CreateAuthRequest(_ context.Context, request *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	r := &idpRequest{AuthRequest: request, id: rand.Text()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.id] = r
	return r, nil
}

func (s *idpStore) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	r, ok := s.request(id)
	if !ok {
		return nil, errors.New("no such request")
	}
	return r, nil
}

// AuthRequestByCode gives a code away once, whatever comes of it (RFC 6749, section 4.1.2).
func (s *idpStore) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.codes[code]
	if !ok {
		return nil, errors.New("no such code")
	}
	delete(s.codes, code)
	return r, nil
}

func (s *idpStore) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = s.requests[id]
	return nil
}

func (s *idpStore) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	return nil
}

func (s *idpStore) CreateAccessToken(_ context.Context, request op.TokenRequest) (string, time.Time, error) {
	r, ok := request.(*idpRequest)
	if !ok {
		return "", time.Time{}, errors.New("not a request of a code")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, expiry := s.issue(&idpGrant{session: r.session, scopes: r.Scopes, begun: r.begun})
	return id, expiry, nil
}

// CreateAccessAndRefreshTokens trades the one refresh token that is good for the next one.
func (s *idpStore) CreateAccessAndRefreshTokens(_ context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var grant *idpGrant
	switch r := request.(type) {
	case *idpRequest:
		grant = &idpGrant{session: r.session, scopes: r.Scopes, begun: r.begun}
	case *idpGrant:
		if r.over || r.current != current {
			return "", "", time.Time{}, oidc.ErrInvalidGrant()
		}
		grant = r
	}
	grant.current = rand.Text()
	s.refresh[grant.current] = grant
	id, expiry := s.issue(grant)
	return id, grant.current, expiry, nil
}

// issue makes an access token of a grant, and returns its id. The lock is held.
func (s *idpStore) issue(grant *idpGrant) (string, time.Time) {
	id := rand.Text()
	s.access[id] = grant
	return id, time.Now().Add(s.lifetime)
}

// TokenRequestByRefreshToken ends all that was granted where a refresh token is used that has been
// traded already: one of the two who had it is a thief (RFC 9700, section 4.14.2).
func (s *idpStore) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grant, ok := s.refresh[token]
	if !ok || grant.over || s.refused[grant.session.subject] {
		return nil, errors.New("no such refresh token")
	}
	if grant.current != token {
		grant.over = true
		return nil, errors.New("refresh token was used before")
	}
	return grant, nil
}

func (s *idpStore) TerminateSession(context.Context, string, string) error {
	return errors.New("sessions are ended by request")
}

// TerminateSessionFromRequest ends the session that the ID token names, and what was granted in it.
func (s *idpStore) TerminateSessionFromRequest(_ context.Context, r *op.EndSessionRequest) (string, error) {
	if r.IDTokenHintClaims == nil {
		return r.RedirectURI, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := func(b *idpSession) bool { return b.sid == r.IDTokenHintClaims.SessionID }
	s.sessions = slices.DeleteFunc(s.sessions, ended)
	for _, grant := range s.refresh {
		grant.over = grant.over || ended(grant.session)
	}
	return r.RedirectURI, nil
}

func (s *idpStore) RevokeToken(_ context.Context, token, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if grant, ok := s.refresh[token]; ok {
		grant.over = true
	}
	delete(s.access, token)
	return nil
}

func (s *idpStore) GetRefreshTokenInfo(_ context.Context, _, token string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	grant, ok := s.refresh[token]
	if !ok {
		return "", "", op.ErrInvalidRefreshToken
	}
	return grant.session.subject, token, nil
}

func (s *idpStore) SigningKey(context.Context) (op.SigningKey, error) { return s.signer(), nil }

func (s *idpStore) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{s.signer().algorithm}, nil
}

func (s *idpStore) KeySet(context.Context) ([]op.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []op.Key
	for _, key := range s.keys {
		keys = append(keys, publicKey{key})
	}
	return keys, nil
}

func (s *idpStore) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != clientID {
		return nil, errors.New("no such client")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client, nil
}

func (s *idpStore) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != clientID || secret != clientSecret {
		return errors.New("wrong client or secret")
	}
	return nil
}

// SetUserinfoFromScopes has nothing to add to SetUserinfoFromRequest.
func (s *idpStore) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest sets the claims of an ID token. The session's name is in every one.
func (s *idpStore) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	session := request.(interface{ granted() *idpSession }).granted()
	info.AppendClaims("sid", session.sid)
	return s.describe(info, session.subject, scopes)
}

func (s *idpStore) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, token, subject, _ string) error {
	s.mu.Lock()
	grant, ok := s.access[token]
	s.mu.Unlock()
	if !ok || grant.over || grant.session.subject != subject {
		return errors.New("no such access token")
	}
	return s.describe(info, subject, grant.scopes)
}

// describe sets what scopes let a client know of somebody.
func (s *idpStore) describe(info *oidc.UserInfo, subject string, scopes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.people, func(p person) bool { return p.Subject == subject })
	if i < 0 {
		return errors.New("nobody has that subject")
	}
	p := s.people[i]
	info.Subject = p.Subject
	for _, scope := range scopes {
		switch scope {
		case oidc.ScopeProfile:
			info.Name, info.PreferredUsername = p.Name, p.UserName
		case oidc.ScopeEmail:
			info.Email, info.EmailVerified = p.Email, oidc.Bool(p.Verified)
		case "groups":
			info.AppendClaims("groups", p.Groups)
		}
	}
	return nil
}

func (s *idpStore) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errors.New("there is no introspection")
}

func (s *idpStore) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

func (s *idpStore) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errors.New("clients have no keys")
}

func (s *idpStore) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errors.New("there are no service users")
}

func (s *idpStore) Health(context.Context) error { return nil }

// idpClient is the gateway, as the provider has it registered.
type idpClient struct {
	gateway string
	ids     []string
	lean    bool
}

func (c *idpClient) GetID() string { return clientID }
func (c *idpClient) RedirectURIs() (all []string) {
	for _, id := range c.ids {
		all = append(all, callback(c.gateway, id))
	}
	return all
}
func (c *idpClient) PostLogoutRedirectURIs() []string {
	return []string{siteOrigin(c.gateway) + "/.auth/signed-out"}
}
func (c *idpClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c *idpClient) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c *idpClient) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *idpClient) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}
func (c *idpClient) LoginURL(request string) string      { return "/login?id=" + request }
func (c *idpClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }
func (c *idpClient) IDTokenLifetime() time.Duration      { return time.Hour }
func (c *idpClient) DevMode() bool                       { return false }
func (c *idpClient) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string {
		if c.lean {
			return []string{oidc.ScopeOpenID}
		}
		return scopes
	}
}
func (c *idpClient) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
func (c *idpClient) IsScopeAllowed(scope string) bool     { return scope == "groups" }
func (c *idpClient) IDTokenUserinfoClaimsAssertion() bool { return !c.lean }
func (c *idpClient) ClockSkew() time.Duration             { return 0 }
