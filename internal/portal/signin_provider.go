package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// providerSignIn is a request to sign in at a provider, from a form or an API call.
type providerSignIn struct {
	to         destination       // where to go after a sign-in
	errorTo    destination       // where an API client wants errors to be reported
	hint       string            // the account that was asked for, or empty
	scopes     []string          // additional ones
	parameters map[string]string // additional ones of the authorization request
}

// startProviderSignIn returns where to send the browser to sign in at the provider. It stores the
// flow in the browser.
func (p *Portal) startProviderSignIn(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, d providerSignIn) (location string, err error) {
	state := newState()
	redirectURI := provider.RedirectURI()
	if redirectURI == "" {
		redirectURI = v.Origin() + p.prefix + "/callback/" + url.PathEscape(provider.ID())
	}
	location, pending, err := provider.Authorize(r.Context(), login.AuthorizationRequest{
		State:       state,
		RedirectURI: redirectURI,
		LoginHint:   d.hint,
		Adding:      len(v.Visit.Entries()) > 0,
		Scopes:      d.scopes,
		Parameters:  d.parameters,
	})
	if err == nil {
		err = p.flows.keep(w, r, v, state, flow{
			Method:   provider.ID(),
			Pending:  pending,
			Site:     v.Visit.Site(),
			ReturnTo: seenFromCallback(v, redirectURI, d.to),
			ErrorTo:  seenFromCallback(v, redirectURI, d.errorTo),
			Asked:    d.hint,
		})
	}
	if err != nil {
		p.audit.logProviderFailure(r, v, provider.ID(), err)
		return "", err
	}
	if p.callbackOrigin(v, provider) != v.Origin() {
		v.Cookie.AddStarted(w.Header(), &v.Cookies, tagOf(state), flowLifetime)
	}
	return location, nil
}

// seenFromCallback returns a destination as an address that works from the redirect URI, which may
// be on another host of the cookie's domain.
func seenFromCallback(v Visitor, redirectURI string, to destination) string {
	if strings.HasPrefix(redirectURI, v.Origin()+"/") {
		return to.text
	}
	if to.text == "" {
		return v.Origin() + "/"
	}
	if to.text[0] == '/' {
		return v.Origin() + to.text
	}
	return to.text
}

// providerResult is a sign-in at a provider that has finished.
type providerResult struct {
	flow
	session.SignedIn
}

// finishProviderSignIn signs in the account that a provider's answer names. The browser keeps its
// other accounts. With an error the result has at most the flow.
func (p *Portal) finishProviderSignIn(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider) (providerResult, error) {
	begun, err := p.takeFlow(w, r, v, provider)
	if err != nil {
		p.audit.logProviderFailure(r, v, provider.ID(), err)
		return providerResult{}, err
	}
	// The redirect URI may be on another host than the one where the sign-in began.
	done, err := p.redeem(w, r, v.at(begun.Site), provider, begun.Pending)
	if err != nil {
		p.audit.logProviderFailure(r, v, provider.ID(), err)
		return providerResult{flow: begun}, err
	}
	return providerResult{begun, done}, nil
}

// takeFlow returns the flow that an answer belongs to. A state is valid only at the callback of its
// own provider, so that one provider's answer cannot be passed off as another's (RFC 9700, section
// 4.4).
func (p *Portal) takeFlow(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider) (flow, error) {
	states := r.URL.Query()["state"]
	if len(states) != 1 || states[0] == "" {
		return flow{}, flowError("state", nil)
	}
	begun, err := p.flows.resume(w, r, v, states[0])
	if err != nil {
		return flow{}, err
	}
	if begun.Method != provider.ID() {
		return flow{}, flowError("mix-up", nil)
	}
	return begun, nil
}

func (p *Portal) redeem(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, pending login.Pending) (session.SignedIn, error) {
	since := p.now()
	granted, err := provider.Redeem(r.Context(), pending, r.URL.Query())
	if err != nil {
		return session.SignedIn{}, err
	}
	kept, err := p.grants.Seal(granted)
	if err != nil {
		return session.SignedIn{}, err
	}
	if err := p.names.Claim(r.Context(), p.logins, granted.Identity); errors.Is(err, login.ErrNameTaken) {
		return session.SignedIn{}, fmt.Errorf("%w: %w", errNameOfOther, err)
	} else if err != nil {
		return session.SignedIn{}, err
	}
	done, err := p.admit(w, r, v, granted.Identity, kept, true)
	if err != nil {
		return session.SignedIn{}, err
	}
	if err := p.endIfProviderEnded(r.Context(), granted, since, done.Entry); err != nil {
		return session.SignedIn{}, err
	}
	return done, nil
}

// endIfProviderEnded ends a new session if the provider has ended it while it was being made, when
// it could not be found yet.
func (p *Portal) endIfProviderEnded(ctx context.Context, granted *login.Granted, since time.Time, entry session.Entry) error {
	over, err := p.endedSince(ctx, granted, since)
	if err == nil && !over {
		return nil
	}
	if _, endErr := p.manager.End(ctx, session.Selection{Session: entry.ID}, nil); endErr != nil {
		return errors.Join(err, endErr)
	}
	if err != nil {
		return err
	}
	return &login.RejectedError{Reason: "logout"}
}

// differsFromHint reports whether another account signed in than the one that was asked for.
func (a providerResult) differsFromHint() bool {
	id := a.Entry.Identity
	return a.Asked != "" && !strings.EqualFold(a.Asked, id.Email) && !strings.EqualFold(a.Asked, id.UserName) && a.Asked != id.Account.Subject
}
