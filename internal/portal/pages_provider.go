package portal

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// startProviderForm answers a provider's button on the sign-in page with a redirect page. Browsers
// would apply the sign-in page's form-action to a 303 and to all redirects that follow it, and the
// provider's own redirects are unknown.
func (p *Portal) startProviderForm(w http.ResponseWriter, r *http.Request, v Visitor, form url.Values, to destination) error {
	provider, ok := p.logins.Provider(form.Get("method"))
	if !ok {
		return errBadForm
	}
	return p.sendToProvider(w, r, v, provider, to, form.Get(paramLoginHint))
}

func (p *Portal) sendToProvider(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, to destination, hint string) error {
	location, err := p.startProviderSignIn(w, r, v, provider, providerSignIn{to: to, hint: fillIn(hint)})
	if err != nil {
		p.signInFailed(w, r, v, to, hint, err)
		return nil
	}
	p.redirectPage(w, v, page.Redirect{Location: location, Label: provider.Label()})
	return nil
}

// providers returns the provider buttons of the sign-in page.
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

// hintOf returns the name under which a provider knows an account that signs in again.
func hintOf(id *session.Identity) string {
	if id.Email != "" {
		return id.Email
	}
	return id.UserName
}

// redirectPage sends the browser to a provider by a page.
func (p *Portal) redirectPage(w http.ResponseWriter, v Visitor, view page.Redirect) {
	view.Frame = p.frame(v, destination{})
	page.WriteRedirect(w, http.StatusOK, view)
}

// followHop sends the browser on after accounts were signed out.
func (p *Portal) followHop(w http.ResponseWriter, v Visitor, next nextHop) {
	if next.label == "" {
		redirect(w, next.location)
		return
	}
	p.redirectPage(w, v, page.Redirect{Location: next.location, Label: next.label, SigningOut: true})
}

// onlyProvider returns the provider that the browser is sent to without a sign-in page: the only
// login method there is, for a browser that has no account to choose.
func (p *Portal) onlyProvider(v Visitor) (login.Provider, bool) {
	providers := p.logins.Providers()
	if !p.skipSignInPage || len(p.logins.All()) != 1 || len(providers) != 1 || len(v.Visit.Entries()) > 0 {
		return nil, false
	}
	return providers[0], true
}

// callbackPage is where a provider sends the browser back to.
func (p *Portal) callbackPage(provider login.Provider) handler {
	return func(w http.ResponseWriter, r *http.Request, v Visitor) error {
		result, err := p.finishProviderSignIn(w, r, v, provider)
		if err != nil {
			p.callbackFailed(w, r, v, result, err)
			return nil
		}
		p.noteSignIn(r, v, result)
		// Both addresses were checked when the sign-in began, and the flow is sealed.
		to := destination{text: result.ReturnTo}
		if result.differsFromHint() {
			redirect(w, p.address("/accounts", to, url.Values{paramOther: {"1"}}))
			return nil
		}
		redirect(w, to.location())
		return nil
	}
}

// callbackFailed reports an error to an API client at its error address, and to people by a page.
func (p *Portal) callbackFailed(w http.ResponseWriter, r *http.Request, v Visitor, result providerResult, err error) {
	told, known := disclose(err)
	if !known {
		p.logFailure(r, v, err)
	}
	if result.ErrorTo != "" {
		redirect(w, withError(result.ErrorTo, strings.ToLower(told.code)))
		return
	}
	retryLater(w, told)
	view := p.failure(v, told)
	view.Retry = p.address("/sign-in", destination{text: result.ReturnTo}, nil)
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

// signedOutPage is where a provider sends the browser back to after signing an account out.
func (p *Portal) signedOutPage(w http.ResponseWriter, r *http.Request, v Visitor) error {
	next, err := p.signedOutElsewhere(r, v, r.URL.Query().Get("state"))
	if err != nil {
		return err
	}
	redirect(w, next.location)
	return nil
}
