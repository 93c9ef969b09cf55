package portal

import (
	"bytes"
	_ "embed"
)

// openAPI describes the JSON API for programs and their authors (OpenAPI 3.1). It is written by
// hand and is what is promised; tests hold the routes and every answer to it.
//
//go:embed openapi.json
var openAPI []byte

// openAPIServer is the API's address in the document.
const openAPIServer = `"url": "/.auth"`

// description serves the API's description. It replaces the server's address by the configured
// prefix, as a path, so that it is right on every host. The relative address "." would need no
// replacement, but it resolves to an address that ends in a slash, and tools append paths that
// begin with one.
//
// The type is application/json, which browsers display and every tool reads.
func (p *Portal) description() route {
	// JSON needs no escapes for the characters of a prefix.
	server := `"url": "` + p.prefix + `"`
	return route{get: asset(bytes.Replace(openAPI, []byte(openAPIServer), []byte(server), 1), "application/json")}
}
