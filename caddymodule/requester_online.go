package caddymodule

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// online is a server that runs, asked at its admin endpoint.
type online struct {
	http.Transport
	address string
	base    string // scheme and host
	from    string // the Origin that requests have, none on a socket
}

// newOnline returns the server at an address as Caddy's configuration has it, whether one is there
// or not. caddycmd.AdminAPIRequest would do, but for the reason of a failure, which it makes a text,
// and for time limits.
func newOnline(address string) (*online, error) {
	address, err := caddy.NewReplacer().ReplaceOrErr(address, true, true)
	if err != nil {
		return nil, fmt.Errorf("admin address: %w", err)
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 {
		return nil, fmt.Errorf("admin address %q: is not an address such as localhost:2019 or unix//run/caddy.sock", address)
	}
	network, target := parsed.Network, parsed.JoinHostPort(0)
	o := &online{address: address, base: "http://" + target, from: "http://" + target}
	if parsed.IsUnixNetwork() {
		target, _, _ = strings.Cut(parsed.Host, "|") // behind it is the socket's mode, for who listens
		o.base, o.from = "http://127.0.0.1", ""      // a socket has no name that could be checked
	}
	o.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, target)
	}
	return o, nil
}

// reachTimeout is how long a server has to accept a connection. It is on this machine, mostly.
const reachTimeout = 5 * time.Second

// reach returns nil if anybody listens there.
func (o *online) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	conn, err := o.DialContext(ctx, "", "")
	if err != nil {
		return err
	}
	return conn.Close()
}

// RoundTrip says where the request is from, as an admin endpoint may insist on (enforce_origin).
func (o *online) RoundTrip(r *http.Request) (*http.Response, error) {
	if o.from != "" {
		r.Header.Set("Origin", o.from)
	}
	return o.Transport.RoundTrip(r)
}

func (o *online) origin() string { return o.base }

func (o *online) String() string { return "the server at " + o.address }

func (o *online) Close() error {
	o.CloseIdleConnections()
	return nil
}
