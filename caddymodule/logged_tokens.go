package caddymodule

import (
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-multi-session/gateway/internal/gate"
)

// Caddy's reverse_proxy writes the header of each request that it forwards to the debug log. It leaves
// out the values of a few fields (caddyhttp.LoggableHTTPHeader), and a module cannot name further ones.

// hiddenFields are the fields of requests whose values Caddy's logs leave out, without log_credentials.
var hiddenFields = []string{"Authorization", "Cookie", "Proxy-Authorization"}

// noteTokenFields notes the fields in which a gate gives upstreams a token that the logs show.
func (a *App) noteTokenFields(headers []gate.Header) {
	for _, h := range headers {
		token := strings.Contains(h.Value, "{http.auth.user.access_token}") || strings.Contains(h.Value, "{http.auth.user.id_token}")
		name := http.CanonicalHeaderKey(h.Name)
		if token && !slices.Contains(hiddenFields, name) && !slices.Contains(a.loggedTokens, name) {
			a.loggedTokens = append(a.loggedTokens, name)
		}
	}
}

// warnLoggedTokens logs which fields with tokens the debug log shows, if there is one.
func (a *App) warnLoggedTokens() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.log.Core().Enabled(zapcore.DebugLevel) {
		return
	}
	for _, name := range a.loggedTokens {
		a.log.Warn("the debug log shows the tokens of accounts, because reverse_proxy writes this field to it: use Authorization, whose value it leaves out, or a filter of the log that deletes the field",
			zap.String("field", name))
	}
}
