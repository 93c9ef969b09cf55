package portal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/tokens"
)

// audit writes a line for each thing that an administrator may have to account for: who signed in
// and out, switched and was refused, from where. No line has a cookie, a password or a token.
// Handles and session ids are no secrets without the browser's cookie.
type audit struct {
	log *zap.Logger
	key []byte
}

// The values of the field "event".
const (
	eventSignIn  = "sign-in"
	eventReplace = "replace" // the account signed in again in the same browser
	eventEvict   = "evict"   // a new account needed the place
	eventSwitch  = "switch"
	eventRevoke  = "revoke"
	eventSignOut = "sign-out"
	eventSignUp  = "sign-up"
	eventChange  = "change-password"
	eventUpdate  = "update-user"
	eventRefuse  = "refuse" // the active account may not
	eventForged  = "cross-origin"
	eventLogout  = "back-channel-logout" // an account's provider ended sessions
	eventRefresh = "refresh"             // an account's provider no longer stands by it
)

func newAudit(log *zap.Logger) audit {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	return audit{log, key}
}

func (a audit) signedIn(r *http.Request, v Visitor, done session.SignedIn) {
	a.line(r, v, done.JarID, eventSignIn, "success", of(done.Entry.Session))
	by := zap.String("by", done.Entry.ID)
	for i := range done.Replaced {
		a.line(r, v, done.JarID, eventReplace, "success", of(&done.Replaced[i]), by)
	}
	for i := range done.Evicted {
		a.line(r, v, done.JarID, eventEvict, "success", of(&done.Evicted[i]), by)
	}
}

// signInFailed does not write what was typed: people type passwords into the field for the name,
// and a plain digest of one could be tried out word by word. The tag is keyed with a secret of this
// process, so it shows no more than that two lines are about the same identifier. That is what tells
// a guesser at one account from one who tries many.
func (a audit) signInFailed(r *http.Request, v Visitor, method string, id login.Identifier, err error) {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(strings.ToLower(id.Email + "\x00" + id.UserName)))
	a.line(r, v, v.Visit.JarID(), eventSignIn, "failure",
		zap.String("reason", reason(err)),
		zap.String("method", method),
		zap.String("identifier_tag", hex.EncodeToString(mac.Sum(nil)[:8])))
}

// providerFailed is a sign-in at a provider that came to nothing, or was not even begun.
func (a audit) providerFailed(r *http.Request, v Visitor, method string, err error) {
	a.line(r, v, v.Visit.JarID(), eventSignIn, "failure", append(cause(err), zap.String("method", method))...)
}

// cause is why something failed at a provider, with what helps to mend it: which account it was, and
// what exactly did not hold.
func cause(err error) []zap.Field {
	fields := []zap.Field{zap.String("reason", reason(err))}
	var refused *login.NotAllowedError
	if errors.As(err, &refused) {
		fields = append(fields, zap.String("account", bounded(refused.Account.ID())))
	}
	var rejected *login.RejectedError
	if errors.As(err, &rejected) && rejected.Err != nil {
		fields = append(fields, zap.String("detail", bounded(rejected.Err.Error())))
	}
	return fields
}

// AuditRefusals returns what writes a line for each session that ended because its provider no longer
// stands by it. No request is behind such a line.
func AuditRefusals(log *zap.Logger) func(session.Ended, error) {
	log = log.Named("audit")
	return func(ended session.Ended, err error) {
		log.Info(eventRefresh,
			zap.String("event", eventRefresh),
			zap.String("outcome", "failure"),
			zap.String("reason", reason(err)),
			zap.String("client_ip", ended.IP),
			zap.String("user_agent", bounded(ended.UserAgent)),
			zap.String("jar", ended.JarID),
			of(&ended.Session))
	}
}

// endedByProvider is a provider's word that sessions are over. The line is there even if there were none.
func (a audit) endedByProvider(r *http.Request, v Visitor, method string, ended []session.Ended) {
	if len(ended) == 0 {
		a.line(r, v, "", eventLogout, "success", zap.String("method", method))
	}
	for i := range ended {
		a.line(r, v, ended[i].JarID, eventLogout, "success", of(&ended[i].Session))
	}
}

func (a audit) providerLogoutFailed(r *http.Request, v Visitor, method string, err error) {
	a.line(r, v, "", eventLogout, "failure", append(cause(err), zap.String("method", method))...)
}

func (a audit) switched(r *http.Request, v Visitor, e session.Entry) {
	a.line(r, v, v.Visit.JarID(), eventSwitch, "success", of(e.Session))
}

