package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// ran is what a command did.
type ran struct {
	out, err string
	code     int
}

// run runs caddy multi-session beside the gateway's Caddyfile, with what is typed into it.
func (g *gateway) run(typed string, args ...string) ran {
	g.t.Helper()
	cmd := g.command(append([]string{"multi-session"}, args...)...)
	var out, errors bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(typed), &out, &errors
	_ = cmd.Run()
	r := ran{out.String(), errors.String(), cmd.ProcessState.ExitCode()}
	if strings.Contains(r.err, "goroutine ") || strings.Contains(r.err, "DATA RACE") {
		g.t.Errorf("%v: %s", args, r.err)
	}
	return r
}

// succeeds runs a command that must succeed without a word beside its output, and returns that.
func (g *gateway) succeeds(args ...string) string {
	g.t.Helper()
	r := g.run("", args...)
	if r.code != 0 || r.err != "" {
		g.t.Fatalf("%v: exit code %d: %s%s", args, r.code, r.err, r.out)
	}
	return r.out
}

// refuses runs a command that must fail with one line that says why, and no output.
func (g *gateway) refuses(why string, args ...string) {
	g.t.Helper()
	r := g.run("", args...)
	if r.code != 1 || r.out != "" || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, why) {
		g.t.Errorf("%v: exit code %d, output %q, error %q; want the error %q", args, r.code, r.out, r.err, why)
	}
}

// jsonOf runs a command with --json, and decodes its output.
func (g *gateway) jsonOf(args ...string) object {
	g.t.Helper()
	var members object
	out := g.succeeds(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &members); err != nil {
		g.t.Fatalf("%v: %v in %q", args, err, out)
	}
	return members
}

// fields are the cells of a table's line that has the text, as far as they have no spaces.
func fields(t *testing.T, table, text string) []string {
	t.Helper()
	for line := range strings.Lines(table) {
		if strings.Contains(line, text) {
			return strings.Fields(line)
		}
	}
	t.Fatalf("no line with %q in:\n%s", text, table)
	return nil
}

// TestCommands runs every command, with a server that runs and on the database of one that does not.
func TestCommands(t *testing.T) {
	for _, mode := range []string{"online", "offline"} {
		t.Run(mode, func(t *testing.T) {
			a := startAdministered(t)
			first, second := a.browser(), a.browser()
			first.signIn("alice")
			first.signIn("bob")
			second.signIn("bob")
			if mode == "offline" {
				a.stop()
			}
			a.t = t
			testUserCommands(t, a)
			testSessionCommands(t, a)
			testInvitationCommands(t, a, mode == "online")
			testBackupCommands(t, a)
			if mode == "offline" {
				a.start(a.config)
			}
			if got := first.accounts(); len(got) != 0 {
				t.Errorf("after all that the browser has %v", got)
			}
			if !a.signsIn("dave", "another-secret-42") {
				t.Error("dave does not sign in")
			}
			noErrors(t, a.gateway)
		})
	}
}

