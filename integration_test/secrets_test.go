package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// hashOf returns the hash of a user of userOptions.
func hashOf(t *testing.T, user string) string {
	t.Helper()
	_, rest, _ := strings.Cut(userOptions, "user "+user+" ")
	parts := strings.SplitN(rest, `"`, 3)
	if len(parts) != 3 || !strings.HasPrefix(parts[1], "$2a$") {
		t.Fatalf("no hash of %s", user)
	}
	return parts[1]
}

// adminConfig returns the running configuration as the admin API tells it.
func (g *gateway) adminConfig() string {
	g.t.Helper()
	response, err := http.Get("http://" + g.admin + "/config/")
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		g.t.Fatalf("/config/: %s, %v", response.Status, err)
	}
	return string(body)
}

// TestNoSecretsInLogsAndConfig runs a whole story with every log there is at its most talkative.
// Nothing that lets somebody in is in the logs, the configuration's API, or the copy that Caddy saves.
func TestNoSecretsInLogsAndConfig(t *testing.T) {
	t.Setenv("ALICE_HASH", hashOf(t, "alice"))
	bobFile := filepath.Join(t.TempDir(), "bob.hash")
	if err := os.WriteFile(bobFile, []byte(hashOf(t, "bob")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	config := site(address, up.address(), "", `log
	@admin path /admin*
	multi_session @admin {
		require group admin
	}
	multi_session`)
	config = strings.Replace(config, "{\n", "{\n\tdebug\n\tlog {\n\t\tformat json\n\t\tlevel DEBUG\n\t}\n", 1)
	config = strings.NewReplacer(
		`"`+hashOf(t, "alice")+`"`, "{env.ALICE_HASH}",
		`"`+hashOf(t, "bob")+`"`, "{file."+bobFile+"}",
	).Replace(config)
	g.start(config)

	b := newBrowser(t, "http://"+address)
	var cookies []string
	note := func() {
		if c := b.cookieOf(); c != "" && !slices.Contains(cookies, c) {
			cookies = append(cookies, c)
		}
	}
	mistyped := "correct horse battery staple"
	b.open("/start?page=1")
	b.open("/.auth/sign-in?return_to=%2Fstart%3Fpage%3D1")
	form := func(identifier, password string) reply {
		t.Helper()
		defer note()
		return b.submit("/.auth/sign-in", url.Values{"identifier": {identifier}, "password": {password}, "return_to": {"/start?page=1"}})
	}
	if answer := form("alice", mistyped); answer.StatusCode != http.StatusUnauthorized {
		t.Fatalf("wrong password: %s", answer.Status)
	}
	if answer := form(password("alice"), password("alice")); answer.StatusCode != http.StatusUnauthorized {
		t.Fatalf("password typed as the name: %s", answer.Status)
	}
	if answer := form("alice", password("alice")); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in: %s", answer.Status)
	}
	b.open("/start?page=1")
	b.open("/admin/")
	bob := b.signIn("bob")
	note()
	if answer := b.get("/admin/"); answer.StatusCode != http.StatusForbidden {
		t.Fatalf("bob at /admin/: %s", answer.Status)
	}
	var entries []entry
	b.get(listPath).json(t, &entries)
	alice := entries[0].Session.Token
	if answer := b.post(switchPath, map[string]any{"sessionToken": alice}); answer.StatusCode != http.StatusOK {
		t.Fatalf("switch: %s", answer.Status)
	}
	b.post(switchPath, map[string]any{"sessionToken": cookies[0]}) // not a handle: an old cookie
	if answer := b.post(revokePath, map[string]any{"sessionToken": bob}); answer.StatusCode != http.StatusOK {
		t.Fatalf("revoke: %s", answer.Status)
	}
	carol := b.signIn("carol")
	note()
	if answer := b.post(signOutPath, map[string]any{}); answer.StatusCode != http.StatusOK {
		t.Fatalf("sign out: %s", answer.Status)
	}
	b.open("/start")
	if answer := b.post(signInPath, map[string]any{"username": "bob", "password": mistyped}); answer.StatusCode != http.StatusUnauthorized {
		t.Fatalf("wrong password: %s", answer.Status)
	}
	if len(cookies) != 3 {
		t.Fatalf("%d jar cookies", len(cookies))
	}
	if err := g.reload(strings.Replace(config, "Alice Example", "Alice Reloaded", 1)); err != nil {
		t.Fatal(err)
	}
	saved, err := os.ReadFile(filepath.Join(g.dir, "config", "caddy", "autosave.json"))
	if err != nil {
		t.Fatal(err)
	}
	running := g.adminConfig()
	g.stop()

	for where, text := range map[string]string{"log": g.log.String(), "/config/": running, "autosave.json": string(saved)} {
		secrets := map[string]string{
			"alice's password": password("alice"), "bob's password": password("bob"), "carol's password": password("carol"),
			"a mistyped password": mistyped,
			"alice's hash":        hashOf(t, "alice"), "bob's hash": hashOf(t, "bob"),
			"the rest of alice's hash": hashOf(t, "alice")[29:], "the rest of bob's hash": hashOf(t, "bob")[29:],
		}
		for i, c := range cookies {
			secrets[fmt.Sprintf("jar cookie %d", i)] = c
		}
		for name, secret := range secrets {
			if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
				t.Errorf("%s has %s:\n%s", where, name, text)
			}
		}
		if where == "log" {
			continue
		}
		for _, placeholder := range []string{"{env.ALICE_HASH}", "{file." + bobFile + "}", "Alice Reloaded"} {
			if !strings.Contains(text, placeholder) {
				t.Errorf("%s lacks %s:\n%s", where, placeholder, text)
			}
		}
	}

	ids := make(map[string]int)
	for _, line := range logged(g, "http.log.access") {
		id, _ := line["user_id"].(string)
		ids[fmt.Sprintf("%s %v", id, line["request"].(map[string]any)["uri"])]++
	}
	// The first page after a switch is asked for twice: it is preceded by one of the gateway's.
	for want, n := range map[string]int{"password:alice /start?page=1": 1, "password:alice /admin/": 1, "password:bob /admin/": 1, " /start": 2} {
		if ids[want] != n {
			t.Errorf("the access log has %d lines of %q, want %d: %v", ids[want], want, n, ids)
		}
	}

	type audited struct{ event, outcome, account, handle string }
	var lines []audited
	for _, line := range logged(g, "multi_session.audit") {
		text := func(name string) string { s, _ := line[name].(string); return s }
		lines = append(lines, audited{text("event"), text("outcome"), text("account"), text("handle")})
		if text("client_ip") != "127.0.0.1" || text("user_agent") == "" || text("outcome") == "" {
			t.Errorf("an audit line says too little: %v", line)
		}
		if method := text("method"); method != "password" && text("account") != "" || method == "" && text("event") == "sign-in" {
			t.Errorf("an audit line does not say the method: %v", line)
		}
	}
	want := []audited{
		{"sign-in", "failure", "", ""},
		{"sign-in", "failure", "", ""},
		{"sign-in", "success", "password:alice", alice},
		{"sign-in", "success", "password:bob", bob},
		{"refuse", "failure", "password:bob", bob},
		{"switch", "success", "password:alice", alice},
		{"switch", "failure", "", ""},
		{"revoke", "success", "password:bob", bob},
		{"sign-in", "success", "password:carol", carol},
		{"sign-out", "success", "password:alice", alice},
		{"sign-out", "success", "password:carol", carol},
		{"sign-in", "failure", "", ""},
	}
	if !slices.Equal(lines, want) {
		t.Errorf("audit lines:\n%v\nwant:\n%v", lines, want)
	}
}

