package portal

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Query parameters of the pages.
const (
	paramReturnTo  = "return_to"
	paramTooLong   = "too_long" // "1": say that the return address was too long to be kept
	paramLoginHint = "login_hint"
	paramSignedOut = "signed_out" // "1": say that it happened. Pages never show text from an address
	paramOther     = "other"      // "1": say that another account than the requested one has signed in
	paramProvider  = "provider"   // id of the provider to go to, without choosing it on the sign-in page
	paramTried     = "tried"      // "1": the provider was asked to have people sign in again
)

// readForm reads a page's form and the destination that it leads to.
func (p *Portal) readForm(w http.ResponseWriter, r *http.Request, v Visitor) (url.Values, destination, error) {
	form, err := readForm(w, r)
	if err != nil {
		return nil, destination{}, err
	}
	to, err := p.returning(v, form)
	return form, to, err
}

// returning returns the destination of a page's query or form.
func (p *Portal) returning(v Visitor, values url.Values) (destination, error) {
	text := values.Get(paramReturnTo)
	if len(text) > maxReturnTo {
		return destination{tooLong: true}, nil
	}
	to, ok := p.destination(v, text)
	to.tooLong = values.Get(paramTooLong) == "1"
	if !ok {
		return destination{}, errReturnTo
	}
	return to, nil
}

func (p *Portal) home(w http.ResponseWriter, _ *http.Request, _ Visitor) error {
	redirect(w, p.prefix+"/accounts")
	return nil
}

// address returns the address of a portal page that leads to a destination afterwards.
func (p *Portal) address(path string, to destination, params url.Values) string {
	if params == nil {
		params = url.Values{}
	}
	if to.text != "" {
		params.Set(paramReturnTo, to.text)
	}
	if to.tooLong {
		params.Set(paramTooLong, "1")
	}
	if len(params) == 0 {
		return p.prefix + path
	}
	return p.prefix + path + "?" + params.Encode()
}

func (p *Portal) signInPage(w http.ResponseWriter, r *http.Request, v Visitor) error {
	query := r.URL.Query()
	to, err := p.returning(v, query)
	if err != nil {
		return err
	}
	v = v.headedFor(to)
	chosen, mayGo := p.onlyProvider(v)
	if id := query.Get(paramProvider); id != "" {
		if chosen, mayGo = p.logins.Provider(id); !mayGo {
			return errProviderNotFound
		}
		mayGo = p.mayFollowLink(r, v)
	}
	if mayGo && query.Get(paramSignedOut) == "" {
		return p.sendToProvider(w, r, v, chosen, providerSignIn{to: to, hint: query.Get(paramLoginHint)})
	}
	view := p.signInView(v, to, query.Get(paramLoginHint))
	if chosen != nil {
		view.Preferred = chosen.ID()
	}
	if query.Get(paramSignedOut) == "1" {
		view.Notice = "You are signed out."
	}
	view.Problem = p.doubtful(r, v)
	page.WriteSignIn(w, http.StatusOK, view)
	return nil
}

func (p *Portal) signInView(v Visitor, to destination, identifier string) page.SignIn {
	_, password := p.logins.Password()
	_, _, signUp := p.logins.Registrar()
	view := page.SignIn{
		Frame:        p.frame(v, to),
		ReturnTo:     to.text,
		Identifier:   fillIn(identifier),
		LoginHint:    fillIn(identifier),
		Password:     password,
		Providers:    p.providers(),
		SignUp:       signUp,
		AccountCount: len(v.Visit.Entries()),
	}
	if lapsed, ok := v.Visit.Lapsed(); ok {
		again := p.account(lapsed)
		view.Lapsed = &again
		if _, ok := p.logins.Provider(lapsed.Identity.Account.Method); ok {
			view.LapsedMethod = lapsed.Identity.Account.Method
		}
		if view.LoginHint == "" {
			view.LoginHint = hintOf(lapsed.Identity)
			view.Identifier = view.LoginHint
		}
	}
	return view
}

// fillIn returns text that may be filled into the identifier's field: the trimmed text if it can be
// an identifier, else nothing.
func fillIn(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > session.MaxEmailBytes || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return ""
	}
	return text
}

func (p *Portal) signInForm(w http.ResponseWriter, r *http.Request, v Visitor) error {
	form, to, err := p.readForm(w, r, v)
	if err != nil {
		return err
	}
	v = v.headedFor(to)
	if form.Has("method") {
		return p.startProviderForm(w, r, v, form, to)
	}
	typed := strings.TrimSpace(form.Get("identifier"))
	_, err = p.signIn(w, r, v, credentials{identifier: identify(typed), password: form.Get("password"), remember: true})
	if err != nil {
		p.signInFailed(w, r, v, to, typed, err)
		return nil
	}
	redirect(w, to.location())
	return nil
}

// signInFailed shows the sign-in page again, with everything that was typed except the password.
func (p *Portal) signInFailed(w http.ResponseWriter, r *http.Request, v Visitor, to destination, typed string, err error) {
	told, known := disclose(err)
	if !known {
		p.logFailure(r, v, err)
	}
	retryLater(w, told)
	view := p.signInView(v, to, typed)
	message, status := signInProblem(told)
	view.Problem = message
	page.WriteSignIn(w, status, view)
}

// identify interprets the form's one field: text with an at sign is an e-mail address, all else a
// user name.
func identify(typed string) login.Identifier {
	if strings.Contains(typed, "@") {
		return login.Identifier{Email: typed}
	}
	return login.Identifier{UserName: typed}
}