func testUserCommands(t *testing.T, a *administered) {
	r := a.run(password("dave")+"\n", "users", "create", "dave", "--email", "dave@example.org", "--groups", "ops,dev", "--name", "Dave \x1b[31m\u202eD.")
	if r.code != 1 || !strings.Contains(r.err, "name") {
		t.Errorf("a name that cannot be: %v", r)
	}
	r = a.run(password("dave")+"\n", "users", "create", "dave", "--email", "dave@example.org", "--groups", "ops,dev", "--name", "Dave D.")
	if r.code != 0 || r.err != "" || !strings.HasPrefix(r.out, "Created user dave ") {
		t.Fatalf("create: %v", r)
	}
	if out := a.succeeds("users", "create", "erin", "--no-password"); !strings.HasPrefix(out, "Created user erin ") {
		t.Errorf("create without a password: %q", out)
	}
	hash := hashOf(t, "carol")
	a.succeeds("users", "create", "frank", "--password-hash", hash, "--disabled")
	for _, c := range []struct{ name, typed, why string }{
		{"nothing", "", "the password is empty"},
		{"an empty line", "\n", "the password is empty"},
		{"two lines", "one-secret-42\ntwo-secret-42\n", "more than one line"},
		{"too short", "short\n", "password: shorter than 8 characters"},
	} {
		if r := a.run(c.typed, "users", "create", "grace"); r.code != 1 || !strings.Contains(r.err, c.why) || strings.Contains(r.err, "secret") {
			t.Errorf("create with %s: %v", c.name, r)
		}
	}
	a.refuses("user name is taken by a user of the configuration", "users", "create", "Alice", "--no-password")
	a.refuses("user name is taken", "users", "create", "dave", "--no-password")
	a.refuses("no such user", "users", "show", "nobody")
	a.refuses("no such user", "users", "show", "..")
	a.refuses("alice is a user of the configuration", "users", "disable", "alice")
	a.refuses("accepts 1 arg(s)", "users", "show")
	a.refuses(`unknown command "lst"`, "users", "lst")
	a.refuses("unknown flag: --pasword", "users", "create", "grace", "--pasword", "secret")

	list := a.succeeds("users", "list")
	for text, want := range map[string][]string{
		"alice": {"alice", "Alice", "Example", "alice@example.com", "admin,dev", "active", "configuration", "-"},
		"erin":  {"erin", "-", "-", "-", "no", "password", "store"},
		"frank": {"frank", "-", "-", "-", "disabled", "store"},
	} {
		if got := fields(t, list, text); !slices.Equal(got[:len(want)], want) {
			t.Errorf("%s is listed as %q, want %q", text, got, want)
		}
	}
	if users := a.jsonOf("users", "list")["users"].([]any); len(users) != 6 {
		t.Errorf("%d users as JSON", len(users))
	}
	if list := a.succeeds("users", "list", "--search", "EXAMPLE.ORG"); strings.Contains(list, "alice") || !strings.Contains(list, "dave") {
		t.Errorf("searched:\n%s", list)
	}
	for _, who := range []string{"dave", "dave@example.org", a.jsonOf("users", "show", "dave")["id"].(string)} {
		if show := a.succeeds("users", "show", who); !strings.Contains(show, "ops, dev") || !strings.Contains(show, "Dave D.") {
			t.Errorf("%s is shown as:\n%s", who, show)
		}
	}
	a.succeeds("users", "update", "erin", "--email", "erin@example.org", "--email-verified=false", "--groups", "a")
	a.succeeds("users", "update", "erin", "--groups", "", "--username", "irene")
	if got := a.jsonOf("users", "show", "irene"); got["email_verified"] != false || len(got["groups"].([]any)) != 0 {
		t.Errorf("updated to %v", got)
	}
	a.refuses("no member says what to change", "users", "update", "irene")
	if out := a.succeeds("users", "enable", "frank"); out != "Enabled user frank.\n" {
		t.Errorf("enable: %q", out)
	}
	if out := a.succeeds("users", "disable", "frank"); out != "Disabled user frank.\n" {
		t.Errorf("disable: %q", out)
	}
	a.refuses("say --yes if it is meant", "users", "delete", "frank")
	if out := a.succeeds("users", "delete", "frank", "--yes"); out != "Deleted user frank: 0 sessions ended.\n" {
		t.Errorf("delete: %q", out)
	}
	if r := a.run("another-secret-42\r\n", "users", "password", "dave"); r.code != 0 || r.out != "Set the password of dave: 0 sessions ended.\n" {
		t.Errorf("password: %v", r)
	}
	if r := a.run("another-secret-42", "users", "password", "dave", "--json", "--keep-sessions"); r.code != 0 || r.out != `{"sessions_ended":0}`+"\n" {
		t.Errorf("password: %v", r)
	}
}

