package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// problem is an error with the status of its answer.
type problem struct {
	status     int
	message    string
	problems   []string
	retryAfter time.Duration
}

func (p *problem) Error() string { return p.message }

func failure(status int, format string, args ...any) *problem {
	return &problem{status: status, message: fmt.Sprintf(format, args...)}
}

// invalid returns the problem of a request that is not valid.
func invalid(format string, args ...any) *problem {
	return failure(http.StatusBadRequest, format, args...)
}

var (
	errNoUser       = failure(http.StatusNotFound, "no such user")
	errNoSession    = failure(http.StatusNotFound, "no such session")
	errNoInvitation = failure(http.StatusNotFound, "no such invitation")
	errNoName       = failure(http.StatusNotFound, "no account of a provider has that user name")
)

// told returns the problem for an error, and false for a technical failure.
func told(err error) (told *problem, known bool) {
	var wrong *user.InvalidError
	var throttled *login.ThrottledError
	switch {
	case errors.As(err, &told):
		return told, true
	case errors.As(err, &wrong):
		return invalid("%v", wrong), true
	case errors.Is(err, user.ErrNotFound):
		return errNoUser, true
	case errors.Is(err, session.ErrUnknownHandle):
		return errNoSession, true
	case errors.Is(err, user.ErrNameTaken), errors.Is(err, user.ErrEmailTaken):
		return failure(http.StatusConflict, "%v", err), true
	case errors.Is(err, login.ErrPasswordTooShort):
		return invalid("password: shorter than %d characters", password.MinChars), true
	case errors.Is(err, login.ErrPasswordTooLong):
		return invalid("password: longer than %d characters", password.MaxChars), true
	case errors.Is(err, login.ErrPasswordCommon):
		return invalid("password: one of those that guessers try first"), true
	case errors.As(err, &throttled):
		return &problem{
			status:     http.StatusServiceUnavailable,
			message:    "too many passwords are being checked, try again",
			retryAfter: throttled.RetryAfter,
		}, true
	}
	return failure(http.StatusServiceUnavailable, "%v", err), false
}

// fail answers with an error. It logs a technical failure unless the client has gone.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, known := told(err)
	if !known && r.Context().Err() == nil {
		s.Log.Error("administration request cannot be answered", zap.Error(err), zap.String("path", bounded(r.URL.Path)))
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((p.retryAfter+time.Second-1)/time.Second), 10))
	}
	_ = writeJSON(w, p.status, Error{p.message, p.problems}) // strings always marshal
}

func writeJSON(w http.ResponseWriter, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	secure(w, "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // fails only if the client has gone
	return nil
}

// secure sets the headers of every answer, which is for one reader at one moment.
func secure(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

// maxQuoted bounds how much of a request an error quotes.
const maxQuoted = 256

func bounded(text string) string {
	if len(text) > maxQuoted {
		text = text[:maxQuoted]
	}
	return strings.ToValidUTF8(text, "")
}
