package portal

import (
	"io"
	"net/http"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// signInSocial starts a sign-in at a provider. The stock client goes to the address by itself.
func (p *Portal) signInSocial(w http.ResponseWriter, r *http.Request, v Visitor) error {
	return p.startProviderAPI(w, r, v, "provider", errProviderNotFound)
}

// signInOAuth2 is signInSocial for clients before release 1.7.
func (p *Portal) signInOAuth2(w http.ResponseWriter, r *http.Request, v Visitor) error {
	return p.startProviderAPI(w, r, v, "providerId", errProviderConfigNotFound)
}

func (p *Portal) startProviderAPI(w http.ResponseWriter, r *http.Request, v Visitor, member string, unknown *problem) error {
	body, err := readObject(w, r)
	if err != nil {
		return err
	}
	id := body.text(member)
	callbackURL := body.optionalText("callbackURL")
	errorCallbackURL := body.optionalText("errorCallbackURL")
	newUserCallbackURL := body.optionalText("newUserCallbackURL")
	stay := body.optionalBool("disableRedirect", false)
	d := providerSignIn{
		client:     true,
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
	if d.newTo, ok = p.callback(v, newUserCallbackURL); !ok {
		return errNewUserCallbackURL
	}
	if d.hint != fillIn(d.hint) {
		return invalid([]string{"[body.loginHint] Invalid input"})
	}
	location, err := p.startProviderSignIn(w, r, v, provider, d)
	if err != nil {
		return err
	}
	if !stay {
		w.Header().Set("Location", location)
	}
	return writeJSON(w, http.StatusOK, wireDeparture{URL: location, Redirect: !stay})
}

// frontChannelLogout receives a message of a provider's page that a session has ended (OpenID Connect
// Front-Channel Logout 1.0, section 2). The page embeds the answer, so its origins may do that; nobody
// else may. The browser sends no cookies, so every jar counts that has a session of the provider's one.
func (p *Portal) frontChannelLogout(receiver login.FrontChannelReceiver) handler {
	return func(w http.ResponseWriter, r *http.Request, v Visitor) error {
		ancestors := "'none'"
		if origins := receiver.PageOrigins(); len(origins) > 0 {
			ancestors = strings.Join(origins, " ")
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors "+ancestors)
		if err := p.endByFrontChannel(r, v, receiver); err != nil {
			return err
		}
		h.Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "Signed out.\n") // fails only when the browser has gone
		return nil
	}
}

// backChannelLogout receives a provider's message that sessions have ended (OpenID Connect
// Back-Channel Logout 1.0, section 2.8). The provider sends it directly and not through a browser,
// so only the token's signature counts, and no cookie or origin does.
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