func (a audit) revoked(r *http.Request, v Visitor, done session.Revoked) {
	fields := []zap.Field{of(&done.Ended)}
	if done.Promoted != nil {
		fields = append(fields, zap.String("promoted", done.Promoted.ID))
	}
	a.line(r, v, v.Visit.JarID(), eventRevoke, "success", fields...)
}

func (a audit) signedOut(r *http.Request, v Visitor, ended []session.Session) {
	for i := range ended {
		a.line(r, v, v.Visit.JarID(), eventSignOut, "success", of(&ended[i]))
	}
}

// failed is a switch or revocation that was not made. Mostly its handle has ended; it may be a guess.
func (a audit) failed(r *http.Request, v Visitor, event string, err error) {
	a.line(r, v, v.Visit.JarID(), event, "failure", zap.String("reason", reason(err)))
}

func (a audit) refused(r *http.Request, v Visitor, active session.Entry, unmet session.Rule) {
	fields := []zap.Field{zap.String("reason", "require "+string(unmet.Kind)), zap.String("path", bounded(r.URL.Path))}
	if active.Session != nil {
		fields = append(fields, of(active.Session))
	}
	a.line(r, v, v.Visit.JarID(), eventRefuse, "failure", fields...)
}

// forged is a change of state that came from where it must not. The origin is what helps to find a
// trusted one that is not configured.
func (a audit) forged(r *http.Request, v Visitor, err error) {
	a.line(r, v, v.Visit.JarID(), eventForged, "failure",
		zap.String("reason", reason(err)),
		zap.String("origin", bounded(r.Header.Get("Origin"))),
		zap.String("path", bounded(r.URL.Path)))
}

// changed is a change that the owner of the active account made to it.
func (a audit) changed(r *http.Request, v Visitor, event string, active session.Entry, err error) {
	if err != nil {
		a.line(r, v, v.Visit.JarID(), event, "failure", of(active.Session), zap.String("reason", reason(err)))
		return
	}
	a.line(r, v, v.Visit.JarID(), event, "success", of(active.Session))
}

// signedUp is a new account. The session that it begins with has a line of its own.
func (a audit) signedUp(r *http.Request, v Visitor, identity *session.Identity) {
	a.line(r, v, v.Visit.JarID(), eventSignUp, "success",
		zap.String("account", identity.Account.ID()), zap.String("method", identity.Account.Method))
}

// ended is sessions of the active account that its owner ended, on whatever device they were.
func (a audit) ended(r *http.Request, v Visitor, by session.Entry, ended []session.Ended) {
	for i := range ended {
		a.line(r, v, ended[i].JarID, eventRevoke, "success", of(&ended[i].Session), zap.String("by", by.ID))
	}
}

// reason is the cause of a failure in a word. Which limit was reached, and that somebody may not sign
// in who knows the password, is for the log only.
func reason(err error) string {
	if errors.Is(err, login.ErrDisabled) {
		return "DISABLED"
	}
	var throttled *login.ThrottledError
	if errors.As(err, &throttled) {
		return "throttled: " + throttled.Reason
	}
	var rejected *login.RejectedError
	if errors.As(err, &rejected) {
		return rejected.Reason
	}
	switch {
	case errors.Is(err, login.ErrRefused):
		return "REFUSED"
	case errors.Is(err, tokens.ErrLost):
		return "KEY_LOST"
	}
	told, _ := disclose(err)
	return told.code
}

// line has the host where what happens is about the active account of that host alone.
func (a audit) line(r *http.Request, v Visitor, jar, event, outcome string, fields ...zap.Field) {
	if site := v.Visit.Site(); site != "" {
		fields = append(fields, zap.String("host", string(site)))
	}
	a.log.Info(event, append([]zap.Field{
		zap.String("event", event),
		zap.String("outcome", outcome),
		zap.String("client_ip", v.ip()),
		zap.String("user_agent", bounded(r.UserAgent())),
		zap.String("jar", jar),
	}, fields...)...)
}

// of is the fields of a session, on the line itself.
func of(s *session.Session) zap.Field { return zap.Inline(auditedSession{s}) }

type auditedSession struct{ *session.Session }

func (s auditedSession) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("account", s.Recorded.Account.ID())
	enc.AddString("method", s.Recorded.Account.Method)
	enc.AddString("session", s.ID)
	enc.AddString("handle", s.Handle)
	return nil
}

// maxLogged bounds what a client can have written into a line.
const maxLogged = 256

func bounded(text string) string {
	if len(text) > maxLogged {
		text = text[:maxLogged]
	}
	return strings.ToValidUTF8(text, "")
}
