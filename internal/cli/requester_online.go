package cli

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

// online is a running server, asked at its admin endpoint.
type online struct {
	http.Transport
	address string
	base    string // scheme and host of the requests' URLs
	from    string // value of the requests' Origin header; empty: none
}

// newOnline returns the server at an address, whether one listens there or not. It does not use
// caddycmd.AdminAPIRequest, which hides the cause of an error and sets no time limit.
func newOnline(address Address) *online {
	o := &online{address: address.Text, base: "http://" + address.Target, from: "http://" + address.Target}
	if strings.HasPrefix(address.Network, "unix") {
		// A socket has no host name to send. Caddy accepts this one there, without an Origin.
		o.base, o.from = "http://127.0.0.1", ""
	}
	o.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, address.Network, address.Target)
	}
	return o
}

// probeTimeout is how long a server may take to accept a connection. Most run on this machine.
const probeTimeout = 5 * time.Second

// probe returns nil if somebody listens at the address.
func (o *online) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := o.DialContext(ctx, "", "")
	if err != nil {
		return err
	}
	return conn.Close()
}

// RoundTrip implements http.RoundTripper. It sets the Origin header, which an admin endpoint with
// enforce_origin requires.
func (o *online) RoundTrip(r *http.Request) (*http.Response, error) {
	if o.from != "" {
		r.Header.Set("Origin", o.from)
	}
	return o.Transport.RoundTrip(r)
}

func (o *online) origin() string { return o.base }

func (o *online) String() string { return "the server at " + o.address }

// Close implements io.Closer.
func (o *online) Close() error {
	o.CloseIdleConnections()
	return nil
}
