// Package gateway is what to name when building Caddy with plugins: to import it is to have the
// gateway's modules in the binary. It has nothing else; see package caddymodule for what they are.
package gateway

import _ "github.com/caddy-multi-session/gateway/caddymodule"
