package cli

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// offline is a database that this process has open. Requests reach the handler of its
// administration API through a pipe, so that they are the same requests as to a server.
type offline struct {
	http.Transport
	server http.Server
	pipes  *pipes
	name   string
	close  func() error
}

// newOffline serves the handler behind a pipe. Close waits for all requests and then calls close.
func newOffline(name string, handler http.Handler, close func() error) *offline {
	o := &offline{pipes: newPipes(), name: name, close: close}
	o.DialContext = o.pipes.dial
	o.server.Handler = handler
	o.server.ErrorLog = log.New(io.Discard, "", 0) // the client sees the error of a broken request
	go func() { _ = o.server.Serve(o.pipes) }()    // returns when Close shuts it down
	return o
}

func (o *offline) origin() string { return "http://offline" }

func (o *offline) String() string { return o.name }

// Close implements io.Closer.
func (o *offline) Close() error {
	o.CloseIdleConnections()
	return errors.Join(o.server.Shutdown(context.Background()), o.close())
}

// pipes is a net.Listener for connections within the process.
type pipes struct {
	accepting chan net.Conn
	closed    chan struct{}
	closing   sync.Once
}

func newPipes() *pipes {
	return &pipes{accepting: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.accepting <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepting:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.closing.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
