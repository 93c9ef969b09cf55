package gateway

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/gate"
	"github.com/caddy-multi-session/gateway/internal/portal"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// portalForGate is the portal as the gate sees it. Neither package knows the other.
type portalForGate struct{ *portal.Portal }

func (p portalForGate) Serve(w http.ResponseWriter, r *http.Request, v gate.Visitor) {
	p.Portal.ServeHTTP(w, r, portal.Visitor(v))
}

func (p portalForGate) ResumeSignIn(w http.ResponseWriter, r *http.Request, v gate.Visitor) bool {
	return p.Portal.ResumeSignIn(w, r, portal.Visitor(v))
}

func (p portalForGate) Challenge(w http.ResponseWriter, r *http.Request, v gate.Visitor) {
	p.Portal.Challenge(w, r, portal.Visitor(v))
}

func (p portalForGate) Refuse(w http.ResponseWriter, r *http.Request, v gate.Visitor, policy session.Policy, unmet session.Rule) {
	p.Portal.Refuse(w, r, portal.Visitor(v), policy, unmet)
}

func (p portalForGate) RefuseTarget(w http.ResponseWriter, r *http.Request, v gate.Visitor) {
	p.Portal.RefuseTarget(w, r, portal.Visitor(v))
}

func (p portalForGate) Insecure(w http.ResponseWriter, r *http.Request, v gate.Visitor) {
	p.Portal.Insecure(w, r, portal.Visitor(v))
}

func (p portalForGate) Unavailable(w http.ResponseWriter, r *http.Request, v gate.Visitor, err error) {
	p.Portal.Unavailable(w, r, portal.Visitor(v), err)
}

func (p portalForGate) Reset(w http.ResponseWriter, v gate.Visitor, foreign, clearStorage bool) {
	p.Portal.Reset(w, portal.Visitor(v), foreign, clearStorage)
}

var _ gate.Portal = portalForGate{}
