package portal

import (
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
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// flow is a sign-in at a provider that is under way. The browser keeps it in a cookie, sealed, and
// brings it back with the provider's answer. So an answer is good in the browser that asked and in no
// other, and what anybody begins and never ends takes no room here.
//
// It is sealed for its state (RFC 6749, section 10.12): with another one it does not open.
type flow struct {
	Method   string        `json:"method"`
	Began    time.Time     `json:"began"`
	Pending  login.Pending `json:"pending"`
	Site     session.Site  `json:"site,omitempty"` // where the account is to be the active one
	ReturnTo string        `json:"return_to,omitempty"`
	ErrorTo  string        `json:"error_to,omitempty"` // of a client of the API; else errors are shown here
	Asked    string        `json:"asked,omitempty"`    // the login hint
}

const (
	// flowLifetime is how long people may take at a provider: long enough to find a telephone, and
	// short enough that what is left in a browser is worth nothing the next day.
	flowLifetime = 10 * time.Minute

	// maxFlowBytes bounds a flow as a cookie, which browsers take up to 4096 bytes of, with its name.
	maxFlowBytes = 3900
)

// flows seals sign-ins that are under way, and sees to it that each is answered once.
type flows struct {
	sealer *seal.Sealer
	now    func() time.Time

	mu       sync.Mutex
	answered *simplelru.LRU[string, struct{}] // tags
}

// maxAnswered is how many answered flows are remembered. What is beyond is refused by every provider
// that keeps to RFC 6749, section 4.1.2: a code is good for one use.
const maxAnswered = 1 << 16

func newFlows(sealer *seal.Sealer, now func() time.Time) *flows {
	answered, err := simplelru.NewLRU[string, struct{}](maxAnswered, nil)
	if err != nil { // of a size that is not positive, and the size is constant
		panic(err)
	}
	return &flows{sealer: sealer, now: now, answered: answered}
}

// newState returns a state that nobody can guess.
func newState() string { return rand.Text() }

// tagOf names a flow's cookie by its state, which it does not tell.
func tagOf(state string) string {
	sum := sha256.Sum256([]byte(state))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// errFlowTooLarge says that a client's callback addresses are too long to be kept in a cookie.
var errFlowTooLarge = &problem{
	status: http.StatusBadRequest, code: "VALIDATION_ERROR",
	message: "[body.callbackURL] Invalid input: too long together with errorCallbackURL", advice: "The return address is too long.",
}

// keep gives the browser the flow of a state.
func (f *flows) keep(w http.ResponseWriter, r *http.Request, v Visitor, state string, begun flow) error {
	begun.Began = f.now()
	plain, err := json.Marshal(begun)
	if err != nil {
		return fmt.Errorf("keep a sign-in that is under way: %w", err)
	}
	value := base64.RawURLEncoding.EncodeToString(f.sealer.Seal(plain, []byte(state)))
	if len(value) > maxFlowBytes {
		return errFlowTooLarge
	}
	v.Cookie.Flow(tagOf(state)).Set(w.Header(), r.Header, value, flowLifetime)
	return nil
}

// resume returns the flow that an answer with the state is for, once. Whatever comes of it, the
// browser forgets it.
func (f *flows) resume(w http.ResponseWriter, r *http.Request, v Visitor, state string) (flow, error) {
	tag := tagOf(state)
	kept := v.Cookie.Flow(tag)
	value, ok := kept.Read(r.Header)
	if !ok {
		return flow{}, noFlow("no flow", nil)
	}
	kept.Clear(w.Header())
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return flow{}, noFlow("flow", err)
	}
	plain, err := f.sealer.Open(sealed, []byte(state))
	if err != nil {
		return flow{}, noFlow("flow", err)
	}
	var begun flow
	if err := json.Unmarshal(plain, &begun); err != nil {
		return flow{}, noFlow("flow", err)
	}
	if age := f.now().Sub(begun.Began); age < 0 || age > flowLifetime {
		return flow{}, noFlow("late", nil)
	}
	if !f.claim(tag) {
		return flow{}, noFlow("replay", nil)
	}
	return begun, nil
}

// claim reports whether the flow was not answered before.
func (f *flows) claim(tag string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answered.Contains(tag) {
		return false
	}
	f.answered.Add(tag, struct{}{})
	return true
}

// noFlow is the problem with an answer that nobody here waits for. Why, only the log is told.
func noFlow(reason string, err error) error {
	return errors.Join(errStateMismatch, &login.RejectedError{Reason: reason, Err: err})
}
