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
	followScript []byte
	//go:embed forms.js
	formsScript []byte
)

// Style returns the stylesheet and its content type, for <prefix>/style.css. Do not change the
// bytes; they are shared.
func Style() (body []byte, contentType string) { return style, "text/css; charset=utf-8" }

// Icon returns the site's icon and its content type, for <prefix>/icon.svg. Do not change the
// bytes; they are shared.
func Icon() (body []byte, contentType string) { return icon, "image/svg+xml" }

// FollowScript returns the script that follows changes in other tabs and its content type, for
// <prefix>/follow.js. Do not change the bytes; they are shared.
func FollowScript() (body []byte, contentType string) { return followScript, javaScript }

// FormsScript returns the script that sends forms once and its content type, for <prefix>/forms.js.
// Do not change the bytes; they are shared.
func FormsScript() (body []byte, contentType string) { return formsScript, javaScript }

const javaScript = "text/javascript; charset=utf-8"

var (
	signInPage   = parse("sign-in.html")
	signUpPage   = parse("sign-up.html")
	accountsPage = parse("accounts.html")
	profilePage  = parse("profile.html")
	refusalPage  = parse("refusal.html")
	failurePage  = parse("failure.html")
	samePage     = parse("same-account.html")
	signOutPage  = parse("sign-out.html")
	signedOut    = parse("signed-out.html")
	redirectPage = parse("redirect.html")
	resetPage    = parse("reset.html")
)

// parse combines a page with the layout. Every page has its own set, because each defines "title"
// and "main".
func parse(name string) *template.Template {
	functions := template.FuncMap{"link": link, "home": home, "stamp": stamp, "moment": moment, "ago": ago}
	return template.Must(template.New("layout.html").Funcs(functions).
		ParseFS(templates, "templates/layout.html", "templates/parts.html", "templates/"+name))
}

// link returns the address of a portal page that leads to returnTo afterwards.
func link(prefix, path, returnTo string) string {
	if returnTo == "" {
		return prefix + path
	}
	return prefix + path + "?" + url.Values{"return_to": {returnTo}}.Encode()
}

// home returns the address where an account continues.
func home(returnTo string) string {
	if returnTo == "" {
		return "/"
	}
	return returnTo
}

// WriteSignIn answers with the sign-in page. Its forms post to <prefix>/sign-in, with return_to
// unless that is empty. The password form posts identifier and password. A provider's form posts
// method, the provider's ID, and login_hint unless that is empty.
func WriteSignIn(w http.ResponseWriter, status int, v SignIn) {
	v.Here = link(v.Prefix, "/sign-in", v.ReturnTo)
	v.Forms, v.KeepsFragment = true, true
	write(w, status, signInPage, v.Frame, signInView{v, v.Problem != "" && isInputError(status)})
}

