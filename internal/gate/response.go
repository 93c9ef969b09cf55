package gate

import (
	"errors"
	"io"
	"net/http"
	"slices"
)

// response is the writer of a forwarded request. It keeps an upstream from setting or clearing the
// gateway's cookies, and what it has browsers keep apart by session. It changes the header of an
// answer just before the header is sent, in whichever way a handler sends it, and hands everything
// else on as it is.
//
// A request has one, of the gate that is the outermost. Error routes run with the writer of the
// server itself, so for them forward puts it in place again.
type response struct {
	http.ResponseWriter
	of *Request

	status  int      // of the final header, once that was sent; else 0
	cookies []string // Set-Cookie fields that were sent
}

// errEnded is what a handler gets that goes on writing after the session has ended.
var errEnded = errors.New("the session that the request was made as has ended")

// withheld reports whether the browser gets nothing more of the upstream's answer, because the
// session has ended that the answer was for.
func (w *response) withheld() bool { return w.of.live.Ended() && w.of.phase != answered }

// isFinal reports whether nothing of HTTP follows a header with the status. Informational headers
// come before the final one, each with fields of its own.
func isFinal(status int) bool { return status >= 200 || status == http.StatusSwitchingProtocols }

// filter changes a header before it is sent.
func (w *response) filter(status int) {
	if w.status != 0 || w.of.phase == answered {
		return
	}
	header := w.Header()
	w.of.storeCookies(header, !isFinal(status))
	if isFinal(status) && status != http.StatusSwitchingProtocols {
		w.of.markAnswer(header, status)
		w.of.storeConfirmation(header)
	}
	w.cookies = header["Set-Cookie"]
}

// begin filters and sends the header of an answer, if that was not done yet. It is false if the
// answer is withheld.
func (w *response) begin() bool {
	if w.withheld() {
		return false
	}
	w.filter(http.StatusOK)
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return true
}

// end filters what a handler added after the header was sent. That is meant for trailers, but a
// handler further out that holds the answer back would send it as header fields. If no header was
// sent, the server sends it after this, unless the request has failed and error routes answer.
func (w *response) end(failed bool) {
	if w.of.phase == answered {
		return
	}
	if w.status == 0 && !failed {
		w.filter(http.StatusOK)
		return
	}
	header := w.Header()
	sent, added := w.cookies, header["Set-Cookie"]
	if len(added) < len(sent) || !slices.Equal(added[:len(sent)], sent) {
		sent = nil
	}
	// The gateway's own are among those that were sent.
	if added = added[len(sent):]; len(added) > 0 {
		header["Set-Cookie"] = slices.Clone(added)
	} else {
		delete(header, "Set-Cookie")
	}
	w.of.storeCookies(header, true)
	if len(sent) > 0 {
		header["Set-Cookie"] = slices.Concat(sent, header["Set-Cookie"])
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.withheld() {
		return
	}
	w.filter(status)
	if isFinal(status) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if !w.begin() {
		return 0, errEnded
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom. The server's writer can copy files within the kernel.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	if !w.begin() {
		return 0, errEnded
	}
	if to, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(w.ResponseWriter, r)
}

// FlushError is how http.ResponseController flushes. It sends the header if that was not sent yet.
func (w *response) FlushError() error {
	if !w.begin() {
		return errEnded
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Push implements http.Pusher.
func (w *response) Push(target string, options *http.PushOptions) error {
	if pusher, ok := w.ResponseWriter.(http.Pusher); ok {
		return pusher.Push(target, options)
	}
	return http.ErrNotSupported
}

// Unwrap gives http.ResponseController the server's writer.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Interface guards
var (
	_ http.ResponseWriter = (*response)(nil)
	_ http.Pusher         = (*response)(nil)
	_ io.ReaderFrom       = (*response)(nil)
)
