package portal

import (
	"encoding/json"
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// setCommonHeaders sets the headers that every answer of the gateway has. An answer is for one
// browser at one moment, so nobody may store it, embed it, or learn its address.
func setCommonHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// redirect answers 303. It writes the location byte for byte; http.Redirect would clean it up.
func redirect(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}

func writeJSON(w http.ResponseWriter, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only when the client has gone
	return nil
}

func writeProblem(w http.ResponseWriter, told *problem) {
	_ = writeJSON(w, told.status, struct { // strings always marshal
		Code    string `json:"code,omitempty"`
		Message string `json:"message"`
	}{told.code, told.message})
}

// frame returns what every page has. The CSP lets the page's forms lead to the destination.
func (p *Portal) frame(v Visitor, to destination) page.Frame {
	frame := page.Frame{Prefix: p.prefix, Site: v.Host, FormTarget: to.origin, Secure: v.secure(), TooLong: to.tooLong}
	if !p.skipSignInPage {
		// Without the sign-in page, a page that followed a sign-out would go straight to the
		// provider, which might sign in somebody who asked for nothing.
		frame.State = toWireAccounts(v.Visit).state()
	}
	return frame
}

// account returns an entry as pages show it. It names the login method only where there are
// several.
func (p *Portal) account(e session.Entry) page.Account {
	view := page.Account{
		Handle:  e.Handle,
		Name:    e.Identity.DisplayName(),
		Detail:  e.Identity.Email,
		Initial: page.Initials(e.Identity.DisplayName()),
		Hue:     page.Hue(e.Identity.Account.ID()),
		Active:  e.Active,
	}
	if view.Detail == "" {
		view.Detail = e.Identity.UserName
	}
	if view.Detail == view.Name {
		view.Detail = ""
	}
	if len(p.logins.All()) > 1 {
		view.Method = p.label(e.Identity.Account.Method)
	}
	if _, ok := p.initiator(e.Identity.Account.Method); ok {
		view.CanRemove = true
	}
	return view
}

// label returns the name under which people know a login method.
func (p *Portal) label(method string) string {
	if provider, ok := p.logins.Provider(method); ok {
		return provider.Label()
	}
	if passwords, ok := p.logins.Password(); ok && passwords.ID() == method {
		return "Password"
	}
	return method
}
