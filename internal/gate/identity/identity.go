package identity

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// Field is a header field and the part of an identity that it carries.
type Field struct {
	Name  string // canonical
	value func(*session.Identity, Encoding) string
}

// presets are sets of fields by name. Each is what a family of upstream apps reads.
var presets = map[string][]Field{
	"remote": {
		{"Remote-User", userName},
		{"Remote-Email", email},
		{"Remote-Name", displayName},
		{"Remote-Groups", groups},
	},
	"forwarded": {
		{"X-Forwarded-User", userName},
		{"X-Forwarded-Email", email},
		{"X-Forwarded-Preferred-Username", userName},
		{"X-Forwarded-Groups", groups},
	},
	"webauth": {
		{"X-Webauth-User", userName},
		{"X-Webauth-Name", displayName},
		{"X-Webauth-Email", email},
		{"X-Webauth-Groups", groups},
	},
}

func userName(id *session.Identity, e Encoding) string    { return e.encode(id.UserName) }
func displayName(id *session.Identity, e Encoding) string { return e.encode(id.DisplayName()) }
func email(id *session.Identity, e Encoding) string       { return e.encode(id.VerifiedEmail()) }

// groups encodes each group by itself, because apps split the list before they decode anything.
func groups(id *session.Identity, e Encoding) string {
	if e.apply == nil {
		return strings.Join(id.Groups, ",")
	}
	encoded := make([]string, len(id.Groups))
	for i, group := range id.Groups {
		encoded[i] = e.encode(group)
	}
	return strings.Join(encoded, ",")
}

// Preset returns the fields of a preset. It returns an error if there is no preset of that name.
func Preset(name string) ([]Field, error) {
	fields, ok := presets[name]
	if !ok {
		return nil, fmt.Errorf("identity headers preset %q: must be one of forwarded, remote, webauth", name)
	}
	return fields, nil
}

// SetIdentity gives each field one value, that of the identity. A field whose value is missing or
// cannot be sent stays absent. The request must have been stripped.
func SetIdentity(h http.Header, fields []Field, id *session.Identity, e Encoding) {
	values := make([]string, len(fields))
	for i, field := range fields {
		if values[i] = field.value(id, e); sendable(values[i]) {
			h[field.Name] = values[i : i+1 : i+1]
		}
	}
}

// Set gives one field a value. It does nothing if the value is missing or cannot be sent.
func Set(h http.Header, name, value string, e Encoding) {
	if value = e.encode(value); sendable(value) {
		h.Set(name, value)
	}
}

// sendable reports whether a field can carry a value unchanged (RFC 9110, section 5.5), and the
// value is not empty.
func sendable(value string) bool {
	return value != "" && strings.TrimSpace(value) == value && httpguts.ValidHeaderFieldValue(value)
}

// reserved are fields that HTTP or the proxy itself uses. Setting one from an identity would break
// the request, or make two servers read it differently.
var reserved = []string{
	"Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Forwarded", "Host", "Keep-Alive",
	"Origin", "Proxy-Authorization", "Proxy-Connection", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding",
	"Upgrade", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
}

// ValidateName returns an error if a name is not a field name (RFC 9110, section 5.6.2), or if the
// field must not be set from an identity.
func ValidateName(name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("header %q: not a header field name", name)
	}
	// Fields with a similar name count as well, because Strip would delete the reserved one too.
	if slices.ContainsFunc(reserved, func(r string) bool { return fold(r) == fold(name) }) {
		return fmt.Errorf("header %s: cannot be set from an identity", name)
	}
	return nil
}
