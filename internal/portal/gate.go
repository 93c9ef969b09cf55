package portal

import (
	"net/http"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Challenge answers a request to an upstream that needs a sign-in. A navigation goes to the sign-in
// page. If the browser has accounts but none is active, it goes to the chooser, so that nobody acts
// as somebody else without having chosen it. At a host where the jar is not confirmed, none is
// active. Anything else gets 401: in a frame and after a form as a page that people see.
func (p *Portal) Challenge(w http.ResponseWriter, r *http.Request, v Visitor) {
	setCommonHeaders(w.Header())
	defer boundBody(w, r)()
	path := "/sign-in"
	if len(v.Visit.Entries()) > 0 {
		path = "/accounts"
	}
	to := p.requestedAddress(r, v)
	switch {
	case !shown(r):
		writeProblem(w, noActive(v))
	case inFrame(r):
		p.answerInFrame(w, v, http.StatusUnauthorized, "Sign in to see this", "Sign in in a tab of its own, then reload this page.", p.address(path, to, nil))
	case sendsForm(r):
		p.answerForm(w, r, v, http.StatusUnauthorized, path)
	default:
		redirect(w, p.address(path, to, nil))
	}
}

// answerInFrame answers a navigation in a frame with a page that leads to an address in a tab of its
// own. The portal's other pages are shown in no frame, so that nobody is tricked into clicking on
// them. This one has no forms, and may be framed by hosts that share the jar.
func (p *Portal) answerInFrame(w http.ResponseWriter, v Visitor, status int, title, says, address string) {
	frame := p.frame(v, destination{})
	frame.Framers = framers(v)
	page.WriteFailure(w, page.Failure{
		Frame:   frame,
		Status:  status,
		Title:   title,
		Message: says,
		InTab:   &page.Link{Address: address, Text: "Open in a tab"},
	})
}

// framers returns the sources (CSP, section 2.3.1) of pages that may show a page of this site in a
// frame.
func framers(v Visitor) string {
	sources := "'self'"
	if domain := v.Cookie.Domain; domain != "" {
		sources += " " + v.Scheme + "://" + domain + ":* " + v.Scheme + "://*." + domain + ":*"
	}
	return sources
}

// answerForm answers a form that is not forwarded. The browser keeps what it has sent and sends it
// again when its page is reloaded, so another tab leads to the portal's page.
func (p *Portal) answerForm(w http.ResponseWriter, r *http.Request, v Visitor, status int, path string) {
	view := page.Failure{
		Frame:   p.frame(v, destination{}),
		Status:  status,
		Title:   "The form has not been sent on",
		Message: "You are not signed in any more. Sign in in another tab, then reload this page to send the form again.",
		InTab:   &page.Link{Address: p.prefix + path, Text: "Sign in in another tab"},
	}
	switch {
	case status == http.StatusForbidden:
		view.Message = "This account has no access. Switch to another one in another tab, then reload this page to send the form again."
	case r.Header.Get("Sec-Fetch-Site") == "cross-site":
		view.Message = "Another site has sent it, and browsers do not say then who you are."
	case path == "/accounts":
		view.Message = "No account is active. Choose one in another tab, then reload this page to send the form again."
	}
	if path == "/accounts" {
		view.InTab.Text = "Choose an account in another tab"
	}
	page.WriteFailure(w, view)
}

// noActive is the problem with a request that nobody is active for.
func noActive(v Visitor) *problem {
	if !v.Visit.Confirmed() {
		return errUnconfirmed
	}
	return errUnauthorized
}

// RefuseChanged answers a request to an upstream that expects another session than the active one. Only
// scripts send that expectation, so the answer is JSON.
func (p *Portal) RefuseChanged(w http.ResponseWriter) {
	setCommonHeaders(w.Header())
	writeProblem(w, errSessionChanged)
}

// RefuseEnded answers a request to an upstream whose session ended before the upstream answered. It does
// not redirect to the sign-in page: the request may be of any kind, and its sender expects another
// answer.
func (p *Portal) RefuseEnded(w http.ResponseWriter) {
	setCommonHeaders(w.Header())
	writeProblem(w, errUnauthorized)
}

// RefuseEarlyData answers a request that came before the TLS handshake was complete. Whoever sends
// such requests repeats them by themselves after this answer, so it is no page.
func (p *Portal) RefuseEarlyData(w http.ResponseWriter) {
	setCommonHeaders(w.Header())
	writeProblem(w, errEarlyData)
}

// RefuseSpeculation answers a request for a page that a browser fetches ahead of a visit. With any
// status but 2xx the browser drops the answer, and asks again when somebody goes to the page.
func (p *Portal) RefuseSpeculation(w http.ResponseWriter) {
	setCommonHeaders(w.Header())
	writeProblem(w, errSpeculation)
}

// RefuseUpgrade answers a request for a connection of another protocol, such as WebSocket, that a
// page of another origin has made. Scripts do not see the answer.
func (p *Portal) RefuseUpgrade(w http.ResponseWriter) {
	setCommonHeaders(w.Header())
	writeProblem(w, errInvalidOrigin)
}

// RefuseTarget answers a request to an upstream whose path servers read in different ways.
func (p *Portal) RefuseTarget(w http.ResponseWriter, r *http.Request, v Visitor) {
	setCommonHeaders(w.Header())
	p.fail(w, r, v, navigation(r), errAmbiguousPath)
}

// Refuse answers a request to an upstream that the active account may not make, because it does not
// meet the unmet rule. The policy holds the rules of the gate that refuses and of all gates before
// it, which the next request has to pass too.
//
// A navigation gets a page that offers the browser's accounts that meet the policy. After a form the
// way back from that page is a GET, which would lose the form, and in a frame the page is not shown;
// there people are sent to another tab.
func (p *Portal) Refuse(w http.ResponseWriter, r *http.Request, v Visitor, policy session.Policy, unmet session.Rule) {
	setCommonHeaders(w.Header())
	defer boundBody(w, r)()
	active, _ := v.Visit.Active()
	p.audit.logRefusal(r, v, active, unmet)
	requirement := describe(unmet)
	to := p.requestedAddress(r, v)
	switch {
	case !shown(r):
		writeProblem(w, &problem{status: http.StatusForbidden, code: "FORBIDDEN", message: requirement})
		return
	case inFrame(r):
		p.answerInFrame(w, v, http.StatusForbidden, "This account has no access", requirement+" Choose another one in a tab of its own, then reload this page.", p.address("/accounts", to, nil))
		return
	case sendsForm(r):
		p.answerForm(w, r, v, http.StatusForbidden, "/accounts")
		return
	}
	view := page.Refusal{Frame: p.frame(v, to), ReturnTo: to.text, Requirement: requirement}
	if active.Session != nil {
		view.Active = p.account(active)
	}
	for _, e := range v.Visit.Entries() {
		if _, misses := policy.Unmet(e.Identity); !misses && !e.Active {
			view.Alternatives = append(view.Alternatives, p.account(e))
		}
	}
	page.WriteRefusal(w, http.StatusForbidden, view)
}

// Unavailable answers a request whose session cannot be looked up, and logs the error. The request
// may be for the portal too. Such a request never counts as signed out, because a passing failure
// would then cost the browser its accounts.
func (p *Portal) Unavailable(w http.ResponseWriter, r *http.Request, v Visitor, err error) {
	setCommonHeaders(w.Header())
	defer boundBody(w, r)()
	p.share(w.Header(), r, v)
	p.logFailure(r, v, err)
	p.fail(w, r, v, shown(r), errUnavailable)
}

// Insecure answers a request over plain HTTP where that is not allowed. The request may be for the
// portal too.
//
// The status is 403: the request was understood and will be refused again. After 421 browsers would
// repeat it on another connection, and 426 promises an upgrade of this one. Insecure does not
// redirect to HTTPS, because there may be none; where Caddy manages the certificate, Caddy
// redirects.
func (p *Portal) Insecure(w http.ResponseWriter, r *http.Request, v Visitor) {
	setCommonHeaders(w.Header())
	defer boundBody(w, r)()
	p.share(w.Header(), r, v)
	p.fail(w, r, v, shown(r), errInsecure)
}

// requestedAddress returns the request's own address, byte for byte, to come back to. It is the
// site's root where the address is no valid destination.
func (p *Portal) requestedAddress(r *http.Request, v Visitor) destination {
	if len(r.RequestURI) > maxReturnTo {
		return destination{tooLong: true}
	}
	to, _ := p.destination(v, r.RequestURI)
	return to
}

// describe says what a rule requires. It names groups and claims, which people need when they ask
// the administrator for access. It never names other people.
func describe(rule session.Rule) string {
	switch rule.Kind {
	case session.RequireGroup:
		if len(rule.Values) == 1 {
			return "Only members of the group " + rule.Values[0] + " have access."
		}
		return "Only members of one of these groups have access: " + strings.Join(rule.Values, ", ") + "."
	case session.RequireClaim:
		return "Only accounts whose " + rule.Claim + " is " + strings.Join(rule.Values, " or ") + " have access."
	default:
		return "Only certain accounts have access."
	}
}
