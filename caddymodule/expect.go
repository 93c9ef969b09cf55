package caddymodule

import "net/http"

// expectHeader is the request header in which a client that knows its account, such as a script in a
// tab, names the session that the request is meant for, by its handle. Upstreams are not told: every
// gate deletes it.
const expectHeader = "Multi-Session-Expect"

// expected reports whether a request may go on as the jar's active session, as far as its client has
// a say in it. One that names another session, or several, has been answered then. Who names none
// expects nothing.
func (e *engine) expected(arrived *arrival, w http.ResponseWriter, r *http.Request) bool {
	if len(arrived.expect) == 0 {
		return true
	}
	if arrived.err != nil {
		e.explain(arrived.answer(w), arrived.request(r), arrived)
		return false
	}
	entry, active := arrived.Visit.Active()
	if active && len(arrived.expect) == 1 && arrived.expect[0] == entry.Handle {
		return true
	}
	e.portal.Changed(arrived.answer(w))
	return false
}
