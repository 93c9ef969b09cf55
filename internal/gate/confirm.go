package gate

import "net/http"

// confirmJar decides whether this host may use the browser's jar. Where hosts of a domain share the
// jar's cookie, a script on one of them can plant the jar of somebody else, and the user would work in
// that account without noticing. So the jar must be confirmed at each host; until then nobody is
// active there.
func (q *Request) confirmJar() {
	id := q.Visit.JarID()
	switch {
	case id == "" || q.Cookie.Confirms(&q.Cookies, id):
	case q.Cookies.HasShown(q.Visit):
		q.keepConfirmed = true
	default:
		q.Visit = q.Visit.Unconfirmed()
	}
}

// resumeSignIn reports whether a sign-in that began at this host has led to the unconfirmed jar. The
// portal has confirmed the jar then and sends the browser to the same address again.
func (q *Request) resumeSignIn(w http.ResponseWriter, r *http.Request) bool {
	if q.Visit.Confirmed() {
		return false
	}
	if !q.gate.Portal.ResumeSignIn(w, q.asMade(r), q.Visitor) {
		return false
	}
	q.answer(w)
	return true
}

// storeConfirmation sets the cookie that confirms the jar, if something else has confirmed it. A
// public answer may be stored for everybody, so it gets no cookie.
func (q *Request) storeConfirmation(h http.Header) {
	if q.keepConfirmed && !q.cache.public {
		q.keepConfirmed = false
		q.Cookie.SetConfirmed(h, q.Visit.JarID())
	}
}
