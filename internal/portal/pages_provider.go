package portal

import (
	"errors"
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
	if form.Get("sign_out") == "1" {
		p.followHop(w, v, p.leaveProvider(r, v, provider, to))
		return nil
	}
	return p.sendToProvider(w, r, v, provider, providerSignIn{to: to, hint: form.Get(paramLoginHint), ask: toAsk(form.Get("ask"))})
}

// toAsk translates the field of a form.
func toAsk(field string) login.Ask {
	switch field {
	case page.AskAccount:
		return login.AskAccount
	case page.AskLogin:
		return login.AskLogin
	}
	return login.AskNothing
}

func (p *Portal) sendToProvider(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, d providerSignIn) error {
	d.hint = fillIn(d.hint)
	location, err := p.startProviderSignIn(w, r, v, provider, d)
	if err != nil {
		p.signInFailed(w, r, v, d.to, d.hint, err)
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

// mayFollowLink reports whether a link to a provider sends the browser there at once. Without that,
// the sign-in page asks for a click.
//
// A sign-in makes its account the active one. A browser without accounts loses nothing by that, so
// any link will do, as with any address of an app that needs a sign-in (OpenID Connect Core 1.0,
// section 4, has third parties start sign-ins so). A browser with accounts follows links of this site
// and of trusted origins, bookmarks and what people type, but not those of other sites: they could
// change who is active, in a browser whose provider asks nothing. Without Fetch Metadata nobody knows
// where a link comes from.
//
// The way back from a provider counts as another site's. So a sign-in that leads to such a link ends
// on the sign-in page, and not in a loop.
func (p *Portal) mayFollowLink(r *http.Request, v Visitor) bool {
	if !navigation(r) {
		return false
	}
	if len(v.Visit.Entries()) == 0 {
		return true
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		return false
	}
	from, err := source(r.Header, v.Origin())
	return err == nil && p.trusted[from]
}

// callbackPage is where a provider sends the browser back to.
func (p *Portal) callbackPage(provider login.Provider) handler {
	return func(w http.ResponseWriter, r *http.Request, v Visitor) error {
		result, err := p.finishProviderSignIn(w, r, v, provider)
		if err != nil {
			p.callbackFailed(w, r, v, provider, result, err)
			return nil
		}
		if result.retry != "" {
			redirect(w, result.retry)
			return nil
		}
		p.noteSignIn(r, v, result)
		// All addresses were checked when the sign-in began, and the flow is sealed.
		to := destination{text: result.ReturnTo, tooLong: result.TooLong}
		if result.isNew && result.NewTo != "" {
			to.text = result.NewTo
		}
		if result.differsFromHint() {
			redirect(w, p.address("/accounts", to, url.Values{paramOther: {"1"}}))
			return nil
		}
		if !result.Client && result.bringsSameAccount() {
			params := url.Values{}
			if result.Pending.Prompt == promptLogin {
				params.Set(paramTried, "1")
			}
			redirect(w, p.address("/same-account", to, params))
			return nil
		}
		if to.tooLong {
			redirect(w, p.address("/accounts", to, nil)) // which says so
			return nil
		}
		redirect(w, to.location())
		return nil
	}
}

// answerFields are the fields of an authorization response (RFC 6749, section 4.1.2; RFC 9207).
var answerFields = []string{"code", "state", "iss", "error", "error_description"}

// maxAnswer bounds a posted answer, in bytes, so that it is still valid as an address.
const maxAnswer = 8 << 10

// callbackForm is where a form on a provider's page posts the answer to (OAuth 2.0 Form Post Response
// Mode). Browsers withhold the flow's cookie from such a form, because it comes from another site. So
// the answer goes on to the same path by GET, with the cookie. Only that checks the state and does
// anything: this changes nothing, whoever sends it.
func (p *Portal) callbackForm(w http.ResponseWriter, r *http.Request, _ Visitor) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	answer := url.Values{}
	for _, name := range answerFields {
		if form.Has(name) {
			answer.Set(name, form.Get(name))
		}
	}
	query := answer.Encode()
	if len(query) > maxAnswer {
		return errTooLarge
	}
	redirect(w, r.URL.Path+"?"+query)
	return nil
}

// promptLogin is the prompt by which a provider has people sign in again (OpenID Connect Core 1.0,
// section 3.1.2.1).
const promptLogin = "login"

// sameAccountPage tells people who wanted to add an account that their provider answered with one
// that is signed in already, which is the active one now. It offers to be somebody else.
func (p *Portal) sameAccountPage(w http.ResponseWriter, r *http.Request, v Visitor) error {
	query := r.URL.Query()
	to, err := p.returning(v, query)
	if err != nil {
		return err
	}
	active, ok := v.headedFor(to).Visit.Active()
	if !ok {
		redirect(w, p.address("/accounts", to, nil))
		return nil
	}
	provider, ok := p.logins.Provider(active.Identity.Account.Method)
	if !ok {
		redirect(w, p.address("/accounts", to, nil))
		return nil
	}
	view := page.SameAccount{
		Frame:    p.frame(v, to),
		ReturnTo: to.text,
		Account:  p.account(active),
		Method:   provider.ID(),
		Label:    provider.Label(),
		Tried:    query.Get(paramTried) == "1",
	}
	view.Account.Active = false // there is one account only
	if initiator, ok := provider.(login.LogoutInitiator); ok {
		_, view.CanLeave = initiator.EndSession(login.Tokens{}, "", "")
	}
	page.WriteSameAccount(w, http.StatusOK, view)
	return nil
}

// callbackFailed reports an error to an API client at its error address, and to people by a page that
// can start the same sign-in again.
func (p *Portal) callbackFailed(w http.ResponseWriter, r *http.Request, v Visitor, provider login.Provider, result providerResult, err error) {
	told, known := disclose(err)
	if !known {
		p.logFailure(r, v, err)
	}
	if result.ErrorTo != "" {
		redirect(w, withError(result.ErrorTo, strings.ToLower(told.code), err))
		return
	}
	retryLater(w, told)
	view := p.failure(v, told)
	view.Retry = &page.ProviderStart{Method: provider.ID(), LoginHint: result.Asked, ReturnTo: result.ReturnTo}
	if told == errNotAllowed || told == errNameOfOther {
		// The provider would answer with the same account again.
		view.Retry.Ask, view.Retry.LoginHint = page.AskAccount, ""
	}
	view.OtherWays = len(p.logins.All()) > 1
	page.WriteFailure(w, view)
}

// withError adds an error to an address, before its fragment: its code, and the provider's description
// where the provider gave one. That came through the browser, so pages must show it as text, if at all.
func withError(address, code string, err error) string {
	params := url.Values{"error": {code}}
	var denied *login.DeniedError
	if errors.As(err, &denied) && denied.Description != "" {
		params.Set("error_description", denied.Description)
	}
	address, fragment, hasFragment := strings.Cut(address, "#")
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	address += separator + params.Encode()
	if hasFragment {
		address += "#" + fragment
	}
	return address
}

// signedOutPage is where a provider sends the browser back to after signing an account out. It goes on
// with the next provider. Where several are left that do not send browsers back, it is a page with a
// link to each.
func (p *Portal) signedOutPage(w http.ResponseWriter, r *http.Request, v Visitor) error {
	left, err := p.signOutsLeft(r, r.URL.Query().Get("state"))
	if err != nil {
		return err
	}
	if final := p.finalSignOuts(left); len(final) > 1 {
		page.WriteSignedOut(w, http.StatusOK, page.SignedOut{Frame: p.frame(v, destination{}), SignOuts: final, Next: left.To})
		return nil
	}
	redirect(w, p.nextSignOut(r, v, left).location)
	return nil
}
