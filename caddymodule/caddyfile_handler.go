package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-multi-session/gateway/internal/session"
)

func init() {
	httpcaddyfile.RegisterDirective(appName, parseHandler)
	httpcaddyfile.RegisterDirectiveOrder(appName, httpcaddyfile.Before, "basic_auth")
}

// parseHandler makes a route of the directive. The matcher belongs to the handler and not to the
// route, so that the portal can be reached, and forged headers are deleted, on the whole site.
func parseHandler(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	handler := new(Handler)
	if matcher != nil {
		handler.MatchRaw = caddyhttp.RawMatcherSets{matcher}
	}
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return h.NewRoute(nil, handler), nil
}

// UnmarshalCaddyfile sets up the handler from the directive. Syntax:
//
//	multi_session [<matcher>] {
//	    require group|user <value...>
//	    require claim <path> <value...>
//	    identity_headers <preset...>|off
//	    header <name> <value>
//	    header_encoding utf-8|rfc2047|percent|quoted-printable
//	    optional
//	    isolate_cookies on|off
//	    isolate_cookies {
//	        except <name...>
//	        scripted <name...>
//	    }
//	    isolate_cache on|off
//	    isolate_cache {
//	        public <path...>
//	        keep_on_switch
//	    }
//	    websocket_origins <origin...>
//	    end_streams_on_switch
//	    strip_authorization
//	    clear_storage_on_switch
//	    ambiguous_paths allow|refuse
//	}
//
// An account must meet all require lines, and any value of each. Without the block, any signed-in
// account passes, and the upstream gets the headers of the preset remote.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	b := &block{Dispenser: d}
	b.Next() // the directive's name
	if err := b.noMore(); err != nil {
		return err
	}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		var err error
		switch b.Val() {
		case "require":
			err = h.unmarshalRequire(b)
		case "identity_headers":
			err = h.unmarshalIdentityHeaders(b)
		case "header":
			err = h.unmarshalHeader(b)
		case "header_encoding":
			if h.HeaderEncoding, err = b.value(); err == nil {
				if _, unknown := headerEncoding(h.HeaderEncoding); unknown != nil {
					err = b.WrapErr(unknown)
				}
			}
		case "optional":
			h.Optional = true
			err = b.flag()
		case "isolate_cookies":
			err = h.unmarshalIsolateCookies(b)
		case "isolate_cache":
			err = h.unmarshalIsolateCache(b)
		case "websocket_origins":
			err = h.unmarshalWebsocketOrigins(b)
		case "clear_storage_on_switch":
			h.ClearStorageOnSwitch = true
			err = b.flag()
		case "strip_authorization":
			h.StripAuthorization = true
			err = b.flag()
		case "end_streams_on_switch":
			h.EndStreamsOnSwitch = true
			err = b.flag()
		case "ambiguous_paths":
			if h.AmbiguousPaths, err = b.value(); err == nil && h.validateAmbiguousPaths() != nil {
				err = b.WrapErr(h.validateAmbiguousPaths())
			}
		default:
			err = b.unknown()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) unmarshalRequire(b *block) error {
	args, err := b.arguments()
	if err != nil {
		return err
	}
	rule := session.Rule{Kind: session.Kind(args[0]), Values: args[1:]}
	if rule.Kind == session.RequireClaim && len(rule.Values) > 0 {
		rule.Claim, rule.Values = rule.Values[0], rule.Values[1:]
	}
	if err := (session.Policy{rule}).Validate(); err != nil {
		return b.WrapErr(err)
	}
	h.Require = append(h.Require, rule)
	return nil
}

func (h *Handler) unmarshalIdentityHeaders(b *block) error {
	presets, err := b.values()
	if err != nil {
		return err
	}
	if len(presets) == 1 && presets[0] == off {
		h.IdentityHeaders = []string{}
		return nil
	}
	h.IdentityHeaders = presets
	return nil
}

func (h *Handler) unmarshalHeader(b *block) error {
	args, err := b.arguments()
	if err != nil {
		return err
	}
	if len(args) != 2 {
		return b.Errf("header: takes a name and a value; quote a value that has spaces")
	}
	h.Headers = append(h.Headers, IdentityHeader{Name: args[0], Value: args[1]})
	return nil
}

func (h *Handler) unmarshalWebsocketOrigins(b *block) (err error) {
	if h.WebsocketOrigins, err = b.values(); err != nil {
		return err
	}
	if _, err := websocketOrigins(h.WebsocketOrigins); err != nil {
		return b.WrapErr(err)
	}
	return nil
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
