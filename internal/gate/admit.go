package gate

import (
	"errors"
	"net/http"
	"slices"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate/identity"
)

// admit decides whether a request may pass a gate: as the active account, or without an identity if
// the gate is optional. If it reports false, the request is answered.
func (q *Request) admit(w http.ResponseWriter, r *http.Request, o *Options) bool {
	switch {
	case errors.Is(q.err, cookie.ErrInsecure) && o.Optional:
		return true
	case q.err != nil:
		q.explain(w, r)
		return false
	case !q.signedIn && o.Optional:
		return true
	case !q.signedIn:
		q.tidyCookies(w, o)
		q.gate.Portal.Challenge(q.answer(w), q.asMade(r), q.Visitor)
		return false
	}
	q.gate.Server.SetUser(r, q.active, q.gate.Tokens)
	q.addPolicy(o)
	if rule, unmet := o.Require.Unmet(q.active.Identity); unmet {
		q.tidyCookies(w, o)
		q.gate.Portal.Refuse(q.answer(w), q.asMade(r), q.Visitor, q.policies, rule)
		return false
	}
	q.Visit.Used(q.active)
	return true
}

// addPolicy adds a gate's rules to those of the gates before it: a refusal offers the accounts that
// meet them all.
func (q *Request) addPolicy(o *Options) {
	switch {
	case len(o.Require) == 0:
	case q.policies == nil:
		q.policies = o.Require
	default:
		q.policies = slices.Concat(q.policies, o.Require)
	}
}

// setIdentity tells the upstream who the active account is. What handlers between two gates have set
// is deleted first, so that an inner gate alone says who it is.
func (q *Request) setIdentity(r *http.Request, o *Options) {
	if !q.stripped {
		q.gate.Managed.Strip(r)
	}
	if o.StripAuthorization {
		delete(r.Header, "Authorization")
	}
	if !q.signedIn {
		return
	}
	identity.SetIdentity(r.Header, o.Fields, q.active.Identity, o.Encoding)
	for _, header := range o.Headers {
		identity.Set(r.Header, header.Name, q.gate.Server.Expand(r, header.Value), o.Encoding)
	}
}

// claim makes the request one of the active session, if the upstream is given its identity or its
// cookies: it ends when that session ends. Of several gates one is enough.
func (q *Request) claim(o *Options, identified bool) {
	if !identified && o.Cookies == nil {
		return
	}
	if !q.signedIn {
		return
	}
	q.live.owner = q.active
	if o.EndStreamsOnSwitch {
		q.live.EndOnSwitch()
	}
}
