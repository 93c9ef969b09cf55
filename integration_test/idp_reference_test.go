package integration

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// relyingParty is a client of a provider as libraries make them: what the providers of these tests
// answer is held against it, so that what the gateway makes of them says something.
type relyingParty struct {
	t        *testing.T
	provider *oidc.Provider
	oauth2.Config
	verifier, nonce string
}

func newRelyingParty(t *testing.T, issuer, redirect string, scopes ...string) *relyingParty {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	return &relyingParty{
		t: t, provider: provider, verifier: oauth2.GenerateVerifier(), nonce: rand.Text(),
		Config: oauth2.Config{
			ClientID: clientID, ClientSecret: clientSecret, Endpoint: provider.Endpoint(),
			RedirectURL: redirect, Scopes: append([]string{oidc.ScopeOpenID, "profile", "email", "groups"}, scopes...),
		},
	}
}

// request is where the browser is sent.
func (rp *relyingParty) request(options ...oauth2.AuthCodeOption) string {
	options = append(options, oauth2.S256ChallengeOption(rp.verifier), oidc.Nonce(rp.nonce))
	return rp.AuthCodeURL("the state", options...)
}

// answer is what came back of a request.
func (rp *relyingParty) answer(at reply) url.Values {
	rp.t.Helper()
	location, err := at.Location()
	if err != nil || !strings.HasPrefix(location.String(), rp.RedirectURL) {
		rp.t.Fatalf("%s of %s leads to %v\n%s", at.Status, at.Request.URL, location, at.body)
	}
	if got := location.Query().Get("state"); got != "the state" {
		rp.t.Fatalf("the state came back as %q", got)
	}
	return location.Query()
}

// redeem trades a code, and returns what the ID token says.
func (rp *relyingParty) redeem(code string) (*oauth2.Token, object) {
	rp.t.Helper()
	tokens, err := rp.Exchange(rp.t.Context(), code, oauth2.VerifierOption(rp.verifier))
	if err != nil {
		rp.t.Fatal(err)
	}
	return tokens, rp.claims(tokens)
}

func (rp *relyingParty) claims(tokens *oauth2.Token) (claims object) {
	rp.t.Helper()
	raw, _ := tokens.Extra("id_token").(string)
	token, err := rp.provider.Verifier(&oidc.Config{ClientID: clientID}).Verify(rp.t.Context(), raw)
	if err != nil {
		rp.t.Fatal(err)
	}
	if err := token.Claims(&claims); err != nil {
		rp.t.Fatal(err)
	}
	return claims
}

// renew trades a refresh token; the error is the code that the provider refuses with.
func (rp *relyingParty) renew(refresh string) (*oauth2.Token, string) {
	rp.t.Helper()
	tokens, err := rp.TokenSource(rp.t.Context(), &oauth2.Token{RefreshToken: refresh}).Token()
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused):
		return nil, refused.ErrorCode
	case err != nil:
		rp.t.Fatal(err)
	}
	return tokens, ""
}

// TestProviders: the two providers of these tests are providers, to a client that the gateway has
// nothing to do with.
func TestProviders(t *testing.T) {
	const gateway = "127.0.0.1:9"
	t.Run("idp", func(t *testing.T) {
		p := newIDP(t, idpOptions{Gateway: gateway})
		rp := newRelyingParty(t, p.issuer, callback(gateway, "idp"), "offline_access")
		referenceStory(t, rp, "")
		p.keep.refuse("bob")
		b := newBrowser(t, p.issuer)
		tokens, _ := rp.redeem(rp.answer(b.fill(b.travel(b.visit(rp.request()), rp.RedirectURL), url.Values{"user": {"bob"}}, rp.RedirectURL)).Get("code"))
		if _, code := rp.renew(tokens.RefreshToken); code != "invalid_grant" {
			t.Errorf("who is refused: %q", code)
		}
	})
	t.Run("certified", func(t *testing.T) {
		p := newCertified(t, certifiedOptions{Gateway: gateway})
		referenceStory(t, newRelyingParty(t, p.issuer, callback(gateway, "certified")), p.issuer)
	})
}

