// Command caddy is Caddy with its standard modules and the multi-session gateway.
//
// It is what `go run ./cmd/caddy` starts from a clone. People who already build their own Caddy
// add the module to it with xcaddy instead; both binaries behave alike.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-multi-session/gateway/caddymodule"
)

func main() {
	caddycmd.Main()
}
