package portal

import (
	"bytes"
	_ "embed"
)

// openAPI describes the JSON API for programs and their authors (OpenAPI 3.1). It is written by hand
// and is what is promised; tests hold the routes and every answer to it.
//
//go:embed openapi.json
var openAPI []byte

// openAPIServer is where the document says that the API is.
const openAPIServer = `"url": "/.auth"`

// description is the route of the API's description. The address in it is a path with the configured
// prefix, so that it is right on every host. A "." for where the document itself is would need no
// rewriting, but resolves to an address that ends in a slash, and tools append to it paths that begin
// with one.
//
// It is sent as application/json. Browsers show that and every tool reads it, which cannot be said of
// types that name OpenAPI.
func (p *Portal) description() route {
	// A prefix has no character that JSON would write in another way.
	server := `"url": "` + p.prefix + `"`
	return route{get: asset(bytes.Replace(openAPI, []byte(openAPIServer), []byte(server), 1), "application/json")}
}
