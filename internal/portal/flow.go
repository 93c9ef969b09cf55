package portal

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// flow is a sign-in at a provider that is under way. The browser keeps it in a sealed cookie and
// returns it with the provider's answer. So only the browser that started a sign-in can finish it,
// and abandoned sign-ins take no memory here.
//
// The seal is bound to the state (RFC 6749, section 10.12); with another state it does not open.
type flow struct {
	Method   string        `json:"method"`
	Began    time.Time     `json:"began"`
	Pending  login.Pending `json:"pending"`
	Site     session.Site  `json:"site,omitempty"` // where the account is to be the active one
	ReturnTo string        `json:"return_to,omitempty"`
	TooLong  bool          `json:"too_long,omitempty"` // a return address was too long to be kept
	NewTo    string        `json:"new_to,omitempty"`   // instead of ReturnTo, at the account's first sign-in
	ErrorTo  string        `json:"error_to,omitempty"` // of a client of the API; else errors are shown here
	Asked    string        `json:"asked,omitempty"`    // the login hint
	Ask      login.Ask     `json:"ask,omitempty"`      // what the provider is to ask the user
	Client   bool          `json:"client,omitempty"`   // a client of the API began the sign-in

	// For another try with another prompt: the client's parameters, and the tag of the first state.
	Parameters map[string]string `json:"parameters,omitempty"`
	First      string            `json:"first,omitempty"`
}

// tag returns the tag of the state that the browser began the sign-in with.
func (f flow) tag(state string) string { return cmp.Or(f.First, tagOf(state)) }

const (
	// flowLifetime is how long a sign-in at a provider may take: long enough to find a phone, and
	// short enough that a stale cookie is worthless.
	flowLifetime = 10 * time.Minute

	// maxFlowBytes bounds the value of a flow's cookie. Browsers store cookies of up to 4096 bytes,
	// with the name.
	maxFlowBytes = 3900
)

// flows seals sign-ins that are under way, and accepts each of them once.
type flows struct {
	sealer *seal.Sealer
	now    func() time.Time

	mu       sync.Mutex
	answered *simplelru.LRU[string, struct{}] // by tagOf
}

// maxAnswered is how many finished flows are remembered. Beyond it the provider refuses a replay,
// because a code is good for one use (RFC 6749, section 4.1.2).
const maxAnswered = 1 << 16

func newFlows(sealer *seal.Sealer, now func() time.Time) *flows {
	answered, err := simplelru.NewLRU[string, struct{}](maxAnswered, nil)
	if err != nil { // only a size below one is an error
		panic(err)
	}
	return &flows{sealer: sealer, now: now, answered: answered}
}

// newState returns an unguessable state.
func newState() string { return rand.Text() }

// tagOf returns the name of a flow's cookie. It is a hash, so it does not reveal the state.
func tagOf(state string) string {
	sum := sha256.Sum256([]byte(state))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// errFlowTooLarge is the problem with callback addresses that do not fit into a cookie.
var errFlowTooLarge = &problem{
	status: http.StatusBadRequest, code: "VALIDATION_ERROR",
	message: "[body.callbackURL] Invalid input: too long together with errorCallbackURL", advice: "The return address is too long.",
}

// keep stores the flow of a state in the browser. A return address from a page is dropped where the
// cookie has no room for it; clients of the API get an error instead.
func (f *flows) keep(w http.ResponseWriter, r *http.Request, v Visitor, state string, begun flow) error {
	begun.Began = f.now()
	value, err := f.seal(state, begun)
	if err == nil && len(value) > maxFlowBytes && !begun.Client {
		begun.ReturnTo, begun.TooLong = rootOf(begun.ReturnTo), true
		value, err = f.seal(state, begun)
	}
	if err != nil {
		return err
	}
	if len(value) > maxFlowBytes {
		return errFlowTooLarge
	}
	v.Cookie.Flow(tagOf(state)).Set(w.Header(), r.Header, value, flowLifetime)
	return nil
}

// seal returns the value of a flow's cookie.
func (f *flows) seal(state string, begun flow) (string, error) {
	plain, err := json.Marshal(begun)
	if err != nil {
		return "", fmt.Errorf("keep a sign-in that is under way: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(f.sealer.Seal(plain, []byte(state))), nil
}

// rootOf returns the root of the site that a destination is on.
func rootOf(to string) string {
	there, _, err := origin.Cut(to)
	if err != nil { // a path
		return ""
	}
	return there + "/"
}

// resume returns the flow of a state, once. It deletes the flow's cookie in any case.
func (f *flows) resume(w http.ResponseWriter, r *http.Request, v Visitor, state string) (flow, error) {
	tag := tagOf(state)
	kept := v.Cookie.Flow(tag)
	value, ok := kept.Read(r.Header)
	if !ok {
		return flow{}, flowError("no flow", nil)
	}
	kept.Clear(w.Header())
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return flow{}, flowError("flow", err)
	}
	plain, err := f.sealer.Open(sealed, []byte(state))
	if err != nil {
		return flow{}, flowError("flow", err)
	}
	var begun flow
	if err := json.Unmarshal(plain, &begun); err != nil {
		return flow{}, flowError("flow", err)
	}
	if age := f.now().Sub(begun.Began); age < 0 || age > flowLifetime {
		return flow{}, flowError("late", nil)
	}
	if !f.claim(tag) {
		return flow{}, flowError("replay", nil)
	}
	return begun, nil
}

// claim marks a flow as finished. It returns false where it was finished before.
func (f *flows) claim(tag string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answered.Contains(tag) {
		return false
	}
	f.answered.Add(tag, struct{}{})
	return true
}

// flowError is the problem with an answer that belongs to no sign-in of this browser. Only the log
// gets the reason.
func flowError(reason string, err error) error {
	return errors.Join(errStateMismatch, &login.RejectedError{Reason: reason, Err: err})
}