func testSessionCommands(t *testing.T, a *administered) {
	list := a.succeeds("sessions", "list")
	if lines := strings.Count(list, "\n"); lines != 4 {
		t.Errorf("listed:\n%s", list)
	}
	alice := fields(t, list, "alice")
	if alice[3] != "no" {
		t.Errorf("alice's session is listed as %q", alice)
	}
	sessions := a.jsonOf("sessions", "list", "--user", "bob")["sessions"].([]any)
	if len(sessions) != 2 {
		t.Fatalf("bob has %v", sessions)
	}
	if list := a.succeeds("sessions", "list", "--limit", "1"); !strings.HasSuffix(list, "There are more.\n") {
		t.Errorf("one is listed as:\n%s", list)
	}
	a.refuses("no such user", "sessions", "list", "--user", "nobody")
	a.refuses(`query parameter "user" is empty`, "sessions", "end", "--user", "")
	a.refuses("name a session", "sessions", "end")
	a.refuses("say --yes if it is meant", "sessions", "end", "--everybody")
	a.refuses("goes with no other selection", "sessions", "end", "--everybody", "--user", "bob", "--yes")
	a.refuses("do not go together", "sessions", "end", "--everybody", "--yes", "x")
	a.refuses("no such session", "sessions", "end", "nothing")
	if out := a.succeeds("sessions", "end", "--", alice[0]); out != "Done: 1 session ended.\n" {
		t.Errorf("end one: %q", out)
	}
	if out := a.succeeds("sessions", "end", "--jar", alice[4], "--method", "password"); out != "Done: 1 session ended.\n" {
		t.Errorf("end those of a browser: %q", out)
	}
	if out := a.succeeds("sessions", "end", "--everybody", "--yes", "--json"); out != `{"sessions_ended":1}`+"\n" {
		t.Errorf("end all: %q", out)
	}
	if list := a.succeeds("sessions", "list", "--json"); list != `{"sessions":[]}`+"\n" {
		t.Errorf("left are %s", list)
	}
}

// testInvitationCommands: only a server that runs knows the address of its site.
func testInvitationCommands(t *testing.T, a *administered, online bool) {
	made := a.succeeds("invitations", "create", "--email", "grace@example.org", "--groups", "a,b", "--uses", "3", "--expires-in", "1d")
	code := fields(t, made, "Code")[1]
	want := "/.auth/sign-up?invitation=" + code
	if online {
		want = a.origin + want
	}
	if page := fields(t, made, "Page")[1]; page != want {
		t.Errorf("the page is %q, want %q", page, want)
	}
	list := a.succeeds("invitations", "list")
	if got := fields(t, list, "grace@example.org"); !slices.Equal(got[2:4], []string{"a,b", "3"}) || strings.Contains(list, code) {
		t.Errorf("listed:\n%s", list)
	}
	a.refuses("is no duration", "invitations", "create", "--expires-in", "soon")
	a.refuses("no such invitation", "invitations", "delete", "nothing")
	a.succeeds("invitations", "delete", "--", fields(t, list, "grace@example.org")[0])
	if out := a.succeeds("invitations", "list", "--json"); out != `{"invitations":[]}`+"\n" {
		t.Errorf("left are %s", out)
	}
}

