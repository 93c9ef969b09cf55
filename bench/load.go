package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The protocols that are measured. HTTP/2 is without TLS, so that encryption does not hide what the
// gate costs.
const (
	http1 = "HTTP/1.1"
	http2 = "HTTP/2 (h2c)"
)

var protocols = []string{http1, http2}

// concurrency is how many requests are under way at a time, so that the server always has work: over
// as many connections of HTTP/1.1, or over one of HTTP/2, as browsers do.
const concurrency = 8

// sendLimit is how long a server may take for the requests of one call of send, at most a few thousand.
const sendLimit = time.Minute

// load is what sends the same request to a server over and over, on connections that it keeps.
type load struct {
	server    *server
	cookie    string // Cookie header
	transport *http.Transport
}

func newLoad(s *server, protocol, cookie string) *load {
	connections := concurrency
	speaks := new(http.Protocols)
	if protocol == http2 {
		connections = 1
		speaks.SetUnencryptedHTTP2(true)
	} else {
		speaks.SetHTTP1(true)
	}
	return &load{s, cookie, &http.Transport{
		Protocols:           speaks,
		MaxConnsPerHost:     connections,
		MaxIdleConnsPerHost: connections,
		DisableCompression:  true, // the header of the request says what a browser's does
	}}
}

// send sends so many requests, and returns when all are answered. An answer that is not the app's, or
// that sets a cookie, is an error: a browser would send something else next time.
func (l *load) send(ctx context.Context, requests int) error {
	ctx, end := context.WithTimeout(ctx, sendLimit)
	defer end()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var left atomic.Int64
	left.Store(int64(requests))
	var workers sync.WaitGroup
	for range concurrency {
		workers.Go(func() {
			request, err := l.request(ctx)
			for err == nil && left.Add(-1) >= 0 {
				err = l.sendOne(request)
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

func (l *load) request(ctx context.Context) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.server.base+"/item", nil)
	if err != nil {
		return nil, err
	}
	for name, value := range browserHeaders {
		request.Header.Set(name, value)
	}
	request.Header.Set("Cookie", l.cookie)
	return request, nil
}

func (l *load) sendOne(request *http.Request) error {
	response, err := l.transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	size, err := io.Copy(io.Discard, response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", l.server.variant.name, response.Status)
	case size != int64(len(itemBody)):
		return fmt.Errorf("%s: the body has %d bytes, want %d", l.server.variant.name, size, len(itemBody))
	case response.Header["Set-Cookie"] != nil:
		return fmt.Errorf("%s: an answer sets a cookie: %q", l.server.variant.name, response.Header["Set-Cookie"])
	}
	return nil
}
