package portal

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Parameters of the pages' addresses.
const (
	paramReturnTo  = "return_to"
	paramLoginHint = "login_hint"
	paramSignedOut = "signed_out" // "1": say that it happened. What is said is never taken from an address
)

// readForm reads what a page's form sends, and where it leads afterwards.
func (p *Portal) readForm(w http.ResponseWriter, r *http.Request, v Visitor) (url.Values, destination, error) {
	form, err := readForm(w, r)
	if err != nil {
		return nil, destination{}, err
	}
	to, err := p.returning(v, form)
	return form, to, err
}

// returning is where an address or a form of a page leads afterwards.
func (p *Portal) returning(v Visitor, values url.Values) (destination, error) {
	to, ok := p.destination(v, values.Get(paramReturnTo))
	if !ok {
		return destination{}, errReturnTo
	}
	return to, nil
}

func (p *Portal) home(w http.ResponseWriter, _ *http.Request, _ Visitor) error {
	redirect(w, p.prefix+"/accounts")
	return nil
}

// address is a page of the portal that leads to a destination afterwards.
func (p *Portal) address(path string, to destination, params url.Values) string {
	if params == nil {
		params = url.Values{}
	}
	if to.text != "" {
		params.Set(paramReturnTo, to.text)
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
	view := p.signInView(v, to, query.Get(paramLoginHint))
	if query.Get(paramSignedOut) == "1" {
		view.Notice = "You are signed out."
	}
	page.WriteSignIn(w, http.StatusOK, view)
	return nil
}

func (p *Portal) signInView(v Visitor, to destination, identifier string) page.SignIn {
	_, password := p.logins.Password()
	_, _, signUp := p.logins.Registrar()
	return page.SignIn{
		Frame:      p.frame(v, to),
		ReturnTo:   to.text,
		Identifier: fillIn(identifier),
		Password:   password,
		SignUp:     signUp,
		Signed:     len(v.Visit.Entries()),
	}
}

// fillIn is text that the identifier's field may be filled with: what could be an identifier.
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
	typed := strings.TrimSpace(form.Get("identifier"))
	_, err = p.signIn(w, r, v, credentials{identifier: identify(typed), password: form.Get("password"), remember: true})
	if err == nil {
		redirect(w, to.location())
		return nil
	}
	told, known := disclose(err)
	if !known {
		p.logFailure(r, v, err)
	}
	retryLater(w, told)
	view := p.signInView(v, to, typed)
	message, status := signInProblem(told)
	view.Problem = message
	page.WriteSignIn(w, status, view)
	return nil
}

// identify reads the form's one field for both: what has an at sign is an e-mail address.
func identify(typed string) login.Identifier {
	if strings.Contains(typed, "@") {
		return login.Identifier{Email: typed}
	}
	return login.Identifier{UserName: typed}
}

// signInProblem is what the sign-in page says, and its status. That an identifier could be nobody's
// is the same there as that it is nobody's: who mistyped is told to look at both fields.
func signInProblem(told *problem) (message string, status int) {
	switch told {
	case errWrongEmail, errWrongUsername, errInvalidEmail, errInvalidUsername, errUsernameTooShort, errUsernameTooLong:
		return "Name and password do not belong together. Check both and try again.", http.StatusUnauthorized
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
	view := p.accountsView(v, to)
	if query.Get(paramSignedOut) == "1" {
		view.Notice = "The account is signed out."
	}
	page.WriteAccounts(w, http.StatusOK, view)
	return nil
}

func (p *Portal) accountsView(v Visitor, to destination) page.Accounts {
	return page.Accounts{Frame: p.frame(v, to), ReturnTo: to.text, Accounts: p.accounts(v.Visit.Entries())}
}

// accountsForm does what one of the chooser's buttons says.
func (p *Portal) accountsForm(w http.ResponseWriter, r *http.Request, v Visitor) error {
	form, to, err := p.readForm(w, r, v)
	if err != nil {
		return err
	}
	location, err := p.accountsAction(w, r, v, form.Get("action"), form.Get("session"), to)
	if errors.Is(err, session.ErrUnknownHandle) {
		// The page is older than what has happened since, in another tab or by time.
		view := p.accountsView(v, to)
		view.Problem = "That account is not signed in any more."
		page.WriteAccounts(w, http.StatusConflict, view)
		return nil
	}
	if err != nil {
		return err
	}
	redirect(w, location)
	return nil
}

// accountsAction returns where to go on.
func (p *Portal) accountsAction(w http.ResponseWriter, r *http.Request, v Visitor, action, handle string, to destination) (location string, err error) {
	signedOut := url.Values{paramSignedOut: {"1"}}
	switch action {
	case "switch":
		_, err = p.switchTo(r, v, handle)
		return to.location(), err
	case "sign-out":
		last, err := p.revoke(w, r, v, handle)
		if last {
			return p.address("/sign-in", to, signedOut), err
		}
		return p.address("/accounts", to, signedOut), err
	case "sign-out-all":
		return p.address("/sign-in", to, signedOut), p.signOut(w, r, v)
	}
	return "", errBadForm
}

// explain is what a page of a form says about an error, beside which field where it is about one, and
// the page's status.
func (p *Portal) explain(w http.ResponseWriter, r *http.Request, v Visitor, err error, says, field *string) (status int) {
	told, known := disclose(err)
	if !known {
		p.logFailure(r, v, err)
	}
	retryLater(w, told)
	*says, *field = told.explain(), fieldOf(err, told)
	return told.status
}

// fieldOf is the field of the sign-up page that a problem is about, or none. The account page has the
// same names but for the password's.
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
