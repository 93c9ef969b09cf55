package main

import "fmt"

// The names of the variants, as the tables have them.
const (
	withoutGate  = "without gate"
	floor        = "floor"
	floorAgain   = "floor again"
	gate         = "gate"
	noIsolations = "gate, no isolation"
)

// variant is what stands in front of the upstream.
type variant struct {
	name      string
	gated     bool   // the gateway is part of it, and somebody has to sign in
	directive string // of the site, in front of reverse_proxy
}

// variants are all that a round measures. The floor is there twice: what its two processes differ
// by is noise.
var variants = []variant{
	{name: withoutGate},
	{name: floor, directive: "bench_floor " + floorToken},
	{name: floorAgain, directive: "bench_floor " + floorToken},
	{name: gate, gated: true, directive: "multi_session"},
	{name: noIsolations, gated: true, directive: "multi_session {\n\t\tisolate_cookies off\n\t\tisolate_cache off\n\t}"},
}

// The account that signs in. It has no groups, so that the gate sets the three headers that the
// floor sets too. The hash is cheap to check, because checking it is not what is measured.
const (
	userName     = "alice"
	userEmail    = "alice@example.com"
	userFullName = "Alice Example"
	userPassword = "alice-example"
	userHash     = "$2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK"
)

// caddyfile is the configuration of a server. The admin endpoint serves profiles and the count of
// allocations, and is on loopback like all else.
func (v variant) caddyfile(site, admin, upstream, store string) string {
	app := ""
	if v.gated {
		app = fmt.Sprintf(`
	multi_session {
		store bbolt {
			path %s
		}
		login password {
			user %s %s "%s" {
				name "%s"
			}
		}
	}`, store, userName, userEmail, userHash, userFullName)
	}
	return fmt.Sprintf(`{
	admin %s
	persist_config off
	default_bind 127.0.0.1
	log {
		level ERROR
	}
	servers {
		protocols h1 h2c
	}%s
}
http://%s {
	%s
	reverse_proxy %s
}
`, admin, app, site, v.directive, upstream)
}
