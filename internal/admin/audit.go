package admin

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// audit logs every change, and every backup, which contains everybody's hashes. It logs no
// password, hash or code.
type audit struct{ log *zap.Logger }

// Values of the field "action".
const (
	actionCreateUser  = "create-user"
	actionUpdateUser  = "update-user"
	actionDeleteUser  = "delete-user"
	actionSetPassword = "set-password"
	actionEndSession  = "end-session"
	actionSetActive   = "set-active"
	actionInvite      = "create-invitation"
	actionWithdraw    = "delete-invitation"
	actionReleaseName = "release-name"
	actionBackup      = "backup"
	actionRestore     = "restore"
)

// auditEvent is the value of the field "event".
const auditEvent = "admin"

func (a audit) line(r *http.Request, action string, fields ...zap.Field) {
	a.log.Info(auditEvent, append([]zap.Field{
		zap.String("event", auditEvent),
		zap.String("outcome", "success"),
		zap.String("action", action),
		zap.String("remote", r.RemoteAddr),
	}, fields...)...)
}

func (a audit) user(r *http.Request, action string, u *user.User, fields ...zap.Field) {
	a.line(r, action, append([]zap.Field{zap.String("user", u.ID), zap.String("user_name", u.Name)}, fields...)...)
}

func (a audit) ended(r *http.Request, ended []session.Ended) {
	for i := range ended {
		e := &ended[i]
		a.line(r, actionEndSession,
			zap.String("account", e.Recorded.Account.ID()),
			zap.String("method", e.Recorded.Account.Method),
			zap.String("session", e.ID),
			zap.String("jar", e.JarID))
	}
}

func (a audit) activated(r *http.Request, f session.Found) {
	a.line(r, actionSetActive,
		zap.String("account", f.Recorded.Account.ID()),
		zap.String("method", f.Recorded.Account.Method),
		zap.String("session", f.ID),
		zap.String("jar", f.JarID))
}