// referenceStory signs people in, silently, renewed and out.
func referenceStory(t *testing.T, rp *relyingParty, issuer string) {
	b := newBrowser(t, "http://127.0.0.1:9")
	page := b.travel(b.visit(rp.request()), rp.RedirectURL)
	answer := rp.answer(b.fill(page, url.Values{"user": {"alice"}}, rp.RedirectURL))
	if got := answer.Get("iss"); got != issuer {
		t.Errorf("the answer's iss is %q, want %q", got, issuer)
	}
	_, claims := rp.redeem(answer.Get("code"))
	if claims["sub"] != subjectOf("alice") || claims["preferred_username"] != "alice" || claims["email_verified"] != true ||
		claims["nonce"] != rp.nonce || !slices.Equal(claims["groups"].([]any), []any{"admin", "dev"}) {
		t.Errorf("the ID token says %v", claims)
	}
	sid, _ := claims["sid"].(string)
	if sid == "" {
		t.Error("the ID token does not name the session")
	}
	if _, err := rp.Exchange(t.Context(), answer.Get("code"), oauth2.VerifierOption(rp.verifier)); err == nil {
		t.Error("a code is good twice")
	}

	// A code that is used twice may end what was granted with it: another one, without a page.
	answer = rp.answer(b.travel(b.visit(rp.request()), rp.RedirectURL))
	tokens, again := rp.redeem(answer.Get("code"))
	if again["sid"] != sid || again["sub"] != subjectOf("alice") {
		t.Errorf("the same browser again: %v", again)
	}
	renewed, code := rp.renew(tokens.RefreshToken)
	if code != "" || renewed.RefreshToken == "" || renewed.RefreshToken == tokens.RefreshToken {
		t.Fatalf("renewed: %q, %v", code, renewed)
	}
	if claims := rp.claims(renewed); claims["sub"] != subjectOf("alice") {
		t.Errorf("renewed, the ID token says %v", claims)
	}
	if _, code := rp.renew(tokens.RefreshToken); code != "invalid_grant" {
		t.Errorf("a refresh token is good twice: %q", code)
	}

	for _, prompt := range []string{"select_account", "login"} {
		if page := b.travel(b.visit(rp.request(oauth2.SetAuthURLParam("prompt", prompt))), rp.RedirectURL); !strings.Contains(page.body, whoField) {
			t.Errorf("prompt=%s: %s\n%s", prompt, page.Status, page.body)
		}
	}
	page = b.travel(b.visit(rp.request(oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("login_hint", "bob"))), rp.RedirectURL)
	if fields := b.parse(page).forms[0].fields; fields.Get("user") != "bob" {
		t.Errorf("login_hint fills in %v", fields)
	}
	answer = rp.answer(b.fill(page, url.Values{"cancel": {"1"}}, rp.RedirectURL))
	if answer.Get("error") != "access_denied" || answer.Get("error_description") == "" {
		t.Errorf("cancelled: %v", answer)
	}

	rp.signsOut(b, renewed)
}

// signsOut signs the browser out at the provider, which is to know it no longer.
func (rp *relyingParty) signsOut(b *browser, tokens *oauth2.Token) {
	rp.t.Helper()
	var endpoints struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := rp.provider.Claims(&endpoints); err != nil {
		rp.t.Fatal(err)
	}
	back := strings.Replace(rp.RedirectURL, "/callback/", "/signed-out?", 1)
	back, _, _ = strings.Cut(back, "?")
	raw, _ := tokens.Extra("id_token").(string)
	query := url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {back}, "state": {"out"}}
	page := b.travel(b.visit(endpoints.EndSession+"?"+query.Encode()), back)
	if page.StatusCode == http.StatusOK {
		page = b.fill(page, url.Values{"logout": {"yes"}}, back)
	}
	if location, err := page.Location(); err != nil || location.String() != back+"?state=out" {
		rp.t.Errorf("signed out: %s to %v\n%s", page.Status, location, page.body)
	}
	if page := b.travel(b.visit(rp.request()), rp.RedirectURL); !strings.Contains(page.body, whoField) {
		rp.t.Errorf("after signing out: %s\n%s", page.Status, page.body)
	}
}