// signInProblem returns what the sign-in page says, and its status. An identifier that nobody can
// have gets the same answer as one that nobody has, so that people who mistype look at both fields.
func signInProblem(told *problem) (message string, status int) {
	switch told {
	case errWrongEmail, errWrongUsername, errInvalidEmail, errInvalidUsername, errUsernameTooShort, errUsernameTooLong:
		return "Name and password do not match. Check both and try again.", http.StatusUnauthorized
	case errPasswordTooLong:
		return "The password is too long.", told.status
	}
	return told.explain(), told.status
}

func (p *Portal) accountsPage(w http.ResponseWriter, r *http.Request, v Visitor) error {
	query := r.URL.Query()
	to, err := p.returning(v, query)
	if err != nil {
		return err
	}
	v = v.headedFor(to)
	view := p.accountsView(v, to)
	if query.Get(paramSignedOut) == "1" {
		view.Notice = "The account is signed out."
	}
	if query.Get(paramOther) == "1" {
		view.Notice = "You signed in with another account than the requested one. It was added and is active now."
	}
	page.WriteAccounts(w, http.StatusOK, view)
	return nil
}

// signOutPage asks which accounts to sign out. An app can link to it as its own sign-out, because to
// open it changes nothing. A browser without accounts goes to the sign-in page.
func (p *Portal) signOutPage(w http.ResponseWriter, r *http.Request, v Visitor) error {
	to, err := p.returning(v, r.URL.Query())
	if err != nil {
		p.fail(w, r, v, true, err) // the path's other method is the API's
		return nil
	}
	v = v.headedFor(to)
	view := p.accountsView(v, to)
	if len(view.Accounts) == 0 {
		redirect(w, p.address("/sign-in", to, nil))
		return nil
	}
	page.WriteSignOut(w, view)
	return nil
}

func (p *Portal) accountsView(v Visitor, to destination) page.Accounts {
	view := page.Accounts{Frame: p.frame(v, to), ReturnTo: to.text, Place: string(v.Visit.Site())}
	if v.Load.Near() {
		view.Load = &page.Load{Cookies: v.Load.Cookies, MaxCookies: v.Load.MaxCookies, Bytes: v.Load.Bytes, MaxBytes: v.Load.MaxBytes}
	}
	view.State = toWireAccounts(v.Visit).state() // unlike the sign-in page, the chooser never redirects
	entries := v.Visit.Entries()
	if !v.Visit.Confirmed() && len(entries) > 0 {
		view.Domain = v.Cookie.Domain
		if suggested, ok := v.Visit.Suggested(); ok {
			first := slices.IndexFunc(entries, func(e session.Entry) bool { return e.ID == suggested.ID })
			entries = slices.Concat(entries[first:first+1], entries[:first], entries[first+1:])
		}
	}
	for _, e := range entries {
		account := p.account(e)
		sites, elsewhere := v.Visit.Places(e)
		for _, site := range sites {
			account.Places = append(account.Places, string(site))
		}
		account.Elsewhere = elsewhere && view.Place != ""
		view.Accounts = append(view.Accounts, account)
	}
	return view
}

// accountsForm performs the action of one of the chooser's buttons.
func (p *Portal) accountsForm(w http.ResponseWriter, r *http.Request, v Visitor) error {
	form, to, err := p.readForm(w, r, v)
	if err != nil {
		return err
	}
	v = v.headedFor(to)
	next, err := p.accountsAction(w, r, v, form.Get("action"), form.Get("session"), to)
	if errors.Is(err, session.ErrUnknownHandle) {
		// The page is out of date: the session has ended, or another tab signed it out.
		view := p.accountsView(v, to)
		view.Problem = "That account is not signed in any more."
		page.WriteAccounts(w, http.StatusConflict, view)
		return nil
	}
	if err != nil {
		return err
	}
	p.followHop(w, v, next)
	return nil
}

// accountsAction performs an action and returns where the browser goes next.
func (p *Portal) accountsAction(w http.ResponseWriter, r *http.Request, v Visitor, action, handle string, to destination) (nextHop, error) {
	signedOut := url.Values{paramSignedOut: {"1"}}
	switch action {
	case "switch":
		_, err := p.switchTo(w, r, v, handle)
		return nextHop{location: to.location()}, err
	case "sign-out", "remove":
		done, err := p.revoke(w, r, v, handle)
		if err != nil {
			return nextHop{}, err
		}
		path := "/accounts"
		if done.Empty {
			path = "/sign-in"
		}
		then := p.address(path, to, signedOut)
		if action == "remove" {
			return nextHop{location: then}, nil
		}
		return p.signOutElsewhere(r, v, []session.Session{done.Ended}, then), nil
	case "sign-out-all":
		ended, err := p.signOut(w, r, v)
		if err != nil {
			return nextHop{}, err
		}
		return p.signOutElsewhere(r, v, ended, p.address("/sign-in", to, signedOut)), nil
	}
	return nextHop{}, errBadForm
}

// explain fills in what a form's page says about an error, and the field that it is about, if any.
// It returns the page's status.
func (p *Portal) explain(w http.ResponseWriter, r *http.Request, v Visitor, err error, says, field *string) (status int) {
	told, known := disclose(err)
	if !known {
		p.logFailure(r, v, err)
	}
	retryLater(w, told)
	*says, *field = told.explain(), fieldOf(err, told)
	return told.status
}

// fieldOf returns the field of the sign-up page that a problem is about, or an empty string. The
// account page has the same names, except for the password's.
func fieldOf(err error, told *problem) string {
	if field, ok := invalidFieldOf(err); ok {
		return field
	}
	switch told.code {
	case errUsernameTooShort.code, errUsernameTooLong.code, errInvalidUsername.code, errNameTaken.code:
		return "username"
	case errEmailTaken.code:
		return "email"
	case errPasswordTooShort.code, errPasswordTooLong.code, errPasswordCommon.code:
		return "password"
	case errNotInvited.code:
		return "invitation"
	}
	return ""
}
