package integration

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestServerSideExample runs the example app, which acts for a browser from its server: what it does
// holds for the browser's next request, and for no other browser.
func TestServerSideExample(t *testing.T) {
	nodePackages(t)
	g := newGateway(t)
	app := startExampleApp(t, "http://"+g.admin)
	address := freeAddress(t)
	g.start(site(address, app, "", "multi_session {\n\t\theader X-Session {http.auth.user.session}\n\t}"))
	b, other := newBrowser(t, "http://"+address), newBrowser(t, "http://"+address)
	b.signIn("alice")
	b.signIn("bob")
	other.signIn("carol")

	accounts := func(b *browser) (sessions map[string]string, active string) {
		t.Helper()
		answer := b.get("/accounts")
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", answer.Status, answer.body)
		}
		var list []struct {
			ID, User string
			Active   bool
		}
		answer.json(t, &list)
		sessions = make(map[string]string)
		for _, account := range list {
			sessions[account.User] = account.ID
			if account.Active {
				active = account.User
			}
		}
		return sessions, active
	}
	mine, active := accounts(b)
	others, _ := accounts(other)
	if len(mine) != 2 || active != "bob" || len(others) != 1 {
		t.Fatalf("%v, %s is active; the other browser has %v", mine, active, others)
	}
	for _, path := range []string{"/switch", "/sign-out"} {
		if answer := b.post(path, object{"session": others["carol"]}); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s of another browser's session: %s %s", path, answer.Status, answer.body)
		}
	}
	if answer := b.post("/switch", object{"session": mine["alice"]}); answer.StatusCode != http.StatusOK {
		t.Fatalf("switch: %s %s", answer.Status, answer.body)
	}
	if _, active := accounts(b); active != "alice" {
		t.Errorf("%s is active after the switch", active)
	}
	if answer := b.post("/sign-out", object{"session": mine["alice"]}); answer.StatusCode != http.StatusOK {
		t.Fatalf("sign out: %s %s", answer.Status, answer.body)
	}
	if left, active := accounts(b); len(left) != 1 || active != "bob" {
		t.Errorf("%v, %s is active after alice has signed out", left, active)
	}
	if left, _ := accounts(other); len(left) != 1 {
		t.Errorf("the other browser has %v", left)
	}
}

// startExampleApp runs the app of the example until the test ends, and returns its address.
func startExampleApp(t *testing.T, admin string) (address string) {
	t.Helper()
	app := exec.Command("node", "app.mjs")
	app.Dir = "../examples/server-side"
	app.Env = append(os.Environ(), "PORT=0", "ADMIN="+admin)
	stderr := new(buffer)
	app.Stderr = stderr
	output, err := app.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = app.Process.Kill()
		_ = app.Wait()
	})
	port, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("the app does not serve: %v\n%s", err, stderr)
	}
	return "127.0.0.1:" + strings.TrimSpace(port)
}
