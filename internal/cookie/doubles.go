package cookie

import (
	"net/http"
	"slices"

	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// A browser can hold several cookies of one name, and sends all of them: one of the host alone, and
// one of each domain above it. So there are several jar's cookies after cookie_domain was changed,
// where another gateway serves a domain above or below, and where somebody has planted one.

// MaxTokens bounds the tokens of one request that are looked up.
const MaxTokens = 4

// Tokens returns the tokens in all of a request's jar's cookies, each once. There are none if there
// are more than MaxTokens.
func (j Spec) Tokens(h http.Header) (tokens []session.Token) {
	for _, line := range h["Cookie"] {
		for line != "" {
			var name, value string
			_, name, value, line = Next(line)
			if name != j.Name {
				continue
			}
			token, err := session.ParseToken(value)
			if err != nil || slices.Contains(tokens, token) {
				continue
			}
			if len(tokens) == MaxTokens {
				return nil
			}
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// ClearDoubles deletes the jar's cookie from every other place where a browser could hold one that
// it sends to the host: the host alone, its name as a domain, and the domains above. It must come
// before Set in an answer. The host is in lower case and without a port.
func (j Spec) ClearDoubles(h http.Header, host string) {
	if j.Secure && j.Domain == "" {
		return // browsers hold one alone, because of the prefix
	}
	own := j.Domain
	for _, j.Domain = range append([]string{""}, origin.CookieDomains(host)...) {
		if j.Domain != own {
			j.Clear(h)
		}
	}
}
