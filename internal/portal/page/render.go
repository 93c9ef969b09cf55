package page

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
)

//go:embed templates
var templates embed.FS

var (
	//go:embed style.css
	style []byte
	//go:embed icon.svg
	icon []byte
	//go:embed follow.js
	script []byte
)

// Style is the stylesheet and its content type, to be served at <prefix>/style.css. The bytes
// are shared: do not change them.
func Style() (body []byte, contentType string) { return style, "text/css; charset=utf-8" }

// Icon is the site's icon and its content type, to be served at <prefix>/icon.svg. The bytes are
// shared: do not change them.
func Icon() (body []byte, contentType string) { return icon, "image/svg+xml" }

// Script is the script of the pages that follow what happens in other tabs, and its content type, to be
// served at <prefix>/follow.js. The bytes are shared: do not change them.
func Script() (body []byte, contentType string) { return script, "text/javascript; charset=utf-8" }

var (
	signInPage   = parse("sign-in.html")
	signUpPage   = parse("sign-up.html")
	accountsPage = parse("accounts.html")
	profilePage  = parse("profile.html")
	refusalPage  = parse("refusal.html")
	failurePage  = parse("failure.html")
	redirectPage = parse("redirect.html")
	resetPage    = parse("reset.html")
)

// parse joins a page with the layout around it. Every page gets a set of its own, because each
// defines the same "title" and "main".
func parse(name string) *template.Template {
	functions := template.FuncMap{"link": link, "home": home, "stamp": stamp, "moment": moment, "ago": ago}
	return template.Must(template.New("layout.html").Funcs(functions).
		ParseFS(templates, "templates/layout.html", "templates/parts.html", "templates/"+name))
}

// link is the address of one of the portal's pages that leads back to returnTo afterwards.
func link(prefix, path, returnTo string) string {
	if returnTo == "" {
		return prefix + path
	}
	return prefix + path + "?" + url.Values{"return_to": {returnTo}}.Encode()
}

// home is where an account goes on to.
func home(returnTo string) string {
	if returnTo == "" {
		return "/"
	}
	return returnTo
}

// WriteSignIn answers with the sign-in page. Its forms post to <prefix>/sign-in, with return_to unless
// that is empty: the one for passwords identifier and password, that of a provider method, which is its
// ID, and, unless empty, login_hint.
func WriteSignIn(w http.ResponseWriter, status int, v SignIn) {
	v.Here = link(v.Prefix, "/sign-in", v.ReturnTo)
	write(w, status, signInPage, v.Frame, signInView{v, v.Problem != "" && isInputError(status)})
}

// isInputError tells problems with what was typed, which mark the fields as wrong, from those
// that are none of the user's making, such as too many tries or a store that is down.
func isInputError(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// WriteSignUp answers with the page that makes an account. Its form posts name, username, email,
// password, where it is asked for invitation, and, unless empty, return_to to <prefix>/sign-up.
func WriteSignUp(w http.ResponseWriter, status int, v SignUp) {
	v.Here = link(v.Prefix, "/sign-up", v.ReturnTo)
	write(w, status, signUpPage, v.Frame, signUpView{v})
}

// WriteAccounts answers with the chooser. Its forms post action ("switch", "sign-out", "remove" or
// "sign-out-all"), session (a handle, not for "sign-out-all") and, unless empty, return_to to
// <prefix>/accounts.
func WriteAccounts(w http.ResponseWriter, status int, v Accounts) {
	v.Here = link(v.Prefix, "/accounts", v.ReturnTo)
	write(w, status, accountsPage, v.Frame, v)
}

// AnyActive reports whether one of the accounts is active. None is when the active one ended by
// itself: the user then has to choose.
func (v Accounts) AnyActive() bool {
	for _, account := range v.Accounts {
		if account.Active {
			return true
		}
	}
	return false
}

// maxPlaces is how many hosts are named beside an account.
const maxPlaces = 3

// NamedPlaces are the hosts that are named.
func (a Account) NamedPlaces() []string { return a.Places[:min(len(a.Places), maxPlaces)] }

// MorePlaces is how many hosts are not named.
func (a Account) MorePlaces() int { return len(a.Places) - len(a.NamedPlaces()) }

// WriteProfile answers with the page of an account. Its forms post action and, unless empty,
// return_to to <prefix>/account, with account, the Handle of Account. By action they post besides:
//
//   - "profile": name, username and picture;
//   - "password": current_password, new_password, and end_others, which is "1" or absent;
//   - "end": session, a Device's ID;
//   - "end-others": nothing.
func WriteProfile(w http.ResponseWriter, status int, v Profile) {
	v.Account.Active = false // there is no other here
	v.Here = link(v.Prefix, "/account", v.ReturnTo)
	write(w, status, profilePage, v.Frame, profileView{v})
}

// WriteRefusal answers with the refusal. Its forms are the chooser's "switch".
func WriteRefusal(w http.ResponseWriter, status int, v Refusal) {
	v.Active.Active = false // the heading above it says so
	write(w, status, refusalPage, v.Frame, v)
}

// WriteFailure answers with v.Status and the page that explains it.
func WriteFailure(w http.ResponseWriter, v Failure) {
	v.State = "" // it is about one request, and not who is active
	if v.Title == "" {
		v.Title = http.StatusText(v.Status)
	}
	write(w, v.Status, failurePage, v.Frame, v)
}

// WriteRedirect answers with a page that the browser leaves at once for v.Location. It is what answers a
// form in place of a redirect, because browsers hold the redirects behind a form to form-action.
func WriteRedirect(w http.ResponseWriter, status int, v Redirect) {
	if !isAbsolute(v.Location) {
		writeDrawError(w)
		return
	}
	v.State = "" // it is left at once
	write(w, status, redirectPage, v.Frame, v)
}

// isAbsolute reports whether a browser finds the same site in an address wherever the page is, and is
// not led to anything but a site.
func isAbsolute(location string) bool {
	u, err := url.Parse(location)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// write draws the whole page before it sends any of it, so that a page is never cut short.
func write(w http.ResponseWriter, status int, page *template.Template, frame Frame, view any) {
	var body bytes.Buffer
	if err := page.Execute(&body, view); err != nil {
		writeDrawError(w)
		return
	}
	send(w, status, body.Bytes(), contentSecurityPolicy(frame))
}

func send(w http.ResponseWriter, status int, body []byte, policy string) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Frame-Options", "DENY")
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only when the browser has gone
}

func writeDrawError(w http.ResponseWriter) {
	http.Error(w, "The page could not be drawn.", http.StatusInternalServerError)
}

// origin matches what may stand in a policy as a source. Anything else could end its directive.
var origin = regexp.MustCompile(`^https?://[A-Za-z0-9.-]+(:[0-9]+)?$`)

// contentSecurityPolicy allows what the pages are made of and nothing else. Browsers hold the
// redirects that follow a form to form-action too, hence the target: without it a sign-in that
// leads back to another origin would be stopped there.
func contentSecurityPolicy(frame Frame) string {
	formAction := "'self'"
	if origin.MatchString(frame.FormTarget) {
		formAction += " " + frame.FormTarget
	}
	policy := "default-src 'none'; style-src 'self'; img-src 'self'; "
	if frame.State != "" {
		policy += "script-src 'self'; connect-src 'self'; "
	}
	return policy + "form-action " + formAction + "; base-uri 'none'; frame-ancestors 'none'"
}
