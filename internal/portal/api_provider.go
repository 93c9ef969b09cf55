package portal

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// signInSocial begins a sign-in at a provider for the stock client, which goes there by itself.
func (p *Portal) signInSocial(w http.ResponseWriter, r *http.Request, v Visitor) error {
	return p.departAPI(w, r, v, "provider", errProviderNotFound)
}

// signInOAuth2 is signInSocial for clients of releases before 1.7.
func (p *Portal) signInOAuth2(w http.ResponseWriter, r *http.Request, v Visitor) error {
	return p.departAPI(w, r, v, "providerId", errProviderConfigNotFound)
}

func (p *Portal) departAPI(w http.ResponseWriter, r *http.Request, v Visitor, member string, unknown *problem) error {
	body, err := readObject(w, r)
	if err != nil {
		return err
	}
	id := body.text(member)
	callbackURL := body.optionalText("callbackURL")
	errorCallbackURL := body.optionalText("errorCallbackURL")
	newUserCallbackURL := body.optionalText("newUserCallbackURL")
	stay := body.optionalBool("disableRedirect", false)
	d := departure{
		hint:       body.optionalText("loginHint"),
		scopes:     body.optionalTexts("scopes"),
		parameters: body.optionalTextMap("additionalParams"),
	}
	if err := body.err(); err != nil {
		return err
	}
	if body.has("idToken") {
		return errIDTokenNotSupported
	}
	provider, ok := p.logins.Provider(id)
	if !ok {
		return unknown
	}
	if d.to, ok = p.callback(v, callbackURL); !ok {
		return errCallbackURL
	}
	if d.errorTo, ok = p.callback(v, errorCallbackURL); !ok {
		return errErrorCallbackURL
	}
	// Nobody is new here: an account is there as soon as its provider says so.
	if _, ok = p.callback(v, newUserCallbackURL); !ok {
		return errNewUserCallbackURL
	}
	if d.hint != fillIn(d.hint) {
		return invalid([]string{"[body.loginHint] Invalid input"})
	}
	location, err := p.depart(w, r, v, provider, d)
	if err != nil {
		return err
	}
	if !stay {
		w.Header().Set("Location", location)
	}
	return writeJSON(w, http.StatusOK, wireDeparture{URL: location, Redirect: !stay})
}

// backChannelLogout hears a provider's word that sessions are over (OpenID Connect Back-Channel Logout
// 1.0, section 2.8). It comes from the provider itself and not through a browser: no cookie of the
// request counts, and neither does where it is from, only what it is signed with.
func (p *Portal) backChannelLogout(receiver login.LogoutReceiver) handler {
	return func(w http.ResponseWriter, r *http.Request, v Visitor) error {
		form, err := readForm(w, r)
		if err == nil {
			err = p.endByProvider(r, v, receiver, form.Get("logout_token"))
		}
		if err == nil {
			w.WriteHeader(http.StatusOK)
			return nil
		}
		told, known := disclose(err)
		if !known {
			p.logFailure(r, v, err)
		}
		retryLater(w, told)
		status := told.status
		if status < http.StatusInternalServerError {
			status = http.StatusBadRequest
		}
		return writeJSON(w, status, wireOAuthError{Error: "invalid_request", Description: told.message})
	}
}
