package portal

import "github.com/caddy-multi-session/gateway/internal/origin"

// ParseOrigin is origin.Parse.
func ParseOrigin(text string) (string, error) { return origin.Parse(text) }
