package caddymodule

import (
	"context"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/gate/stream"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// live is a request that passes as a session, for as long as it does: what it takes to end it when the
// session ends. It belongs to the session whose identity or whose cookies the upstream was given; a
// request of which it was given neither is nobody's, and ends by itself.
type live struct {
	stream.Request
	owner session.Entry // whose it is; the zero Entry where it is nobody's
	open  bool
	log   *zap.Logger

	// What Interrupt and Sever work on, which other goroutines call.
	cancel context.CancelFunc
	writer http.ResponseWriter
	conn   net.Conn // nil where others are answered on it too, or where it is not known
}

// claim says that the upstream is given the identity or the cookies of the entry's session, which is the
// active one. It holds for all that becomes of the request, and of several gates one is enough.
func (a *arrival) claim(entry session.Entry, endOnSwitch bool) {
	a.live.owner = entry
	if endOnSwitch {
		a.live.EndOnSwitch()
	}
}

// serve hands a request on to what comes next, and has it end when the session ends that it belongs to.
func (a *arrival) serve(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if a.live.owner.Session == nil || a.live.open {
		return next.ServeHTTP(w, r)
	}
	err := a.watched(w, r, next)
	if !a.live.Ended() {
		return err
	}
	if a.guard.sent {
		// What was sent must not be taken for the whole answer. Some of it has to arrive, though: where nothing
		// does browsers make some requests again by themselves, as whoever is active by then.
		if !a.guard.switched {
			_ = http.NewResponseController(serversOwn(w)).SetWriteDeadline(time.Now().Add(begun))
			_ = http.NewResponseController(a.guard.ResponseWriter).Flush()
		}
		panic(http.ErrAbortHandler)
	}
	a.answerEnded(w, r)
	return nil
}

// watched is serve while others may end the request.
func (a *arrival) watched(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	ctx, cancel := context.WithCancel(r.Context())
	a.live.cancel, a.live.writer, a.live.log = cancel, w, a.engine.log
	if r.ProtoMajor == 1 {
		a.live.conn, _ = ctx.Value(connKey{}).(net.Conn)
	}
	// In place: the placeholders of the site's configuration are those of this very Request. Nobody cancels
	// the context of one that ends by itself, because error routes may be run with it after this; it
	// is over when the server's own is.
	*r = *r.WithContext(ctx)
	a.live.open = true
	a.engine.streams.Open(&a.live.Request, a.Visit, a.live.owner.ID, &a.live)
	defer func() {
		a.live.Close()
		a.live.open = false
	}()
	return next.ServeHTTP(w, r)
}

// begun is how long the beginning of an answer that breaks off may take to be sent.
const begun = 300 * time.Millisecond

// answerEnded answers a request whose session ended before the upstream had answered. Where that was to
// close the connection, browsers would try some requests again by themselves, as whoever is active by then.
func (a *arrival) answerEnded(w http.ResponseWriter, r *http.Request) {
	for _, name := range aboutContent {
		delete(w.Header(), name)
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // the rest of the request is not read
	}
	a.engine.portal.Ended(a.answer(w))
}

// aboutContent are headers of an answer that was prepared and is not given.
var aboutContent = []string{"Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range", "Etag", "Expires", "Last-Modified", "Location", "Set-Cookie", "Trailer", "Transfer-Encoding", "Upgrade"}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Interrupt implements stream.Connection. It takes from whoever serves the request what it can wait for,
// but for a client that does not read: an answer can still be given to one that does.
func (l *live) Interrupt() {
	l.log.Debug("a live connection ends because its session has ended, or is not the active one any more",
		zap.String("session", l.owner.ID), zap.String("account", l.owner.Identity.Account.ID()))
	l.cancel()
	_ = http.NewResponseController(serversOwn(l.writer)).SetReadDeadline(past)
}

// Sever implements stream.Connection.
func (l *live) Sever() {
	if l.conn != nil {
		reset(l.conn)
		return
	}
	// On HTTP/2 and 3 that is the end of the request's stream.
	_ = http.NewResponseController(serversOwn(l.writer)).SetWriteDeadline(past)
}

// serversOwn is the response writer of the server itself, whose deadlines may be set while a handler
// writes. Those around it, as Caddy's own that watches over idle writes, are for the handler alone.
func serversOwn(w http.ResponseWriter) http.ResponseWriter {
	for {
		around, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = around.Unwrap()
	}
}

// reset ends a connection at once. What the client was sent and has not received is lost, and it learns
// that the connection broke: the mere end of one can be the end of an answer too.
func reset(conn net.Conn) {
	for {
		around, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = around.NetConn() // TLS would first say goodbye, and wait for that
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// connKey is the key of the connection in the contexts of its requests.
type connKey struct{}

// connections has a server's requests know the connection that they came on. Handlers call it as they call
// manage.
func (a *App) connections(server *caddyhttp.Server) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.connected, server) {
		return
	}
	a.connected = append(a.connected, server)
	server.RegisterConnContext(func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	})
}

// judge says what has become of a session: it implements stream.Lookup.
func (e *engine) judge(ctx context.Context, since session.Visit, id string) (session.Visit, stream.State, error) {
	now, err := e.manager.Follow(ctx, since)
	if err != nil {
		return since, stream.StateEnded, err
	}
	entry, live := now.Live(id)
	if live && e.grants != nil {
		// Its provider is to stand by it as if it were used, or nobody would learn that it does not any
		// more. Nothing is waited for: the next round sees what came of it.
		_, live = e.grants.Current(atOnce, entry)
	}
	switch {
	case !live:
		return now, stream.StateEnded, nil
	case !entry.Active:
		return now, stream.StateInactive, nil
	}
	return now, stream.StateActive, nil
}

// atOnce is the context of who waits for nothing.
var atOnce = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Interface guard
var _ stream.Connection = (*live)(nil)
