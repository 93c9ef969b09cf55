package portal

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// audited returns the audit lines since the last call, and checks the fields that every line has.
func (b *browser) audited() []map[string]any {
	b.t.Helper()
	var lines []map[string]any
	for _, entry := range b.log.TakeAll() {
		if entry.LoggerName != "audit" {
			continue
		}
		line := entry.ContextMap()
		if line["client_ip"] != "192.0.2.7" || line["user_agent"] != "Test/1.0" || line["event"] != entry.Message {
			b.t.Errorf("line is %v", line)
		}
		lines = append(lines, line)
	}
	return lines
}

func (b *browser) wantAudited(want ...string) []map[string]any {
	b.t.Helper()
	lines := b.audited()
	var got []string
	for _, line := range lines {
		got = append(got, fmt.Sprint(line["event"], " ", line["outcome"], " ", line["account"], " ", line["reason"]))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("got  %q\nwant %q", got, want)
	}
	return lines
}

func TestAudit(t *testing.T) {
	b := newGateway(t, func(s *setup) { s.options.MaxSessions = 2 }).browser()
	alice := b.signInAs("alice")
	first := b.wantAudited("sign-in success password:alice <nil>")[0]
	if first["handle"] != alice || first["session"] == "" || first["session"] == alice || first["jar"] == "" || first["method"] != "password" {
		t.Errorf("got %v", first)
	}
	bob := b.signInAs("bob")
	if line := b.wantAudited("sign-in success password:bob <nil>")[0]; line["jar"] != first["jar"] {
		t.Errorf("got %v", line)
	}
	bob2 := b.signInAs("bob")
	lines := b.wantAudited("sign-in success password:bob <nil>", "replace success password:bob <nil>")
	if lines[1]["handle"] != bob || lines[1]["by"] != lines[0]["session"] {
		t.Errorf("got %v", lines)
	}
	b.post("/.auth/multi-session/set-active", `{"sessionToken":"`+alice+`"}`)
	b.wantAudited("switch success password:alice <nil>")
	b.clock.advance(1)
	b.submit("/.auth/sign-in", "identifier", "carol", "password", "carol-password")
	if lines := b.wantAudited("sign-in success password:carol <nil>", "evict success password:bob <nil>"); lines[1]["handle"] != bob2 {
		t.Errorf("got %v", lines)
	}
	b.submit("/.auth/accounts", "action", "switch", "session", bob)
	b.wantAudited("switch failure <nil> INVALID_SESSION_TOKEN")
	b.submit("/.auth/accounts", "action", "sign-out", "session", bob)
	b.wantAudited("revoke failure <nil> INVALID_SESSION_TOKEN")
	b.submit("/.auth/accounts", "action", "switch", "session", alice)
	b.audited()
	b.submit("/.auth/accounts", "action", "sign-out", "session", alice)
	if line := b.wantAudited("revoke success password:alice <nil>")[0]; line["promoted"] == nil || line["promoted"] == "" {
		t.Errorf("got %v", line)
	}
	b.signInAs("alice")
	b.audited()
	b.post("/.auth/sign-out", `{}`)
	b.wantAudited("sign-out success password:carol <nil>", "sign-out success password:alice <nil>")
	b.post("/.auth/sign-out", `{}`)
	b.wantAudited()
	b.post("/.auth/sign-out", `{}`, "Origin", "https://evil.example")
	if line := b.wantAudited("cross-origin failure <nil> INVALID_ORIGIN")[0]; line["origin"] != "https://evil.example" || line["path"] != "/.auth/sign-out" {
		t.Errorf("got %v", line)
	}
}

func TestRefusalsAreAudited(t *testing.T) {
	b := newGateway(t).browser()
	b.signInAs("bob")
	b.audited()
	rule := session.Rule{Kind: session.RequireGroup, Values: []string{"admin"}}
	r := b.request("GET", "/secret", "")
	b.Refuse(httptest.NewRecorder(), r, b.visitor(r), session.Policy{rule}, rule)
	if line := b.wantAudited("refuse failure password:bob require group")[0]; line["path"] != "/secret" {
		t.Errorf("got %v", line)
	}
}

func TestFailedSignInsAreAuditedWithoutWhatWasTyped(t *testing.T) {
	b := newGateway(t).browser()
	fail := func(identifier string) any {
		t.Helper()
		b.submit("/.auth/sign-in", "identifier", identifier, "password", "hunter2-secret")
		lines := b.wantAudited("sign-in failure <nil> INVALID_USERNAME_OR_PASSWORD")
		for _, line := range lines {
			if text := fmt.Sprint(line); strings.Contains(text, "hunter2") || strings.Contains(text, identifier) {
				t.Errorf("the line has what was typed: %s", text)
			}
		}
		return lines[0]["identifier_tag"]
	}
	one, two, again := fail("correct-horse"), fail("battery-staple"), fail("Correct-Horse")
	if one == two || one != again || one == "" {
		t.Errorf("tags are %v, %v and %v", one, two, again)
	}
	other := newGateway(t).browser()
	other.submit("/.auth/sign-in", "identifier", "correct-horse", "password", "x")
	if tag := other.audited()[0]["identifier_tag"]; tag == one {
		t.Error("another process gives the same tag")
	}
	b.accounts.err = &login.ThrottledError{Reason: login.ReasonAddress, RetryAfter: 1}
	b.submit("/.auth/sign-in", "identifier", "alice", "password", "x")
	b.wantAudited("sign-in failure <nil> throttled: address")
}

func TestNothingSecretIsLogged(t *testing.T) {
	b := newGateway(t).browser()
	var secrets []string
	keep := func() { secrets = append(secrets, b.cookie) }
	alice := b.signInAs("alice")
	keep()
	b.signInAs("bob")
	keep()
	b.post("/.auth/multi-session/set-active", `{"sessionToken":"`+alice+`"}`)
	b.post("/.auth/multi-session/revoke", `{"sessionToken":"`+secrets[1]+`"}`)
	b.get("/.auth/sign-in?return_to=https%3A%2F%2Fevil.example")
	b.post("/.auth/sign-out", `{}`)
	secrets = append(secrets, "alice-password", "bob-password")
	for _, line := range allText(b.log) {
		for _, secret := range secrets {
			if strings.Contains(line, secret) {
				t.Errorf("%q is in %s", secret, line)
			}
		}
	}
}

func allText(log *observer.ObservedLogs) (lines []string) {
	for _, entry := range log.All() {
		lines = append(lines, entry.Message+fmt.Sprint(entry.ContextMap()))
	}
	return lines
}

func TestBounded(t *testing.T) {
	for text, want := range map[string]string{
		"Mozilla/5.0":                  "Mozilla/5.0",
		strings.Repeat("x", 300):       strings.Repeat("x", 256),
		strings.Repeat("x", 255) + "ü": strings.Repeat("x", 255),
		"a\xffb":                       "ab",
	} {
		if got := bounded(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