// logged returns the lines of a logger, or of one below it.
func logged(g *gateway, logger string) []map[string]any {
	var lines []map[string]any
	for text := range strings.Lines(g.log.String()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) != nil {
			continue
		}
		name, _ := line["logger"].(string)
		if name == logger || strings.HasPrefix(name, logger+".") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestIdleTimeout: a session lasts while it is used, and ends when it is not.
func TestIdleTimeout(t *testing.T) {
	const idle = 2 * time.Second
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, site(address, up.address(), "idle_timeout "+idle.String(), "multi_session"))
	b := newBrowser(t, "http://"+address)

	// Used for longer than it may be idle. Where the machine stood still for so long between two
	// uses that the session may have ended, it begins again.
	handle := b.signIn("alice")
	begun, used := time.Now(), time.Now()
	await(t, "a session to outlive its idle timeout", func() bool {
		answer := b.get("/")
		if answer.StatusCode != http.StatusOK {
			if gap := time.Since(used); gap < idle*9/10 {
				t.Fatalf("%s after the last use: %s", gap, answer.Status)
			}
			handle, begun = b.signIn("alice"), time.Now()
		}
		used = time.Now()
		return time.Since(begun) > 2*idle
	})
	cookie := b.cookieOf()
	// To list the sessions is not to use them.
	await(t, "the session to end", func() bool { return len(b.accounts()) == 0 })
	if ended := time.Since(used); ended < idle*9/10 {
		t.Errorf("it ended %s after its last use", ended)
	}
	if got := b.active(); got != "" {
		t.Errorf("active is %q", got)
	}
	if answer := b.get("/"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("API: %s", answer.Status)
	}
	if got := b.open("/page").Header.Get("Location"); got != "/.auth/sign-in?return_to=%2Fpage" {
		t.Errorf("navigation: to %q", got)
	}
	if answer := b.post(switchPath, map[string]any{"sessionToken": handle}); answer.code() != "INVALID_SESSION_TOKEN" {
		t.Errorf("the old handle: %s: %s", answer.Status, answer.body)
	}
	b.signIn("bob")
	if got := b.accounts(); !slices.Equal(got, []string{"bob"}) || b.cookieOf() == cookie {
		t.Errorf("after signing in anew: %v", got)
	}
}

