package gate

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/gate/stream"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// forward hands a request on to the handlers behind the gate. If gates are nested, only the outermost
// puts a response writer around the server's.
func (q *Request) forward(w http.ResponseWriter, r *http.Request, next Handler) error {
	if q.phase == forwarding {
		return q.run(w, r, next)
	}
	q.phase = forwarding
	q.response = response{ResponseWriter: w, of: q}
	err := q.run(&q.response, r, next)
	if q.phase == forwarding {
		q.phase = returned
	}
	q.from = returned
	q.response.end(err != nil)
	return err
}

// run runs the handlers behind the gate, and ends the request when the session ends that it belongs
// to.
func (q *Request) run(w http.ResponseWriter, r *http.Request, next Handler) error {
	if q.live.owner.Session == nil || q.live.isOpen() {
		return next.ServeHTTP(w, r)
	}
	err := q.runLive(w, r, next)
	switch {
	case !q.live.Ended():
		return err
	case q.response.status != 0:
		q.abort(w)
	}
	q.answerEnded(w, r)
	return nil
}

// runLive runs the handlers while the session's end can end the request.
func (q *Request) runLive(w http.ResponseWriter, r *http.Request, next Handler) error {
	// The context is what handlers watch, and net/http has no other way to interrupt them. It is not
	// canceled when the request ends by itself: error routes may run with it after this, and it
	// ends with the server's own.
	ctx, cancel := context.WithCancel(r.Context())
	q.live.cancel, q.live.writer, q.live.log = cancel, w, q.gate.Log
	if r.ProtoMajor == 1 {
		q.live.conn = q.gate.Server.Conn(r)
	}
	// In place: the server's placeholders read this very http.Request.
	*r = *r.WithContext(ctx)
	q.gate.Streams.Open(&q.live.Request, q.Visit, q.live.owner.ID, &q.live)
	defer q.live.close()
	return next.ServeHTTP(w, r)
}

// flushTimeout is how long the beginning of an answer that breaks off may take to be sent.
const flushTimeout = 300 * time.Millisecond

// abort breaks off an answer that has begun, so that nobody takes what was sent for the whole. Some
// of it must arrive: where nothing does, browsers make some requests again by themselves, as
// whoever is active then.
func (q *Request) abort(w http.ResponseWriter) {
	if q.response.status != http.StatusSwitchingProtocols {
		_ = http.NewResponseController(serverWriter(w)).SetWriteDeadline(time.Now().Add(flushTimeout))
		_ = http.NewResponseController(q.response.ResponseWriter).Flush()
	}
	panic(http.ErrAbortHandler)
}

// contentHeaders are the header fields of an answer that was prepared and is not sent.
var contentHeaders = []string{"Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range", "Etag", "Expires", "Last-Modified", "Location", "Set-Cookie", "Trailer", "Transfer-Encoding", "Upgrade"}

// errClosed reports a request that was cut by the end of the gateway.
var errClosed = errors.New("the gateway was closed before the upstream had answered")

// answerEnded answers a request whose session ended before the upstream had answered. Closing the
// connection alone would have browsers make some requests again by themselves, as whoever is active
// then.
func (q *Request) answerEnded(w http.ResponseWriter, r *http.Request) {
	for _, name := range contentHeaders {
		delete(w.Header(), name)
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // the rest of the request is not read
	}
	if q.gate.Streams.Closed() {
		q.gate.Portal.Unavailable(q.answer(w), q.asMade(r), q.Visitor, errClosed) // the session lives on
		return
	}
	q.gate.Portal.RefuseEnded(q.answer(w))
}

// live is what ends a request when its session ends. A request belongs to the session whose identity
// or whose cookies the upstream was given. A request for which it was given neither is nobody's, and
// ends by itself.
type live struct {
	stream.Request
	owner session.Entry // the zero Entry if the request is nobody's

	// Interrupt and Sever use these, on other goroutines, while the request is open.
	cancel context.CancelFunc
	writer http.ResponseWriter // nil while it is not open
	conn   net.Conn            // nil if it is shared by several requests, or not known
	log    *zap.Logger
}

func (l *live) isOpen() bool { return l.writer != nil }

// close ends the registration. Interrupt and Sever do not run after it.
func (l *live) close() {
	l.Close()
	l.writer = nil
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Interrupt implements stream.Connection. It ends everything that a handler can wait for, except for
// a client that does not read: one that reads can still get an answer.
func (l *live) Interrupt() {
	l.log.Debug("a live connection ends because its session has ended, or is not the active one any more",
		zap.String("session", l.owner.ID), zap.String("account", l.owner.Identity.Account.ID()))
	l.cancel()
	_ = http.NewResponseController(serverWriter(l.writer)).SetReadDeadline(past)
}

// Sever implements stream.Connection.
func (l *live) Sever() {
	if l.conn != nil {
		reset(l.conn)
		return
	}
	// With HTTP/2 and 3 this ends the request's stream.
	_ = http.NewResponseController(serverWriter(l.writer)).SetWriteDeadline(past)
}

// serverWriter returns the server's own writer, whose deadlines may be set while a handler writes.
// Those around it, such as one that watches over idle writes, are for the handler's goroutine alone.
func serverWriter(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// reset ends a connection at once. The client loses what it has not received yet, and learns that
// the connection broke: an orderly end can be the end of an answer too.
func reset(conn net.Conn) {
	for {
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = wrapper.NetConn() // TLS would first send a close_notify, and wait for that
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Interface guard
var _ stream.Connection = (*live)(nil)
