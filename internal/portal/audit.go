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

// audit logs who signed in and out, who switched, and who was refused, with the client's address.
// It never logs a cookie, password or token. Handles and session ids are harmless without the
// browser's cookie.
type audit struct {
	log *zap.Logger
	key []byte
}

// Values of the field "event".
const (
	eventSignIn       = "sign-in"
	eventReplace      = "replace" // the account signed in again in the same browser
	eventEvict        = "evict"   // a new account needed the place
	eventSwitch       = "switch"
	eventContinue     = "continue" // a switch, or none, at a host where the jar was not confirmed
	eventRevoke       = "revoke"
	eventSignOut      = "sign-out"
	eventSignUp       = "sign-up"
	eventChange       = "change-password"
	eventUpdate       = "update-user"
	eventRefuse       = "refuse" // the active account may not
	eventForged       = "cross-origin"
	eventLogout       = "back-channel-logout"  // an account's provider ended sessions
	eventFrontChannel = "front-channel-logout" // the same, told by a page of the provider
	eventRefresh      = "refresh"              // an account's provider no longer stands by it
)

func newAudit(log *zap.Logger) audit {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	return audit{log, key}
}

func (a audit) logSignIn(r *http.Request, v Visitor, done session.SignedIn) {
	a.write(r, v, done.JarID, eventSignIn, "success", sessionFields(done.Entry.Session))
	by := zap.String("by", done.Entry.ID)
	for i := range done.Replaced {
		a.write(r, v, done.JarID, eventReplace, "success", sessionFields(&done.Replaced[i]), by)
	}
	for i := range done.Evicted {
		a.write(r, v, done.JarID, eventEvict, "success", sessionFields(&done.Evicted[i]), by)
	}
}

// logSignInFailure logs a failed sign-in without the identifier that was typed, because people type
// passwords into that field by mistake. It logs a keyed hash instead; a plain hash of a short text
// can be found by trial. The key is random and belongs to this process. Equal tags mean equal
// identifiers, which tells an attack on one account from an attack on many.
func (a audit) logSignInFailure(r *http.Request, v Visitor, method string, id login.Identifier, err error) {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(strings.ToLower(id.Email + "\x00" + id.UserName)))
	a.write(r, v, v.Visit.JarID(), eventSignIn, "failure",
		zap.String("reason", reason(err)),
		zap.String("method", method),
		zap.String("identifier_tag", hex.EncodeToString(mac.Sum(nil)[:8])))
}

// logProviderFailure logs a sign-in at a provider that failed or could not be started.
func (a audit) logProviderFailure(r *http.Request, v Visitor, method string, err error) {
	a.write(r, v, v.Visit.JarID(), eventSignIn, "failure", append(cause(err), zap.String("method", method))...)
}

// cause returns why something failed at a provider: the reason, the account, the exact check that
// failed and the provider's own words, where they are known.
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
	return append(fields, providerError(err)...)
}

// providerError returns the code and the description of an error that a provider answered, if it did.
func providerError(err error) []zap.Field {
	var answer *login.AnswerError
	var denied *login.DeniedError
	var code, description string
	switch {
	case errors.As(err, &answer):
		code, description = answer.Code, answer.Description
	case errors.As(err, &denied):
		code, description = denied.Code, denied.Description
	}
	var fields []zap.Field
	if code != "" {
		fields = append(fields, zap.String("provider_error", bounded(code)))
	}
	if description != "" {
		fields = append(fields, zap.String("provider_error_description", bounded(description)))
	}
	return fields
}

// AuditRefusals returns a function that logs a session which ended because its provider no longer
// vouches for it. There is no request behind such a line.
func AuditRefusals(log *zap.Logger) func(session.Ended, error) {
	log = log.Named("audit")
	return func(ended session.Ended, err error) {
		log.Info(eventRefresh, append([]zap.Field{
			zap.String("event", eventRefresh),
			zap.String("outcome", "failure"),
			zap.String("reason", reason(err)),
			zap.String("client_ip", ended.IP),
			zap.String("user_agent", bounded(ended.UserAgent)),
			zap.String("jar", ended.JarID),
			sessionFields(&ended.Session),
		}, providerError(err)...)...)
	}
}

// logProviderLogout logs sessions that a provider ended. It also logs a logout that ended none.
func (a audit) logProviderLogout(r *http.Request, v Visitor, event, method string, ended []session.Ended) {
	if len(ended) == 0 {
		a.write(r, v, "", event, "success", zap.String("method", method))
	}
	for i := range ended {
		a.write(r, v, ended[i].JarID, event, "success", sessionFields(&ended[i].Session))
	}
}

