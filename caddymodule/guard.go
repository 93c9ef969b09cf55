package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// guard keeps an upstream's response from setting or clearing the gateway's cookies. It changes the
// header just before it is sent, whichever way the upstream's handler comes to that, and hands all
// else on untouched.
type guard struct {
	caddyhttp.ResponseWriterWrapper
	arrived *arrival
	request *http.Request
	sent    bool
	cookies []string // Set-Cookie fields that were sent

	switched bool // to another protocol: the connection is the handler's, and no answer is written any more
}

// apart is what a gate keeps apart by account. What is nil is left as it is.
type apart struct {
	cookies *cookie.Isolation
	caches  *IsolateCache

	clearStorage bool // with what browsers have in memory they forget what scripts have stored
}

// pass hands a request on to what comes after the gateway: the gateway's cookies are taken out of the
// request and kept out of the response, and what the upstream gives browsers to keep is kept apart.
// Within it there is one guard, the outermost. An error runs the
// site's error routes with the response writer that Caddy began with, so they need a guard of their own.
func (a *arrival) pass(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, by apart) error {
	if a.passing {
		return a.serve(w, r, next)
	}
	if a.settleCache(r, by.caches) && a.beginsAfresh(w, r, by) {
		return nil
	}
	a.sortCookies(r, by.cookies)
	a.guard = guard{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, arrived: a, request: r}
	a.passing = true
	err := a.serve(&a.guard, r, next)
	a.passing = false
	a.guard.end(err != nil)
	return err
}

// answer says that the gateway itself answers, so that a guard further out lets its cookies pass.
func (a *arrival) answer(w http.ResponseWriter) http.ResponseWriter {
	a.answered = true
	return w
}

// filter changes the header of an answer with the status, which may be informational.
func (g *guard) filter(status int) {
	if g.sent || g.arrived.answered {
		return
	}
	header := g.Header()
	g.arrived.answerCookies(g.request, header, !final(status))
	if final(status) && status != http.StatusSwitchingProtocols {
		g.arrived.answerCache(g.request, header, status)
	}
	g.cookies = header["Set-Cookie"]
}

func final(status int) bool { return status >= 200 || status == http.StatusSwitchingProtocols }

// end sees to what was added behind the header. That is meant for trailers; a handler further out that
// holds the response back would send it as header fields. Where nothing was sent at all, the header goes
// when the site is through, unless error routes answer instead.
func (g *guard) end(failed bool) {
	if g.arrived.answered {
		return
	}
	if !g.sent && !failed {
		g.filter(http.StatusOK)
		return
	}
	header := g.Header()
	sent, added := g.cookies, header["Set-Cookie"]
	if len(added) < len(sent) || !slices.Equal(added[:len(sent)], sent) {
		sent = nil
	}
	// The gateway's own are among those that were sent.
	if added = added[len(sent):]; len(added) > 0 {
		header["Set-Cookie"] = slices.Clone(added)
	} else {
		delete(header, "Set-Cookie")
	}
	g.arrived.answerCookies(g.request, header, true)
	if len(sent) > 0 {
		header["Set-Cookie"] = slices.Concat(sent, header["Set-Cookie"])
	}
}

// errEnded is what an upstream's handler is told that goes on answering after that.
var errEnded = errors.New("the session has ended that the request was made as")

// withheld reports whether the browser is to get nothing more of the upstream's answer, because the
// session has ended that it was for.
func (g *guard) withheld() bool { return g.arrived.live.Ended() && !g.arrived.answered }

// WriteHeader implements http.ResponseWriter. Informational responses go before the final one and
// carry a header of their own each.
func (g *guard) WriteHeader(status int) {
	if g.withheld() {
		return
	}
	g.filter(status)
	if final(status) {
		g.sent = true
		g.switched = status == http.StatusSwitchingProtocols
	}
	g.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (g *guard) Write(p []byte) (int, error) {
	if g.withheld() {
		return 0, errEnded
	}
	g.filter(http.StatusOK)
	g.sent = true
	return g.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (g *guard) ReadFrom(r io.Reader) (int64, error) {
	if g.withheld() {
		return 0, errEnded
	}
	g.filter(http.StatusOK)
	g.sent = true
	return g.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what http.ResponseController flushes with; it sends the header if nothing has yet.
func (g *guard) FlushError() error {
	if g.withheld() {
		return errEnded
	}
	g.filter(http.StatusOK)
	g.sent = true
	return http.NewResponseController(g.ResponseWriter).Flush()
}

// Interface guards
var (
	_ http.ResponseWriter = (*guard)(nil)
	_ io.ReaderFrom       = (*guard)(nil)
)
