package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-multi-session/gateway/internal/gate"
)

// IsolateCache configures which answers of the upstream a browser may show to another account than
// the one that got them. By default none.
type IsolateCache struct {
	// Off passes the answers with the upstream's own cache headers.
	Off bool `json:"off,omitempty"`

	// Public are paths, as in the path matcher, whose answers are the same for everybody. They pass
	// with the upstream's own cache headers, unless they set a cookie.
	Public []string `json:"public,omitempty"`

	// KeepOnSwitch leaves out the page that the gateway shows before the first page of a host under
	// another account. Without that page, Chromium can show images of the account before when
	// somebody goes back in the history.
	KeepOnSwitch bool `json:"keep_on_switch,omitempty"`

	public caddyhttp.MatchPath
}

// validate refuses options that contradict each other, and patterns that match no path.
func (o *IsolateCache) validate() error {
	if o == nil {
		return nil
	}
	switch {
	case o.Off && len(o.Public) > 0:
		return errors.New("isolate_cache: public makes no sense where it is off")
	case o.Off && o.KeepOnSwitch:
		return errors.New("isolate_cache: keep_on_switch makes no sense where it is off")
	}
	named := make(map[string]bool)
	for _, path := range o.Public {
		switch {
		case !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "*"):
			return fmt.Errorf("isolate_cache: public %q: must begin with a slash or an asterisk", path)
		case named[path]:
			return fmt.Errorf("isolate_cache: public %s: is named twice", path)
		}
		named[path] = true
	}
	return nil
}

// provision translates the options for the gate. It is nil if the isolation is off.
func (o *IsolateCache) provision(ctx caddy.Context) (*gate.CacheOptions, error) {
	switch {
	case o == nil:
		return new(gate.CacheOptions), nil
	case o.Off:
		return nil, nil
	}
	options := &gate.CacheOptions{KeepOnSwitch: o.KeepOnSwitch}
	if len(o.Public) > 0 {
		o.public = append(caddyhttp.MatchPath(nil), o.Public...)
		if err := o.public.Provision(ctx); err != nil {
			return nil, fmt.Errorf("isolate_cache: %w", err)
		}
		options.Public = o.isPublic
	}
	return options, nil
}

// isPublic reports whether a request, as the browser made it, is for a public path.
func (o *IsolateCache) isPublic(r *http.Request) bool {
	matches, err := o.public.MatchWithError(r)
	return err == nil && matches
}
