package portal

import (
	"encoding/json"
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// secure sets what every answer of the gateway's own has. What it says is for one browser at one
// moment, so nobody keeps it; nobody else's page may embed it or learn its address.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// redirect sends the browser on to fetch a page by GET. The location goes out byte for byte, which
// http.Redirect would tidy up.
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

// frame is what every page gets. The destination is where the page's forms may lead in the end.
func (p *Portal) frame(v Visitor, to destination) page.Frame {
	frame := page.Frame{Prefix: p.prefix, Site: v.Host, FormTarget: to.origin}
	if !p.skipSignInPage {
		// Else a page that is drawn anew once everybody is signed out leads to the provider at once, which may sign
		// somebody in again whom nobody has asked.
		frame.State = toWireAccounts(v.Visit).state()
	}
	return frame
}

// account is how a page shows an entry. Where there is one login method only, nobody need be told it.
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

// label is what people know a login method by.
func (p *Portal) label(method string) string {
	if provider, ok := p.logins.Provider(method); ok {
		return provider.Label()
	}
	if passwords, ok := p.logins.Password(); ok && passwords.ID() == method {
		return "Password"
	}
	return method
}
