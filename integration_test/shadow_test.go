package integration

import (
	"net/http"
	"strings"
	"testing"
)

// TestConfiguredUserWins adds a user to the Caddyfile whose name somebody has who signed up: the two are
// never one, whoever is asked and whatever was there first.
func TestConfiguredUserWins(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	signUp := site(address, up.address(), "", "multi_session { \n optional \n }")
	signUp = strings.Replace(signUp, "throttle off", "throttle off\n\t\t\tsign_up", 1)
	const dave = `user dave dave@example.com "$2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK"` // of alice-example
	withDave := strings.Replace(signUp, "sign_up", "sign_up\n\t\t\t"+dave, 1)

	g := startGateway(t, signUp)
	b := newBrowser(t, "http://"+address)
	answer := b.post("/.auth/sign-up/email", map[string]any{"name": "Stored Dave", "email": "other@example.com", "username": "dave", "password": "password of dave"})
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("sign-up: %s: %s", answer.Status, answer.body)
	}
	seenAs := func() string { t.Helper(); return b.get("/").seen(t).Header.Get("Remote-User") }
	if got := seenAs(); got != "dave" {
		t.Fatalf("the upstream sees %q", got)
	}
	if strings.Contains(g.log.String(), "a stored user cannot sign in") {
		t.Error("a warning without a reason")
	}

	if err := g.reload(withDave); err != nil {
		t.Fatal(err)
	}
	if got := seenAs(); got != "" {
		t.Errorf("the session of the stored dave is seen as %q", got)
	}
	if !strings.Contains(g.log.String(), "a stored user cannot sign in") {
		t.Error("no warning")
	}
	signIn := func(identifier, password string) int {
		t.Helper()
		path, member := "/.auth/sign-in/username", "username"
		if strings.Contains(identifier, "@") {
			path, member = "/.auth/sign-in/email", "email"
		}
		return newBrowser(t, "http://"+address).post(path, map[string]any{member: identifier, "password": password}).StatusCode
	}
	for _, c := range []struct {
		identifier, password string
		want                 int
	}{
		{"dave", "password of dave", http.StatusUnauthorized},
		{"other@example.com", "password of dave", http.StatusUnauthorized},
		{"dave", "alice-example", http.StatusOK},
		{"dave@example.com", "alice-example", http.StatusOK},
	} {
		if got := signIn(c.identifier, c.password); got != c.want {
			t.Errorf("sign-in as %s with %q: %d, want %d", c.identifier, c.password, got, c.want)
		}
	}

	// What has ended stays so when the name is free again. The reload does that beside the requests.
	await(t, "the end of the shadowed sessions", func() bool { return strings.Contains(g.log.String(), "removed the sessions of removed accounts") })
	if err := g.reload(signUp); err != nil {
		t.Fatal(err)
	}
	if got := seenAs(); got != "" {
		t.Errorf("the ended session is seen as %q", got)
	}
	if got := signIn("dave", "password of dave"); got != http.StatusOK {
		t.Errorf("the stored dave cannot sign in again: %d", got)
	}
}
