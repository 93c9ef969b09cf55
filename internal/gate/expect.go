package gate

import "net/http"

// ExpectHeader is the request header by which a client names the session that a request is meant
// for, by its handle. Scripts send it, because they may have been loaded under another account than
// the one that is active now. Every gate deletes it, so upstreams do not see it.
const ExpectHeader = "Multi-Session-Expect"

// matchesExpected reports whether the active session is the one that the client expects. A client
// without the header expects nothing. If it reports false, the request is answered: the client named
// another session, or more than one.
func (q *Request) matchesExpected(w http.ResponseWriter, r *http.Request) bool {
	if len(q.expected) == 0 {
		return true
	}
	if q.err != nil {
		q.explain(w, r)
		return false
	}
	if q.signedIn && len(q.expected) == 1 && q.expected[0] == q.active.Handle {
		return true
	}
	q.gate.Portal.RefuseChanged(q.answer(w))
	return false
}