// isInputError reports whether a problem is about what was typed, which marks the fields as wrong.
// Other problems, such as too many tries or a store that is down, mark no field.
func isInputError(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// WriteSignUp answers with the sign-up page. Its form posts name, username, email, password,
// invitation where the page asks for it, and return_to unless that is empty, to <prefix>/sign-up.
func WriteSignUp(w http.ResponseWriter, status int, v SignUp) {
	v.Here = link(v.Prefix, "/sign-up", v.ReturnTo)
	v.Forms, v.KeepsFragment = true, true
	write(w, status, signUpPage, v.Frame, signUpView{v})
}

// WriteAccounts answers with the chooser. Its forms post action ("switch", "sign-out", "remove" or
// "sign-out-all"), session (a handle; not with "sign-out-all") and return_to unless that is empty,
// to <prefix>/accounts.
func WriteAccounts(w http.ResponseWriter, status int, v Accounts) {
	v.Here = link(v.Prefix, "/accounts", v.ReturnTo)
	v.Forms, v.KeepsFragment = true, true
	write(w, status, accountsPage, v.Frame, v)
}

// WriteSignOut answers with the page that asks which accounts to sign out. Its forms are the
// chooser's.
func WriteSignOut(w http.ResponseWriter, v Accounts) {
	v.Here = link(v.Prefix, "/sign-out", v.ReturnTo)
	v.Forms = true
	write(w, http.StatusOK, signOutPage, v.Frame, v)
}

// AnyActive reports whether an account is active. None is after the active one has ended by itself;
// the user then has to choose.
func (v Accounts) AnyActive() bool {
	for _, account := range v.Accounts {
		if account.Active {
			return true
		}
	}
	return false
}

// maxPlaces is how many hosts the page names beside an account.
const maxPlaces = 3

// NamedPlaces returns the hosts that the page names.
func (a Account) NamedPlaces() []string { return a.Places[:min(len(a.Places), maxPlaces)] }

// MorePlaces returns how many hosts the page does not name.
func (a Account) MorePlaces() int { return len(a.Places) - len(a.NamedPlaces()) }

// WriteProfile answers with the account page. Its forms post action, account (the Handle of
// Account) and return_to unless that is empty, to <prefix>/account. An action also posts:
//
// - "profile": name, username and picture;
// - "password": current_password, new_password, and end_others, which is "1" or absent;
// - "end": session, a Device's ID;
// - "end-others": nothing.
func WriteProfile(w http.ResponseWriter, status int, v Profile) {
	v.Account.Active = false // the page shows one account only
	v.Here = link(v.Prefix, "/account", v.ReturnTo)
	v.Forms = true // its fragments name its sections
	write(w, status, profilePage, v.Frame, profileView{v})
}

// WriteRefusal answers with the page for an account without access. Its forms are those of the
// chooser for "switch".
func WriteRefusal(w http.ResponseWriter, status int, v Refusal) {
	v.Active.Active = false // the heading says so already
	v.Forms, v.KeepsFragment = true, true
	write(w, status, refusalPage, v.Frame, v)
}

// WriteSameAccount answers with the page for an account that came back instead of another one. Its
// forms post method, ask and return_to as those of WriteSignIn do. The one that signs out at the
// provider first also posts sign_out, which is "1".
func WriteSameAccount(w http.ResponseWriter, status int, v SameAccount) {
	v.State = "" // it is about one sign-in, and not who is active
	v.Forms = true
	write(w, status, samePage, v.Frame, v)
}

// WriteFailure answers with v.Status and the page that explains it. The form of v.Retry is one of
// WriteSignIn for a provider, and may also post ask.
func WriteFailure(w http.ResponseWriter, v Failure) {
	v.State = "" // it is about one request, and not who is active
	v.Forms = v.Retry != nil
	if v.Title == "" {
		v.Title = http.StatusText(v.Status)
	}
	write(w, v.Status, failurePage, v.Frame, v)
}

// WriteRedirect answers with a page that goes to v.Location at once. It answers a form instead of a
// 303, because browsers apply the form's form-action to the redirects that follow it.
func WriteRedirect(w http.ResponseWriter, status int, v Redirect) {
	if !isAbsolute(v.Location) {
		writeDrawError(w)
		return
	}
	v.State = "" // it is left at once
	write(w, status, redirectPage, v.Frame, v)
}

// WriteSignedOut answers with the page that has a link to each of v.SignOuts. They open in new tabs,
// because those sites do not lead back.
func WriteSignedOut(w http.ResponseWriter, status int, v SignedOut) {
	for _, s := range v.SignOuts {
		if !isAbsolute(s.Location) {
			writeDrawError(w)
			return
		}
	}
	v.State = "" // it is about what was signed out, and not who is active
	write(w, status, signedOut, v.Frame, v)
}

// isAbsolute reports whether an address is an absolute http or https URL with a host.
func isAbsolute(location string) bool {
	u, err := url.Parse(location)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// write renders the whole page before it sends any of it, so that no page is cut short.
func write(w http.ResponseWriter, status int, page *template.Template, frame Frame, view any) {
	var body bytes.Buffer
	if err := page.Execute(&body, view); err != nil {
		writeDrawError(w)
		return
	}
	framing := "DENY"
	if frame.mayBeFramed() {
		framing = "SAMEORIGIN" // browsers that know frame-ancestors ignore it
	}
	if frame.Secure { // elsewhere browsers only complain of the field
		// No page that opened this one, or that it opens, may hold on to its window and lead it elsewhere.
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	send(w, status, body.Bytes(), contentSecurityPolicy(frame), framing)
}

func send(w http.ResponseWriter, status int, body []byte, policy, framing string) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Frame-Options", framing)
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only when the browser has gone
}

func writeDrawError(w http.ResponseWriter) {
	http.Error(w, "The page could not be drawn.", http.StatusInternalServerError)
}

// cspSource matches origins that may stand in a policy. Other text could end its directive.
var cspSource = regexp.MustCompile(`^https?://[A-Za-z0-9.-]+(:[0-9]+)?$`)

// contentSecurityPolicy allows what the pages consist of and nothing else. Browsers also apply
// form-action to the redirects that follow a form, so it includes FormTarget; without it a sign-in
// could not lead back to another origin.
func contentSecurityPolicy(frame Frame) string {
	formAction := "'self'"
	if cspSource.MatchString(frame.FormTarget) {
		formAction += " " + frame.FormTarget
	}
	policy := "default-src 'none'; style-src 'self'; img-src 'self'; "
	if frame.Forms || frame.State != "" {
		policy += "script-src 'self'; "
	}
	if frame.State != "" {
		policy += "connect-src 'self'; "
	}
	ancestors := "'none'"
	if frame.mayBeFramed() {
		ancestors = frame.Framers
	}
	return policy + "form-action " + formAction + "; base-uri 'none'; frame-ancestors " + ancestors
}

// framingSources matches lists of sources that may stand in a policy, with all subdomains of a host
// and all ports.
var framingSources = regexp.MustCompile(`^'self'( https?://(\*\.)?[A-Za-z0-9.-]+:\*)*$`)

// mayBeFramed reports whether other pages may show the page. In a frame, somebody could be tricked
// into sending a form.
func (f Frame) mayBeFramed() bool { return !f.Forms && framingSources.MatchString(f.Framers) }
