package portal

import (
	"fmt"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// An administrator finds in the log what a provider said when it ended a session.
func TestAuditHasTheProvidersWordsOfARefusal(t *testing.T) {
	core, lines := observer.New(zap.InfoLevel)
	ended := session.Ended{Session: session.Session{Recorded: &session.Identity{Account: session.Account{Method: "corp", Subject: "alice"}}}}
	AuditRefusals(zap.New(core))(ended, fmt.Errorf("%w: %w", login.ErrRefused,
		&login.AnswerError{Endpoint: "token endpoint", Status: 400, Code: "invalid_grant", Description: "AADSTS50057: The user account is disabled."}))
	for field, want := range map[string]string{
		"reason": "REFUSED", "account": "corp:alice", "provider_error": "invalid_grant",
		"provider_error_description": "AADSTS50057: The user account is disabled.",
	} {
		if got := lines.All()[0].ContextMap()[field]; got != want {
			t.Errorf("%s: %v, want %s", field, got, want)
		}
	}
}