func (a audit) logProviderLogoutFailure(r *http.Request, v Visitor, event, method string, err error) {
	a.write(r, v, "", event, "failure", append(cause(err), zap.String("method", method))...)
}

func (a audit) logSwitch(r *http.Request, v Visitor, event string, e session.Entry) {
	a.write(r, v, v.Visit.JarID(), event, "success", sessionFields(e.Session))
}

func (a audit) logRevocation(r *http.Request, v Visitor, done session.Revoked) {
	fields := []zap.Field{sessionFields(&done.Ended)}
	if done.Promoted != nil {
		fields = append(fields, zap.String("promoted", done.Promoted.ID))
	}
	a.write(r, v, v.Visit.JarID(), eventRevoke, "success", fields...)
}

func (a audit) logSignOut(r *http.Request, v Visitor, ended []session.Session) {
	for i := range ended {
		a.write(r, v, v.Visit.JarID(), eventSignOut, "success", sessionFields(&ended[i]))
	}
}

// logFailedEvent logs a switch, revocation or sign-up that failed. For a handle the session has
// usually just ended; it can also be a guess.
func (a audit) logFailedEvent(r *http.Request, v Visitor, event string, err error) {
	a.write(r, v, v.Visit.JarID(), event, "failure", zap.String("reason", reason(err)))
}

func (a audit) logRefusal(r *http.Request, v Visitor, active session.Entry, unmet session.Rule) {
	fields := []zap.Field{zap.String("reason", "require "+string(unmet.Kind)), zap.String("path", bounded(r.URL.Path))}
	if active.Session != nil {
		fields = append(fields, sessionFields(active.Session))
	}
	a.write(r, v, v.Visit.JarID(), eventRefuse, "failure", fields...)
}

// logForgery logs a state change from an origin that is not allowed. The two origins help to find one
// that is missing from trusted_origins.
func (a audit) logForgery(r *http.Request, v Visitor, err error) {
	a.write(r, v, v.Visit.JarID(), eventForged, "failure",
		zap.String("reason", reason(err)),
		zap.String("origin", bounded(r.Header.Get("Origin"))),
		zap.String("own_origin", bounded(v.Origin())),
		zap.String("path", bounded(r.URL.Path)))
}

// logChange logs a change that the owner of the active account made to it, or failed to make.
func (a audit) logChange(r *http.Request, v Visitor, event string, active session.Entry, err error) {
	if err != nil {
		a.write(r, v, v.Visit.JarID(), event, "failure", sessionFields(active.Session), zap.String("reason", reason(err)))
		return
	}
	a.write(r, v, v.Visit.JarID(), event, "success", sessionFields(active.Session))
}

// logSignUp logs a new account. Its first session is logged by logSignIn.
func (a audit) logSignUp(r *http.Request, v Visitor, identity *session.Identity) {
	a.write(r, v, v.Visit.JarID(), eventSignUp, "success",
		zap.String("account", identity.Account.ID()), zap.String("method", identity.Account.Method))
}

// logEndedSessions logs sessions of the active account that its owner ended, on any device.
func (a audit) logEndedSessions(r *http.Request, v Visitor, by session.Entry, ended []session.Ended) {
	for i := range ended {
		a.write(r, v, ended[i].JarID, eventRevoke, "success", sessionFields(&ended[i].Session), zap.String("by", by.ID))
	}
}

// reason names the cause of a failure in one word. Only the log says which limit was reached, and
// that a disabled account was given the right password.
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

// write writes one line. The line names the host where the event is about that host's active
// account.
func (a audit) write(r *http.Request, v Visitor, jar, event, outcome string, fields ...zap.Field) {
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

// sessionFields returns the fields of a session, inlined into the line.
func sessionFields(s *session.Session) zap.Field { return zap.Inline(auditedSession{s}) }

type auditedSession struct{ *session.Session }

func (s auditedSession) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("account", s.Recorded.Account.ID())
	enc.AddString("method", s.Recorded.Account.Method)
	enc.AddString("session", s.ID)
	enc.AddString("handle", s.Handle)
	return nil
}

// maxLogged bounds text from the client in a line, in bytes.
const maxLogged = 256

func bounded(text string) string {
	if len(text) > maxLogged {
		text = text[:maxLogged]
	}
	return strings.ToValidUTF8(text, "")
}
