package portal

import (
	"net/http"
	"net/url"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// health answers that the gateway serves requests. Monitors call it, over plain HTTP too.
func (p *Portal) health(w http.ResponseWriter, _ *http.Request, _ Visitor) error {
	return writeJSON(w, http.StatusOK, wireHealth{OK: true})
}

// getSession answers with the active session, or null where nobody is active.
func (p *Portal) getSession(w http.ResponseWriter, _ *http.Request, v Visitor) error {
	active, ok := v.Visit.Active()
	if !ok {
		return writeJSON(w, http.StatusOK, nil)
	}
	v.Visit.Used(active)
	return writeJSON(w, http.StatusOK, toWire(active))
}

func (p *Portal) listDeviceSessions(w http.ResponseWriter, _ *http.Request, v Visitor) error {
	entries := v.Visit.Entries()
	list := make([]wireEntry, len(entries)) // never nil: an empty list must be [] and not null
	for i, e := range entries {
		list[i] = toWire(e)
	}
	return writeJSON(w, http.StatusOK, list)
}

func (p *Portal) signInEmail(w http.ResponseWriter, r *http.Request, v Visitor) error {
	return p.signInAPI(w, r, v, "email", errInvalidEmail, func(text string) login.Identifier {
		return login.Identifier{Email: text}
	})
}

func (p *Portal) signInUsername(w http.ResponseWriter, r *http.Request, v Visitor) error {
	return p.signInAPI(w, r, v, "username", errWrongUsername, func(text string) login.Identifier {
		return login.Identifier{UserName: text}
	})
}

func (p *Portal) signInAPI(w http.ResponseWriter, r *http.Request, v Visitor, member string, empty *problem, identify func(string) login.Identifier) error {
	body, err := readObject(w, r)
	if err != nil {
		return err
	}
	identifier := body.text(member)
	c := credentials{
		identifier: identify(identifier),
		password:   body.text("password"),
	}
	callbackURL := body.optionalText("callbackURL")
	c.remember = body.optionalBool("rememberMe", true)
	if err := body.err(); err != nil {
		return err
	}
	to, ok := p.callback(v, callbackURL)
	if !ok {
		return errCallbackURL
	}
	if identifier == "" {
		return empty
	}
	entry, err := p.signIn(w, r, v, c)
	if err != nil {
		return err
	}
	answer := wireSignedIn{Redirect: to.text != "", URL: to.text, Token: entry.Handle, User: toWire(entry).User}
	if answer.Redirect {
		// The status stays 200, because the client follows Location by itself.
		w.Header().Set("Location", to.text)
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (p *Portal) signUpAPI(w http.ResponseWriter, r *http.Request, v Visitor) error {
	body, err := readObject(w, r)
	if err != nil {
		return err
	}
	registration := login.Registration{
		Name:     body.text("name"),
		Email:    body.text("email"),
		Password: body.text("password"),
		Picture:  body.optionalText("image"),
	}
	userName := body.maybeText("username")
	registration.DisplayUserName = body.optionalText("displayUsername")
	callbackURL := body.optionalText("callbackURL")
	remember := body.optionalBool("rememberMe", true)
	registration.Invitation = body.optionalText("invitationCode")
	if err := body.err(); err != nil {
		return err
	}
	if _, ok := p.callback(v, callbackURL); !ok {
		return errCallbackURL
	}
	switch {
	case userName == nil && checkUserName(registration.DisplayUserName, login.MinUserName, login.MaxUserName) == nil:
		registration.UserName = registration.DisplayUserName
	case userName == nil: // the login method makes one from the e-mail address
	case *userName == "":
		return problemWithChosenName(errUsernameTooShort)
	default:
		registration.UserName = *userName
	}
	entry, err := p.signUp(w, r, v, registration, remember)
	if err != nil {
		return problemWithChosenName(err)
	}
	return writeJSON(w, http.StatusOK, wireToken{Token: &entry.Handle, User: toWire(entry).User})
}

// isUsernameAvailable answers people who look for a user name to sign up with.
func (p *Portal) isUsernameAvailable(w http.ResponseWriter, r *http.Request, v Visitor) error {
	method, _, open := p.logins.Registrar()
	if !open {
		return errNotFound
	}
	body, err := readObject(w, r)
	if err != nil {
		return err
	}
	name := body.text("username")
	if err := body.err(); err != nil {
		return err
	}
	if name == "" {
		return errInvalidUsername
	}
	if err := checkUserName(name, login.MinUserName, login.MaxUserName); err != nil {
		return err
	}
	free, err := method.IsFree(r.Context(), name, v.ClientIP)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, wireAvailable{Available: free})
}

func (p *Portal) signOutAPI(w http.ResponseWriter, r *http.Request, v Visitor) error {
	body, err := readOptionalObject(w, r)
	if err != nil {
		return err
	}
	callbackURL := body.optionalText("callbackURL")
	stay := body.optionalBool("disableRedirect", false)
	if err := body.err(); err != nil {
		return err
	}
	to, ok := p.callback(v, callbackURL)
	if !ok {
		return errCallbackURL
	}
	ended, err := p.signOut(w, r, v)
	if err != nil {
		return err
	}
	then := to.text
	if then == "" {
		then = p.address("/sign-in", destination{}, url.Values{paramSignedOut: {"1"}})
	}
	answer := wireSignedOut{Success: true}
	if next := p.signOutElsewhere(r, v, ended, then); next.location != then {
		follow := !stay
		answer.URL, answer.Redirect = next.location, &follow
		if follow {
			w.Header().Set("Location", next.location)
		}
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (p *Portal) setActiveAPI(w http.ResponseWriter, r *http.Request, v Visitor) error {
	handle, err := readSessionToken(w, r)
	if err != nil {
		return err
	}
	if !v.Visit.Confirmed() {
		return errUnconfirmed // a script may choose; only a click on the portal's page confirms
	}
	entry, err := p.switchTo(w, r, v, handle)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toWire(entry))
}

func (p *Portal) revokeAPI(w http.ResponseWriter, r *http.Request, v Visitor) error {
	handle, err := readSessionToken(w, r)
	if err != nil {
		return err
	}
	if _, ok := v.Visit.Active(); !ok {
		return noActive(v)
	}
	if _, err := p.revoke(w, r, v, handle); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, wireStatus{Status: true})
}

// readSessionToken reads the handle of the session that a request is about.
func readSessionToken(w http.ResponseWriter, r *http.Request) (handle string, err error) {
	body, err := readObject(w, r)
	if err != nil {
		return "", err
	}
	handle = body.text("sessionToken")
	return handle, body.err()
}