// TestLifetime: when the active session ends by itself no other takes its place. A navigation gets
// the chooser and an API call 401.
func TestLifetime(t *testing.T) {
	const lifetime = 3 * time.Second
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, site(address, up.address(), "lifetime 3s\n\t\tidle_timeout off", "multi_session"))

	// On a machine that stands still for too long bob's session, half a lifetime younger, is over
	// as well when it is looked at; then all begins again.
	for {
		b := newBrowser(t, "http://"+address)
		alice := b.signIn("alice")
		begun := time.Now()
		await(t, "alice's session to be half through", func() bool { return time.Since(begun) > lifetime/2 })
		bob := b.signIn("bob")
		bobBegun := time.Now()
		late := func() bool { return time.Since(bobBegun) > lifetime*9/10 }
		if answer := b.post(switchPath, map[string]any{"sessionToken": alice}); answer.StatusCode != http.StatusOK {
			if time.Since(begun) > lifetime*9/10 {
				continue
			}
			t.Fatalf("switch: %s: %s", answer.Status, answer.body)
		}
		await(t, "alice's session to end", func() bool {
			if answer := b.get("/"); answer.StatusCode == http.StatusOK {
				if got := answer.seen(t).Header.Get("Remote-User"); got != "alice" {
					t.Fatalf("the upstream saw %q", got)
				}
			}
			return !slices.Contains(b.accounts(), "alice")
		})
		api, navigation, accounts, active := b.get("/"), b.open("/page"), b.accounts(), b.active()
		chooser := b.open("/.auth/accounts?return_to=%2Fpage")
		back := b.post(switchPath, map[string]any{"sessionToken": bob})
		became := b.active()
		if late() {
			continue
		}
		if api.StatusCode != http.StatusUnauthorized || api.code() != "UNAUTHORIZED" {
			t.Errorf("API: %s: %s", api.Status, api.body)
		}
		if got := navigation.Header.Get("Location"); navigation.StatusCode != http.StatusSeeOther || got != "/.auth/accounts?return_to=%2Fpage" {
			t.Errorf("navigation: %s to %q", navigation.Status, got)
		}
		if !slices.Equal(accounts, []string{"bob"}) || active != "" {
			t.Errorf("accounts: %v, active %q", accounts, active)
		}
		if chooser.StatusCode != http.StatusOK || !strings.Contains(chooser.body, "Bob Example") || strings.Contains(chooser.body, "Alice Example") {
			t.Errorf("chooser: %s\n%s", chooser.Status, chooser.body)
		}
		if back.StatusCode != http.StatusOK || became != "bob" {
			t.Errorf("bob chosen: %s: %s; active is %q", back.Status, back.body, became)
		}
		await(t, "bob's session to end", func() bool { return b.active() == "" })
		if got := b.accounts(); len(got) != 0 {
			t.Errorf("at the end: %v", got)
		}
		return
	}
}

// TestPlaceholdersInUserText: what a user is called is never expanded, wherever it is passed on.
func TestPlaceholdersInUserText(t *testing.T) {
	up := newEcho(t)
	for _, name := range []string{"{env.HOME}", "{http.request.host}", "{http.auth.user.id}", "{http.request.header.X-Probe}", `\{env.HOME}`} {
		t.Run(name, func(t *testing.T) {
			address := freeAddress(t)
			config := site(address, up.address(), "", `multi_session {
		identity_headers remote forwarded webauth
		header X-Custom "<{http.auth.user.name}>"
		header X-Claim "{http.auth.user.claim.title}"
	}
	header >X-Response "{http.auth.user.name}"
	request_header X-Later "{http.auth.user.name}"`)
			literal := strings.ReplaceAll(name, `\`, `\\`)
			config = strings.Replace(config, `name "Alice Example"`, "name `"+name+"`\n\t\tclaim title `"+name+"`", 1)
			g := startGateway(t, config)
			b := newBrowser(t, "http://"+address)
			b.signIn("alice")
			request := b.request(http.MethodGet, "/", nil)
			request.Header.Set("X-Probe", "probed")
			answer := b.must(request)
			h := answer.seen(t).Header
			for field, want := range map[string]string{
				"Remote-Name": name, "X-Webauth-Name": name, "X-Custom": "<" + name + ">", "X-Claim": name, "X-Later": name,
			} {
				if got := h.Get(field); got != want {
					t.Errorf("the upstream saw %s: %q, want %q", field, got, want)
				}
			}
			if got := answer.Header.Get("X-Response"); got != name {
				t.Errorf("the browser saw %q, want %q", got, name)
			}
			var e entry
			b.get(getActivePath).json(t, &e)
			if e.User.Name != name {
				t.Errorf("the API says %q, want %q", e.User.Name, name)
			}
			if config := g.adminConfig(); !strings.Contains(config, literal) {
				t.Errorf("the configuration does not say %q: %s", literal, config)
			}
		})
	}
}
