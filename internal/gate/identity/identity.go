package identity

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// Field is a header field and what of an identity it carries.
type Field struct {
	Name  string
	value func(*session.Identity) string
}

// The presets, by name. Each is what a family of upstream apps reads.
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
		{"X-WEBAUTH-USER", userName},
		{"X-WEBAUTH-NAME", displayName},
		{"X-WEBAUTH-EMAIL", email},
		{"X-WEBAUTH-GROUPS", groups},
	},
}

func userName(id *session.Identity) string    { return id.UserName }
func displayName(id *session.Identity) string { return id.DisplayName() }
func groups(id *session.Identity) string      { return strings.Join(id.Groups, ",") }

func email(id *session.Identity) string { return id.VerifiedEmail() }

// Preset returns the fields of a preset.
func Preset(name string) ([]Field, error) {
	fields, ok := presets[name]
	if !ok {
		return nil, fmt.Errorf("identity headers preset %q: must be one of forwarded, remote, webauth", name)
	}
	return fields, nil
}

// SetIdentity sets each field to its value, one each. A field whose value is missing stays absent.
// The request must have been stripped.
func SetIdentity(h http.Header, fields []Field, id *session.Identity) {
	for _, field := range fields {
		Set(h, field.Name, field.value(id))
	}
}

// Set sets one field. A value that is empty or that a header field cannot carry unchanged
// (RFC 9110, section 5.5) is not set.
func Set(h http.Header, name, value string) {
	if value == "" || strings.TrimSpace(value) != value || !httpguts.ValidHeaderFieldValue(value) {
		return
	}
	h.Set(name, value)
}

// taken are the fields that HTTP itself or the proxy works with; to set one from an identity would
// break the request or let it be read differently by two servers.
var taken = []string{
	"Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Forwarded", "Host", "Keep-Alive",
	"Origin", "Proxy-Authorization", "Proxy-Connection", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding",
	"Upgrade", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
}

// ValidateName refuses a name that is not a header field's (RFC 9110, section 5.6.2) or that is
// not free to be set.
func ValidateName(name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("header %q: not a header field name", name)
	}
	// Whatever an upstream could take for one of them would be deleted from requests with it.
	if slices.ContainsFunc(taken, func(t string) bool { return fold(t) == fold(name) }) {
		return fmt.Errorf("header %s: cannot be set from an identity", name)
	}
	return nil
}
