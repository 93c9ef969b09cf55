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

// departure is a wish to sign in at a provider, as it came through one of the doors.
type departure struct {
	to         destination       // afterwards
	errorTo    destination       // where a client of the API wants errors
	hint       string            // the account that is asked for, or empty
	scopes     []string          // further ones
	parameters map[string]string // further ones, of the authorization request
}

// depart returns where to send the browser to sign in at the provider, and gives it what to come back
// with.
func (p *Portal) depart(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, d departure) (location string, err error) {
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
			ReturnTo: fromElsewhere(v, redirectURI, d.to),
			ErrorTo:  fromElsewhere(v, redirectURI, d.errorTo),
			Asked:    d.hint,
		})
	}
	if err != nil {
		p.audit.providerFailed(r, v, provider.ID(), err)
		return "", err
	}
	return location, nil
}

// fromElsewhere is a destination as it is reached from where the provider sends the browser back to,
// which may be another host of the cookie's domain.
func fromElsewhere(v Visitor, redirectURI string, to destination) string {
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

// arrival is what a provider's answer came to.
type arrival struct {
	flow
	session.Entry
}

// arrive signs in whom a provider's answer is about, in addition to the accounts that the browser has.
// With an error the arrival has at most the flow.
func (p *Portal) arrive(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider) (arrival, error) {
	begun, err := p.answered(w, r, v, provider)
	if err != nil {
		p.audit.providerFailed(r, v, provider.ID(), err)
		return arrival{}, err
	}
	// The provider sends the browser back to its redirect URI, which may be at another host.
	entry, err := p.redeem(w, r, v.at(begun.Site), provider, begun.Pending)
	if err != nil {
		p.audit.providerFailed(r, v, provider.ID(), err)
		return arrival{flow: begun}, err
	}
	return arrival{begun, entry}, nil
}

// answered returns the flow that an answer is for. A state is only good at the callback of the provider
// that it was made for: what one provider answers is nothing to another (RFC 9700, section 4.4).
func (p *Portal) answered(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider) (flow, error) {
	states := r.URL.Query()["state"]
	if len(states) != 1 || states[0] == "" {
		return flow{}, noFlow("state", nil)
	}
	begun, err := p.flows.resume(w, r, v, states[0])
	if err != nil {
		return flow{}, err
	}
	if begun.Method != provider.ID() {
		return flow{}, noFlow("mix-up", nil)
	}
	return begun, nil
}

func (p *Portal) redeem(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, pending login.Pending) (session.Entry, error) {
	since := p.now()
	granted, err := provider.Redeem(r.Context(), pending, r.URL.Query())
	if err != nil {
		return session.Entry{}, err
	}
	kept, err := p.grants.Seal(granted)
	if err != nil {
		return session.Entry{}, err
	}
	if err := p.names.Claim(r.Context(), p.logins, granted.Identity); errors.Is(err, login.ErrNameTaken) {
		return session.Entry{}, fmt.Errorf("%w: %w", errNameOfOther, err)
	} else if err != nil {
		return session.Entry{}, err
	}
	entry, err := p.admit(w, r, v, granted.Identity, kept, true)
	if err != nil {
		return session.Entry{}, err
	}
	if err := p.endIfOver(r.Context(), granted, since, entry); err != nil {
		return session.Entry{}, err
	}
	return entry, nil
}

// endIfOver ends a session that the provider has ended while it was being made, so that it was not
// there to be found yet.
func (p *Portal) endIfOver(ctx context.Context, granted *login.Granted, since time.Time, entry session.Entry) error {
	over, err := p.over(ctx, granted, since)
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

// other reports whether somebody else has signed in than was asked for.
func (a arrival) other() bool {
	id := a.Identity
	return a.Asked != "" && !strings.EqualFold(a.Asked, id.Email) && !strings.EqualFold(a.Asked, id.UserName) && a.Asked != id.Account.Subject
}