func testBackupCommands(t *testing.T, a *administered) {
	if out := a.succeeds("check"); out != "In order: 2 users, 0 sessions in 0 browsers.\n" {
		t.Errorf("check: %q", out)
	}
	out := a.succeeds("backup", "-")
	wholeBackup(t, out)
	wholeBackup(t, a.succeeds("backup"))
	path := filepath.Join(a.dir, "backup.jsonl")
	if out := a.succeeds("backup", path); !strings.HasPrefix(out, "Wrote "+path) {
		t.Errorf("backup: %q", out)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the backup: %v, %v", info, err)
	}
	a.refuses("say --force to replace it", "backup", path)
	a.succeeds("backup", path, "--force")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wholeBackup(t, string(content))

	a.succeeds("users", "delete", "dave", "--yes")
	a.refuses("say --yes if it is meant", "restore", path)
	a.refuses("no such file", "restore", filepath.Join(a.dir, "nothing"), "--yes")
	broken := filepath.Join(a.dir, "broken.jsonl")
	if err := os.WriteFile(broken, content[:len(content)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	a.refuses("its end is missing", "restore", broken, "--yes")
	if err := os.WriteFile(broken, bytes.Replace(content, []byte("records"), []byte("recordz"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	a.refuses("the backup is not whole", "restore", broken, "--yes")
	if out := a.succeeds("restore", path, "--yes"); out != "Restored 2 users and 0 invitations. Everybody has to sign in again.\n" {
		t.Errorf("restore: %q", out)
	}
	if r := a.run(string(content), "restore", "-", "--yes", "--json"); r.code != 0 || r.out != `{"users":2,"invitations":0}`+"\n" {
		t.Errorf("restore from the input: %v", r)
	}
	a.succeeds("users", "show", "dave")
	// What was written aside is gone.
	if left, err := filepath.Glob(filepath.Join(a.dir, ".backup*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestCommandsMakeNoDatabase: a slip in a path, or the wrong system user, makes no new and empty
// database.
func TestCommandsMakeNoDatabase(t *testing.T) {
	other := startAdministered(t)
	backup := filepath.Join(other.dir, "backup")
	other.succeeds("backup", backup)
	other.stop()
	for _, c := range []struct{ name, config, database string }{
		{"of the configuration", inviting("127.0.0.1:1", "127.0.0.1:1", "new/sessions.db"), "new/sessions.db"},
		{"in Caddy's directory", "", "data/caddy/multi_session.db"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGateway(t)
			if c.config != "" {
				g.write(c.config)
			}
			t.Setenv("CADDY_ADMIN", g.admin) // the default where no configuration says another
			path := filepath.Join(g.dir, c.database)
			for _, args := range [][]string{
				{"users", "list"}, {"users", "show", "dave"}, {"users", "delete", "dave", "--yes"}, {"sessions", "list"},
				{"sessions", "end", "--everybody", "--yes"}, {"invitations", "create"}, {"backup"}, {"check"},
				{"users", "create", "dave", "--no-password"}, {"restore", backup, "--yes"},
			} {
				r := g.run("", args...)
				if r.code != 1 || !strings.Contains(r.err, "there is no database "+path) || !strings.Contains(r.err, "could not be reached at "+g.admin) {
					t.Errorf("%v: %v", args, r)
				}
				if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("%v: %v", args, err)
				}
			}
		})
	}
}

// TestDatabaseByFile: with --db no server and no configuration is asked. What only a configuration
// knows is left as it is.
func TestDatabaseByFile(t *testing.T) {
	a := startAdministered(t)
	a.createUser("dave")
	b := a.browser()
	b.signIn("dave")
	b.signIn("alice")
	a.refuses("is locked by another process", "users", "list", "--db", a.database)
	a.refuses("no server is asked", "users", "list", "--db", a.database, "--address", a.admin)
	a.stop()
	if list := a.succeeds("users", "list", "--db", a.database); strings.Contains(list, "alice") || !strings.Contains(list, "dave") {
		t.Errorf("listed:\n%s", list)
	}
	if list := a.succeeds("sessions", "list", "--db", a.database); strings.Count(list, "\n") != 3 {
		t.Errorf("listed:\n%s", list)
	}
	if out := a.succeeds("sessions", "end", "--user", "dave", "--db", a.database); out != "Done: 1 session ended.\n" {
		t.Errorf("end: %q", out)
	}
	a.refuses("there is no database", "check", "--db", a.database+".old")
	a.start(a.config)
	if got := b.accounts(); !slices.Equal(got, []string{"alice"}) {
		t.Errorf("the browser has %v", got)
	}
	noErrors(t, a.gateway)
}

// TestCheckWritesNothing looks at a database that no server has open, and leaves every byte of it.
func TestCheckWritesNothing(t *testing.T) {
	a := startAdministered(t)
	a.browser().signIn("alice")
	a.stop()
	dir := filepath.Join(a.dir, "looked-at")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(a.database)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sessions.db")
	if err := os.WriteFile(path, content, 0o400); err != nil {
		t.Fatal(err)
	}
	before := footprint(t, dir)
	if out := a.succeeds("check", "--db", path, "--json"); out != `{"ok":true,"users":0,"sessions":1,"jars":1}`+"\n" {
		t.Errorf("check: %q", out)
	}
	if after := footprint(t, dir); !slices.Equal(before, after) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if err := os.WriteFile(filepath.Join(dir, "cut.db"), content[:usedBytes(t, a.database)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	before = footprint(t, dir)
	a.refuses("truncated", "check", "--db", filepath.Join(dir, "cut.db"))
	if after := footprint(t, dir); !slices.Equal(before, after) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

// TestCommandsBesideAServerWithoutAdmin: the database is the server's, and it cannot be asked.
func TestCommandsBesideAServerWithoutAdmin(t *testing.T) {
	a := startAdministered(t)
	path := filepath.Join(a.dir, "Caddyfile")
	off := func() {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Replace(content, []byte("admin "+a.admin), []byte("admin off"), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, why string
		prepare   func()
	}{
		{"admin is elsewhere", "the server's admin API could not be reached at ", func() {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, bytes.Replace(content, []byte("admin "+a.admin), []byte("admin "+freeAddress(t)), 1), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"admin is off", "the server's admin API is off in the configuration", func() { a.write(a.config); off() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.prepare()
			began := time.Now()
			r := a.run("", "users", "list")
			if r.code != 1 || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, a.database+": is locked by another process") || !strings.Contains(r.err, c.why) {
				t.Errorf("%v", r)
			}
			if took := time.Since(began); took > 10*time.Second { // it waits for a second
				t.Errorf("it took %s", took)
			}
		})
	}
	// Whoever names the server's address has it asked, whatever the configuration says.
	if out := a.succeeds("users", "list", "--address", a.admin); !strings.Contains(out, "alice") {
		t.Errorf("listed:\n%s", out)
	}
	// And no other database takes its place.
	if r := a.run("", "users", "list", "--address", freeAddress(t)); r.code != 1 || strings.Contains(r.err, "database") {
		t.Errorf("%v", r)
	}
	noErrors(t, a.gateway)
}

// TestCommandsAskOtherServers: what is at the address may be another program.
func TestCommandsAskOtherServers(t *testing.T) {
	a := startAdministered(t)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	a.refuses("it is another program, or a Caddy without this module", "users", "list", "--address", strings.TrimPrefix(other.URL, "http://"))
	a.refuses("is not an address", "users", "list", "--address", "localhost:2000-2010")
	a.refuses("no such file", "users", "list", "--config", "nothing")
	a.refuses("serve", "users", "list", "--config", filepath.Join(a.dir, "Caddyfile"), "--adapter", "serve")
	if err := a.reload("{\n}\n"); err != nil {
		t.Fatal(err)
	}
	a.refuses("the running configuration has no multi_session app", "users", "list")
}

// TestCommandsBySocket asks a server whose admin endpoint is a Unix socket.
func TestCommandsBySocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "gw") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "admin.sock")
	if l, err := net.Listen("unix", socket); err != nil {
		t.Skip(err)
	} else {
		l.Close()
	}
	g := newGateway(t)
	g.admin = "unix/" + socket + "|0600"
	g.start(inviting(freeAddress(t), "127.0.0.1:1", filepath.Join(g.dir, "sessions.db")))
	g.succeeds("users", "create", "dave", "--no-password")
	g.succeeds("users", "show", "dave", "--address", "unix/"+socket)
	noErrors(t, g)
	g.stop()
	g.succeeds("users", "show", "dave") // whose socket is gone
}

// TestCompletion: the shell is told the users and sessions of the server that runs, and nothing where
// none does.
func TestCompletion(t *testing.T) {
	a := startAdministered(t)
	a.createUser("dave")
	a.browser().signIn("alice")
	session := a.jsonOf("sessions", "list")["sessions"].([]any)[0].(object)
	completes := func(args ...string) []string {
		t.Helper()
		cmd := a.command(append([]string{"__complete", "multi-session"}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		var values []string
		for line := range strings.Lines(string(out)) {
			if !strings.HasPrefix(line, ":") {
				value, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
				values = append(values, value)
			}
		}
		return values
	}
	cases := []struct {
		name string
		args []string
		want []string
	}{
		{"users", []string{"users", "show", ""}, []string{"alice", "bob", "carol", "dave"}},
		{"users by their beginning", []string{"users", "delete", "A"}, []string{"alice"}},
		{"one user only", []string{"users", "show", "dave", ""}, nil},
		{"a new user", []string{"users", "create", ""}, nil},
		{"users of a flag", []string{"sessions", "list", "--user", "d"}, []string{"dave"}},
		{"sessions", []string{"sessions", "end", ""}, []string{session["id"].(string)}},
		{"jars", []string{"sessions", "end", "--jar", ""}, []string{session["jar"].(string)}},
		{"methods", []string{"sessions", "list", "--method", ""}, []string{"password"}},
	}
	for _, c := range cases {
		if got := completes(c.args...); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := completes("users", ""); !slices.Contains(got, "create") {
		t.Errorf("commands: %q", got)
	}
	a.stop()
	for _, c := range cases {
		if got := completes(c.args...); len(got) != 0 {
			t.Errorf("%s, without a server: %q", c.name, got)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out, err := a.command("completion", shell).Output(); err != nil || len(out) == 0 {
			t.Errorf("%s: %v", shell, err)
		}
	}
}
