package gate

import (
	"errors"
	"net/http"
)

// errEarlyData says that a request came as early data, so nothing is done for its jar.
var errEarlyData = errors.New("the request is early data, which can be a replay")

// isEarlyData reports whether a request came before the TLS handshake was complete (RFC 8446,
// section 2.3; RFC 9001, section 4.6), to this server or to a proxy in front of it (RFC 8470,
// section 5.1). Anybody who has recorded such a request can send it again, and over QUIC from an
// address that is not theirs.
func isEarlyData(r *http.Request) bool {
	return r.TLS != nil && !r.TLS.HandshakeComplete || len(r.Header["Early-Data"]) > 0
}

// refuseEarlyData refuses a request that is early data, whatever it asks for, with 425 (RFC 8470,
// section 5.2): browsers send it again by themselves once the handshake is complete.
//
// Requests that only read are refused too. Apps behind the gate do not know of early data, and a
// gateway must not forward it to those (RFC 8470, section 5.2). And also a request that reads
// changes something: it counts as use of the session, and can renew a provider's tokens.
func (q *Request) refuseEarlyData(w http.ResponseWriter) bool {
	if q.err != errEarlyData {
		return false
	}
	q.gate.Portal.RefuseEarlyData(q.answer(w))
	return true
}
