package portal

import (
	"net/http"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Challenge answers a request to an upstream that nobody is signed in for. A navigation is sent to
// the sign-in page, or where the browser has accounts but none is active, to the chooser: nobody
// becomes somebody else without having chosen it. Anything else gets 401.
func (p *Portal) Challenge(w http.ResponseWriter, r *http.Request, v Visitor) {
	secure(w.Header())
	if !navigation(r) {
		writeProblem(w, errUnauthorized)
		return
	}
	path := "/sign-in"
	if len(v.Visit.Entries()) > 0 {
		path = "/accounts"
	}
	redirect(w, p.address(path, p.back(r, v), nil))
}

// Changed answers a request to an upstream that expects to be made as a session which is not the active
// one. Only scripts say so: a page would be of no use to them.
func (p *Portal) Changed(w http.ResponseWriter) {
	secure(w.Header())
	writeProblem(w, errSessionChanged)
}

// Ended answers a request to an upstream whose session ended before the upstream had answered. Where to
// sign in is not said: the request may be of any kind, and whoever sent it waits for something else.
func (p *Portal) Ended(w http.ResponseWriter) {
	secure(w.Header())
	writeProblem(w, errUnauthorized)
}

// Refuse answers a request to an upstream that the active account may not make, because it does not
// meet a rule of the policy: that of the gate which refuses, and of those before it, which whoever comes
// back has to pass too. A navigation gets a page that offers the browser's accounts which may. A form that was sent to the
// upstream does not: the way back is a GET, and what it sent would be lost without a word.
func (p *Portal) Refuse(w http.ResponseWriter, r *http.Request, v Visitor, policy session.Policy, unmet session.Rule) {
	secure(w.Header())
	active, _ := v.Visit.Active()
	p.audit.refused(r, v, active, unmet)
	requirement := describe(unmet)
	if !navigation(r) {
		writeProblem(w, &problem{status: http.StatusForbidden, code: "FORBIDDEN", message: requirement})
		return
	}
	to := p.back(r, v)
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

// Unavailable answers a request when it cannot be found out who makes it, and logs why. It is never
// answered as if nobody were signed in: the browser would lose its accounts to a passing failure.
// The request may be one for the portal too.
func (p *Portal) Unavailable(w http.ResponseWriter, r *http.Request, v Visitor, err error) {
	secure(w.Header())
	p.share(w.Header(), r, v)
	p.logFailure(r, v, err)
	p.fail(w, r, v, navigation(r), errUnavailable)
}

// Insecure answers a request over plain HTTP from where that is not allowed. It is 403: the request
// was understood and will not be served however often it is repeated. 421 would have browsers
// repeat it at once on another connection, and 426 promises an upgrade of this one.
//
// It does not redirect to HTTPS, for it cannot know that there is any; where Caddy manages the
// certificate it redirects by itself.
//
// The request may be one for the portal too.
func (p *Portal) Insecure(w http.ResponseWriter, r *http.Request, v Visitor) {
	secure(w.Header())
	p.share(w.Header(), r, v)
	p.fail(w, r, v, navigation(r), errInsecure)
}

// back is the way back to the request itself, byte for byte. Where it is no destination, the site's root has to do.
func (p *Portal) back(r *http.Request, v Visitor) destination {
	to, _ := p.destination(v, r.RequestURI)
	return to
}

// describe says what a rule asks for. Names of groups and values of claims are what somebody has to
// ask the administrator for; names of other people are nobody's business.
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
