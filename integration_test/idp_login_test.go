package integration

import (
	"crypto/rand"
	"fmt"
	"html"
	"net/http"
	"slices"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// What people see of the providers of these tests. Both that have pages ask in the same words.
const (
	whoField      = "User name"
	whoButton     = "Continue"
	refusalButton = "Cancel"
	signInForm    = `<form method="post"><p><label>` + whoField + ` <input name="user" value="%s" autocomplete="username" autofocus></label></p>
<p><button>` + whoButton + `</button> <button name="cancel" value="1">` + refusalButton + `</button></p></form>`
)

// writePage writes a page of a provider.
func writePage(w http.ResponseWriter, heading, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintf(w, "<!doctype html><html lang=en><meta name=viewport content=\"width=device-width\"><link rel=icon href=\"data:,\"><title>%s</title><h1>%s</h1>%s",
		heading, heading, body)
}

// ssoCookie names the provider's session with a browser. Cookies do not know ports.
func (p *idp) ssoCookie() string { return "sso_" + port(p.address) }

// askWho asks a browser who it is, unless that is known and the request leaves it at that.
func (p *idp) askWho(w http.ResponseWriter, r *http.Request) {
	request, ok := p.keep.request(r.URL.Query().Get("id"))
	if !ok {
		http.Error(w, "no such request", http.StatusBadRequest)
		return
	}
	for _, prompt := range request.Prompt {
		if refusal := p.habits.Refuses[prompt]; refusal != nil {
			p.refuse(w, r, request, refusal().WithDescription("no prompt is called %s here", prompt))
			return
		}
	}
	known, ok := p.browserSession(r)
	if !ok || request.asks() && !p.habits.Ignores || request.LoginHint != "" && !p.keep.named(request.LoginHint, known.subject) {
		writePage(w, "Sign in at the provider", fmt.Sprintf(signInForm, html.EscapeString(request.LoginHint)))
		return
	}
	p.proceed(w, r, request, known)
}

// asks reports whether the client wants the user to be asked.
func (r *idpRequest) asks() bool {
	return slices.Contains(r.Prompt, oidc.PromptSelectAccount) || slices.Contains(r.Prompt, oidc.PromptLogin)
}

// answerWho takes the form.
func (p *idp) answerWho(w http.ResponseWriter, r *http.Request) {
	request, ok := p.keep.request(r.URL.Query().Get("id"))
	if !ok {
		http.Error(w, "no such request", http.StatusBadRequest)
		return
	}
	if r.PostFormValue("cancel") != "" {
		p.refuse(w, r, request, oidc.ErrAccessDenied().WithDescription("<b>they</b> did not want to"))
		return
	}
	subject, ok := p.keep.subject(r.PostFormValue("user"))
	if !ok {
		writePage(w, "Nobody has that name", fmt.Sprintf(signInForm, ""))
		return
	}
	session, ok := p.browserSession(r)
	if ok && session.subject != subject && p.habits.Sticks {
		writePage(w, "Somebody else is signed in with this browser", fmt.Sprintf(signInForm, ""))
		return
	}
	if !ok || session.subject != subject {
		session = p.keep.begin(subject)
		http.SetCookie(w, &http.Cookie{Name: p.ssoCookie(), Value: session.secret, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	p.proceed(w, r, request, session)
}

// refuse sends the browser back to the client with an error.
func (p *idp) refuse(w http.ResponseWriter, r *http.Request, request *idpRequest, refusal *oidc.Error) {
	r = r.WithContext(op.ContextWithIssuer(r.Context(), p.issuer))
	op.AuthRequestError(w, r, request, refusal, p.provider)
}

// proceed sends the browser back to the client, as the session's user.
func (p *idp) proceed(w http.ResponseWriter, r *http.Request, request *idpRequest, session *idpSession) {
	p.keep.finish(request, session)
	http.Redirect(w, r, p.callbackURL(r.Context(), request.id), http.StatusSeeOther)
}

// browserSession is the provider's session with the browser.
func (p *idp) browserSession(r *http.Request) (*idpSession, bool) {
	cookie, err := r.Cookie(p.ssoCookie())
	if err != nil {
		return nil, false
	}
	return p.keep.session(cookie.Value)
}

// idpSession is a session of the provider with a browser.
type idpSession struct {
	sid     string // its public name
	secret  string // in the browser's cookie
	subject string
}

func newIDPSession(subject string) *idpSession {
	return &idpSession{sid: "sid-" + rand.Text(), secret: rand.Text(), subject: subject}
}
