package gate

import (
	"net/http"
	"slices"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

// refuseUpgrade reports whether a request would open a connection of another protocol, such as
// WebSocket, on behalf of the active account for a page that may not have one. It is refused then.
//
// Browsers let every page open a WebSocket to every site, send the site's cookies along, and leave
// it to the server to check Origin (RFC 6455, section 10.2). A page may if it is of this origin, a
// trusted one, or one that the gate's options name. The origin null belongs to no page in
// particular. Clients that send no Origin are no browsers.
func (q *Request) refuseUpgrade(w http.ResponseWriter, r *http.Request, o *Options) bool {
	if q.live.owner.Session == nil || !isUpgrade(r) {
		return false
	}
	origins := r.Header["Origin"]
	if len(origins) == 0 || len(origins) == 1 && q.mayUpgrade(origins[0], o) {
		return false
	}
	q.logUpgrade(origins[0])
	q.gate.Portal.RefuseUpgrade(q.answer(w))
	return true
}

// isUpgrade reports whether a request asks for another protocol on its connection, by HTTP/1.1 (RFC
// 9110, section 7.8) or by HTTP/2 and 3 (RFC 8441, RFC 9220).
func isUpgrade(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0 || r.Method == http.MethodConnect
}

// mayUpgrade reports whether pages of an origin may open connections on behalf of the active
// account.
func (q *Request) mayUpgrade(text string, o *Options) bool {
	from, err := origin.Parse(text)
	if err != nil {
		return false
	}
	own, err := origin.Parse(q.Origin())
	return err == nil && from == own || q.gate.trusted[from] || slices.Contains(o.UpgradeOrigins, from)
}

// logUpgrade logs once for each host and origin that a connection was refused, and what to do about
// it.
func (q *Request) logUpgrade(from string) {
	if q.gate.warnings.addNew("upgrade:" + q.Host + ":" + from) {
		q.gate.Log.Warn("a page of another origin wanted to open a WebSocket as the active account, and was refused. If it may, name its origin in websocket_origins",
			zap.String("host", q.Host), zap.String("origin", from), zap.String("jar", q.Visit.JarID()))
	}
}
