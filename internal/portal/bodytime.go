package portal

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// bodyPatience is how long a request's body may make no progress. Whoever sends bodies slowly on
// purpose would else hold a connection, and what it needs in memory, for as long as they like.
const bodyPatience = 10 * time.Second

// boundBody has reads of a request's body fail when it makes no progress for bodyPatience. The caller
// calls the result when it has answered. Then what is left of the body has bodyPatience to arrive:
// servers read it before they send the answer.
//
// A timer sets the connection's deadline only when time is up, so that a shorter deadline of the
// server's own stays in force.
func boundBody(w http.ResponseWriter, r *http.Request) (answered func()) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}
	}
	b := &boundedBody{ReadCloser: r.Body, connection: http.NewResponseController(w)}
	b.timer = time.AfterFunc(bodyPatience, b.expire)
	r.Body = b
	return b.leave
}

// boundedBody is a request's body with a timer that each progress starts again.
type boundedBody struct {
	io.ReadCloser
	connection *http.ResponseController
	timer      *time.Timer

	mu   sync.Mutex
	done bool // the body has ended, is cut, or is not read any more
}

func (b *boundedBody) Read(into []byte) (n int, err error) {
	n, err = b.ReadCloser.Read(into)
	switch {
	case errors.Is(err, io.EOF):
		b.finish()
	case n > 0:
		b.timer.Reset(bodyPatience)
	}
	return n, err
}

// expire ends the read that is waiting, and all later ones. Servers that know no deadlines have
// nothing to wait for.
func (b *boundedBody) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		b.done = true
		_ = b.connection.SetReadDeadline(time.Unix(1, 0))
	}
}

// finish stops the timer, and reports whether it is the first call.
func (b *boundedBody) finish() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer.Stop()
	first := !b.done
	b.done = true
	return first
}

// leave sets a deadline for what nobody has read.
func (b *boundedBody) leave() {
	if b.finish() {
		_ = b.connection.SetReadDeadline(time.Now().Add(bodyPatience))
	}
}
