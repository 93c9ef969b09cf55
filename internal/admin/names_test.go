package admin

import (
	"net/http"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

func TestReleaseName(t *testing.T) {
	w := newWorld(t)
	logins, err := login.NewMethods(elsewhere{})
	if err != nil {
		t.Fatal(err)
	}
	alice := &session.Identity{Account: session.Account{Method: "google", Subject: "1"}, UserName: "alice@example.com"}
	if err := w.names.Claim(t.Context(), logins, alice); err != nil {
		t.Fatal(err)
	}
	want := `{"user_name":"Alice@example.com","account":"google:1"}`
	if got := w.send(http.MethodGet, "/names/Alice@example.com", "", nil); got.status != http.StatusOK || got.body != want+"\n" && got.body != want {
		t.Errorf("%d %s", got.status, got.body)
	}
	w.logged.TakeAll()
	if got := w.send(http.MethodDelete, "/names/Alice@example.com", "", nil); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	lines := w.logged.TakeAll()
	if len(lines) != 1 || lines[0].ContextMap()["action"] != actionReleaseName || lines[0].ContextMap()["account"] != "google:1" {
		t.Errorf("audit lines %v", lines)
	}
	if got := w.send(http.MethodGet, "/names/alice@example.com", "", nil); got.status != http.StatusNotFound {
		t.Errorf("%d %s", got.status, got.body)
	}
}
