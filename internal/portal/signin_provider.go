package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// providerSignIn is a request to sign in at a provider, from a form or an API call.
type providerSignIn struct {
	to         destination       // where to go after a sign-in
	newTo      destination       // where to go instead after the first sign-in of an account
	errorTo    destination       // where an API client wants errors to be reported
	hint       string            // the account that was asked for, or empty
	ask        login.Ask         // what the provider is to ask the user
	client     bool              // a client of the API begins it
	scopes     []string          // additional ones
	parameters map[string]string // additional ones of the authorization request

	// Of another try, after the provider has refused the prompt of the first one.
	prompts []string // those that are left
	first   string   // tag of the first state
}

// startProviderSignIn returns where to send the browser to sign in at the provider. It stores the
// flow in the browser.
func (p *Portal) startProviderSignIn(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, d providerSignIn) (location string, err error) {
	state := newState()
	if d.ask == login.AskNothing && len(v.Visit.Entries()) > 0 {
		d.ask = login.AskAccount // the browser adds an account
	}
	redirectURI := provider.RedirectURI()
	if redirectURI == "" {
		redirectURI = v.Origin() + p.prefix + "/callback/" + url.PathEscape(provider.ID())
	}
	location, pending, err := provider.Authorize(r.Context(), login.AuthorizationRequest{
		State:       state,
		RedirectURI: redirectURI,
		LoginHint:   d.hint,
		Ask:         d.ask,
		Prompts:     d.prompts,
		Scopes:      d.scopes,
		Parameters:  d.parameters,
	})
	newTo := ""
	if d.newTo.text != "" {
		newTo = seenFromCallback(v, redirectURI, d.newTo)
	}
	if err == nil {
		err = p.flows.keep(w, r, v, state, flow{
			Method:   provider.ID(),
			Pending:  pending,
			Site:     v.Visit.Site(),
			ReturnTo: seenFromCallback(v, redirectURI, d.to),
			NewTo:    newTo,
			ErrorTo:  seenFromCallback(v, redirectURI, d.errorTo),
			Asked:    d.hint,
			Ask:      d.ask,
			Client:   d.client,
			First:    d.first,

			Parameters: d.parameters,
		})
	}
	if err != nil {
		p.audit.logProviderFailure(r, v, provider.ID(), err)
		return "", err
	}
	if d.first == "" && p.callbackOrigin(v, provider) != v.Origin() {
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

// providerResult is a sign-in at a provider that has finished, or goes on with another try.
type providerResult struct {
	flow
	session.SignedIn
	isNew bool   // the account has not signed in before
	retry string // where to send the browser for another try, or empty
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
	v = v.at(begun.Site)
	done, isNew, err := p.redeem(w, r, v, provider, begun.Pending)
	if prompts, ok := begun.Pending.Retry(err); ok {
		location, retryErr := p.retrySignIn(w, r, v, provider, begun, prompts)
		if retryErr == nil {
			p.log.Info("a provider refused the prompt of a sign-in; trying another one", append(providerError(err),
				zap.String("login", provider.ID()), zap.String("prompt", begun.Pending.Prompt), zap.Strings("left", prompts))...)
			return providerResult{flow: begun, retry: location}, nil
		}
		err = retryErr // is logged already
	} else if err != nil {
		p.audit.logProviderFailure(r, v, provider.ID(), err)
		p.warnOfRefusal(provider, err)
	}
	if err != nil {
		return providerResult{flow: begun}, err
	}
	return providerResult{flow: begun, SignedIn: done, isNew: isNew}, nil
}

// warnOfRefusal logs an error of a provider that only an administrator can mend, such as a client that
// is not registered for what it asks. People who cancel are no such error.
func (p *Portal) warnOfRefusal(provider login.Provider, err error) {
	var denied *login.DeniedError
	if errors.As(err, &denied) && denied.Code != "access_denied" {
		p.log.Warn("a provider refused a sign-in", append(providerError(err), zap.String("login", provider.ID()))...)
	}
}

// retrySignIn starts a sign-in again whose prompt the provider has refused, with the prompts that are
// left.
func (p *Portal) retrySignIn(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, begun flow, prompts []string) (location string, err error) {
	return p.startProviderSignIn(w, r, v, provider, providerSignIn{
		to:         destination{text: begun.ReturnTo}, // all addresses were checked at the first try
		newTo:      destination{text: begun.NewTo},
		errorTo:    destination{text: begun.ErrorTo},
		hint:       begun.Asked,
		ask:        begun.Ask,
		client:     begun.Client,
		parameters: begun.Parameters,
		prompts:    prompts,
		first:      begun.tag(r.URL.Query().Get("state")),
	})
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

// redeem signs in the account that an answer names, and reports whether it has not signed in before.
func (p *Portal) redeem(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, pending login.Pending) (done session.SignedIn, isNew bool, err error) {
	client, err := p.client(r, v, true)
	if err != nil {
		return session.SignedIn{}, false, err
	}
	since := p.now()
	granted, err := provider.Redeem(r.Context(), pending, r.URL.Query())
	if err != nil {
		return session.SignedIn{}, false, err
	}
	kept, err := p.grants.Seal(granted)
	if err != nil {
		return session.SignedIn{}, false, err
	}
	isNew = p.names.IsNew(p.logins, granted.Identity.Account)
	if err := p.claimName(r.Context(), granted.Identity); err != nil {
		return session.SignedIn{}, false, err
	}
	done, err = p.admit(w, r, v, granted.Identity, kept, client)
	if err != nil {
		return session.SignedIn{}, false, err
	}
	if err := p.endIfProviderEnded(r.Context(), granted, since, done.Entry); err != nil {
		return session.SignedIn{}, false, err
	}
	if err := p.endIfNameLost(r.Context(), done.Entry); err != nil {
		return session.SignedIn{}, false, err
	}
	return done, isNew, nil
}

// claimName makes the user name of a provider's account the account's.
func (p *Portal) claimName(ctx context.Context, id *session.Identity) error {
	err := p.names.Claim(ctx, p.logins, id)
	if errors.Is(err, login.ErrNameTaken) {
		return fmt.Errorf("%w: %w", errNameOfOther, err)
	}
	return err
}

// endIfNameLost ends a new session if an administrator has released its user name while it was being
// made, when it could not be found yet, and the name is somebody else's now.
func (p *Portal) endIfNameLost(ctx context.Context, entry session.Entry) error {
	err := p.claimName(ctx, entry.Identity)
	if err == nil {
		return nil
	}
	_, endErr := p.manager.End(ctx, session.Selection{Session: entry.ID}, nil)
	return errors.Join(err, endErr)
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

// bringsSameAccount reports whether people who wanted another account got one that the browser had
// already.
func (a providerResult) bringsSameAccount() bool {
	return a.Ask != login.AskNothing && a.Asked == "" && len(a.Replaced) > 0
}

// differsFromHint reports whether another account signed in than the one that was asked for.
func (a providerResult) differsFromHint() bool {
	id := a.Entry.Identity
	return a.Asked != "" && !strings.EqualFold(a.Asked, id.Email) && !strings.EqualFold(a.Asked, id.UserName) && a.Asked != id.Account.Subject
}
