package portal

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// departForm answers a button of the sign-in page with a page that sends the browser on. A redirect
// would be held to the page's form-action by browsers, with all that the provider redirects to by
// itself, and nobody knows those origins.
func (p *Portal) departForm(w http.ResponseWriter, r *http.Request, v Visitor, form url.Values, to destination) error {
	provider, ok := p.logins.Provider(form.Get("method"))
	if !ok {
		return errBadForm
	}
	return p.departTo(w, r, v, provider, to, form.Get(paramLoginHint))
}

func (p *Portal) departTo(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, to destination, hint string) error {
	location, err := p.depart(w, r, v, provider, departure{to: to, hint: fillIn(hint)})
	if err != nil {
		p.signInFailed(w, r, v, to, hint, err)
		return nil
	}
	p.onward(w, v, page.Onward{Location: location, Label: provider.Label()})
	return nil
}

// providers are the buttons of the sign-in page.
func (p *Portal) providers() []page.Provider {
	all := p.logins.Providers()
	views := make([]page.Provider, len(all))
	for i, provider := range all {
		views[i] = page.Provider{
			ID:          provider.ID(),
			Label:       provider.Label(),
			Initial:     page.Initials(provider.Label()),
			Unavailable: !provider.Available(),
		}
	}
	return views
}

// hintOf is what a provider knows an account by that is to sign in again.
func hintOf(id *session.Identity) string {
	if id.Email != "" {
		return id.Email
	}
	return id.UserName
}

// onward sends the browser to a provider.
func (p *Portal) onward(w http.ResponseWriter, v Visitor, view page.Onward) {
	view.Frame = p.frame(v, destination{})
	page.WriteOnward(w, http.StatusOK, view)
}

// goOn leads the browser on after accounts were signed out.
func (p *Portal) goOn(w http.ResponseWriter, v Visitor, next onwardTo) {
	if next.label == "" {
		redirect(w, next.location)
		return
	}
	p.onward(w, v, page.Onward{Location: next.location, Label: next.label, SigningOut: true})
}

// straight returns the provider that the sign-in page is left out for: the only way to sign in, for a
// browser that has no account to choose.
func (p *Portal) straight(v Visitor) (login.Provider, bool) {
	providers := p.logins.Providers()
	if !p.skipSignInPage || len(p.logins.All()) != 1 || len(providers) != 1 || len(v.Visit.Entries()) > 0 {
		return nil, false
	}
	return providers[0], true
}

// callbackPage is where a provider sends the browser back to.
func (p *Portal) callbackPage(provider login.Provider) handler {
	return func(w http.ResponseWriter, r *http.Request, v Visitor) error {
		arrived, err := p.arrive(w, r, v, provider)
		if err != nil {
			p.arrivalFailed(w, r, v, arrived, err)
			return nil
		}
		// Both were found to be sound when the sign-in began, and nobody can have changed them since.
		to := destination{text: arrived.ReturnTo}
		if arrived.other() {
			redirect(w, p.address("/accounts", to, url.Values{paramOther: {"1"}}))
			return nil
		}
		redirect(w, to.location())
		return nil
	}
}

// arrivalFailed tells a client of the API by its address for errors, and people by a page.
func (p *Portal) arrivalFailed(w http.ResponseWriter, r *http.Request, v Visitor, arrived arrival, err error) {
	told, known := disclose(err)
	if !known {
		p.logFailure(r, v, err)
	}
	if arrived.ErrorTo != "" {
		redirect(w, withError(arrived.ErrorTo, strings.ToLower(told.code)))
		return
	}
	retryLater(w, told)
	view := p.failure(v, told)
	view.Retry = p.address("/sign-in", destination{text: arrived.ReturnTo}, nil)
	page.WriteFailure(w, view)
}

// withError adds the code of an error to an address, before its fragment.
func withError(address, code string) string {
	address, fragment, hasFragment := strings.Cut(address, "#")
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	address += separator + url.Values{"error": {code}}.Encode()
	if hasFragment {
		address += "#" + fragment
	}
	return address
}

// signedOutPage is where a provider sends the browser back to that it has signed an account out of.
func (p *Portal) signedOutPage(w http.ResponseWriter, r *http.Request, v Visitor) error {
	next, err := p.signedOutElsewhere(r, v, r.URL.Query().Get("state"))
	if err != nil {
		return err
	}
	redirect(w, next.location)
	return nil
}
