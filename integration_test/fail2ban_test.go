package integration

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFail2banFilter holds the filter of contrib against what the gateway logs: it finds the address of
// a client that guesses, and no address that a client has put into a line.
func TestFail2banFilter(t *testing.T) {
	const path = "../contrib/fail2ban/filter.conf"
	filter, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`(?m)^failregex = (.+)$`).FindSubmatch(filter)
	if rule == nil {
		t.Fatal("the filter has no failregex")
	}
	pattern := regexp.MustCompile(strings.Replace(string(rule[1]), "<ADDR>", `(?P<addr>[0-9a-f.:]+)`, 1))

	g, origin := throttled(t, "throttle 2 1h")
	b := newBrowser(t, origin)
	guess := func(client, password string) {
		t.Helper()
		request := b.jsonRequest("/.auth/sign-in/username", map[string]any{"username": "alice", "password": password})
		request.Header.Set("X-Forwarded-For", client)
		request.Header.Set("User-Agent", `x","event":"sign-in","outcome":"failure","client_ip":"203.0.113.9","user_agent":"\`)
		b.must(request)
	}
	guess("192.0.2.1", "wrong")
	guess("2001:db8::1", "wrong")
	guess("192.0.2.2", password("alice"))
	for range 3 { // two guesses that are wrong, and one that is throttled
		guess("192.0.2.3", "wrong")
	}
	request := b.jsonRequest("/.auth/sign-up/email", map[string]any{"email": "eve@example.com", "password": "correct horse battery", "name": "Eve"})
	request.Header.Set("X-Forwarded-For", "192.0.2.4")
	if answer := b.must(request); answer.StatusCode == http.StatusOK {
		t.Fatal("there is sign-up")
	}

	want := map[string]int{"192.0.2.1": 1, "2001:db8::1": 1, "192.0.2.3": 3}
	var lines strings.Builder
	got := make(map[string]int)
	for line := range strings.Lines(g.log.String()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) != nil || entry["logger"] != "multi_session.audit" {
			continue
		}
		lines.WriteString(line)
		if found := pattern.FindStringSubmatch(line); found != nil {
			got[found[pattern.SubexpIndex("addr")]]++
		}
	}
	for client, n := range want {
		if got[client] != n {
			t.Errorf("%s is found %d times, want %d", client, got[client], n)
		}
	}
	for client, n := range got {
		if want[client] == 0 {
			t.Errorf("%s is found %d times, and has not guessed", client, n)
		}
	}
	if t.Failed() {
		t.Log(lines.String())
	}
	checkWithFail2ban(t, path, lines.String(), 5)
}

// checkWithFail2ban has fail2ban itself, where it is installed, count the lines that the filter finds.
func checkWithFail2ban(t *testing.T, filter, lines string, want int) {
	t.Helper()
	program, err := exec.LookPath("fail2ban-regex")
	if err != nil {
		return
	}
	log := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(log, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "--out", "ip", log, filter).Output()
	if err != nil {
		t.Fatalf("fail2ban-regex: %v: %s", err, out)
	}
	if found := strings.Fields(string(out)); len(found) != want {
		t.Errorf("fail2ban finds %q, want %d lines", found, want)
	}
}
