package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// ttrss is Debian's tt-rss, whose plugin auth_remote asks who somebody is at their first request and
// then believes the cookie ttrss_sid, which scripts can read.
type ttrss struct {
	t    testing.TB
	root string // of its files, for the server in front
	php  string // host:port of FastCGI
	db   *database
}

const debianTTRSS = "/usr/share/tt-rss"

func startTTRSS(t testing.TB) *ttrss {
	t.Helper()
	if _, err := os.Stat(debianTTRSS + "/www/plugins/auth_remote/init.php"); err != nil {
		missing(t, "tt-rss")
	}
	php, err := exec.LookPath("php-cgi")
	if err != nil {
		missing(t, "php-cgi")
	}
	app := &ttrss{t: t, db: startPostgres(t), php: freeAddress(t)}
	app.db.psql("-f", debianTTRSS+"/schema/ttrss_schema_pgsql.sql")
	dir := unprivilegedDir(t)
	app.root = dir + "/www"
	copyTree(t, debianTTRSS+"/www", app.root, "config.php", "feed-icons")
	for _, writable := range []string{"www/feed-icons", "lock", "cache/images", "cache/upload", "cache/export", "cache/simplepie", "cache/feeds"} {
		runUnprivileged(t, exec.Command("mkdir", "-p", filepath.Join(dir, writable)))
	}
	if err := os.WriteFile(app.root+"/config.php", []byte(app.config(dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(php, "-b", app.php, "-d", "log_errors=1", "-d", "error_log=/dev/stderr")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PHP_FCGI_CHILDREN=4", "PHP_FCGI_MAX_REQUESTS=0")
	cmd.SysProcAttr = unprivileged(t)
	p := startProgram(t, "PHP", syscall.SIGTERM, cmd)
	p.await("to serve", func() bool { return listens(app.php) })
	return app
}

func (app *ttrss) config(dir string) string {
	var b strings.Builder
	b.WriteString("<?php\n")
	for _, c := range []struct{ name, value string }{
		{"DB_TYPE", "'pgsql'"}, {"DB_HOST", "'127.0.0.1'"}, {"DB_PORT", "'" + port(app.db.address) + "'"},
		{"DB_USER", "'" + databaseName + "'"}, {"DB_NAME", "'" + databaseName + "'"}, {"DB_PASS", "''"}, {"MYSQL_CHARSET", "'UTF8'"},
		{"SELF_URL_PATH", "'http://' . $_SERVER['HTTP_HOST'] . '/'"},
		{"SINGLE_USER_MODE", "false"}, {"SIMPLE_UPDATE_MODE", "false"}, {"PHP_EXECUTABLE", "'/usr/bin/php'"},
		{"LOCK_DIRECTORY", "'" + dir + "/lock'"}, {"CACHE_DIR", "'" + dir + "/cache'"},
		{"ICONS_DIR", "'feed-icons'"}, {"ICONS_URL", "'feed-icons'"},
		{"AUTH_AUTO_CREATE", "true"}, {"AUTH_AUTO_LOGIN", "true"}, {"PLUGINS", "'auth_remote, note'"},
		{"FORCE_ARTICLE_PURGE", "0"}, {"ENABLE_REGISTRATION", "false"}, {"REG_NOTIFY_ADDRESS", "''"}, {"REG_MAX_USERS", "10"},
		{"SESSION_COOKIE_LIFETIME", "86400"}, {"SMTP_FROM_NAME", "''"}, {"SMTP_FROM_ADDRESS", "''"}, {"DIGEST_SUBJECT", "''"},
		{"CHECK_FOR_UPDATES", "false"}, {"ENABLE_GZIP_OUTPUT", "false"}, {"LOG_DESTINATION", "''"}, {"CONFIG_VERSION", "26"},
	} {
		fmt.Fprintf(&b, "define('%s', %s);\n", c.name, c.value)
	}
	return b.String()
}

// site is the app behind a gate at an address. CGI has a variable of its own for who somebody is, in which
// Caddy puts the account's id.
func (app *ttrss) site(address, gate string) string {
	return fmt.Sprintf(`http://%s {
	multi_session {
		header User-Name {http.auth.user.name}
		%s
	}
	root * %s
	php_fastcgi %s {
		env REMOTE_USER {http.request.header.Remote-User}
	}
	file_server
}
`, address, gate, app.root, app.php)
}

// copyTree copies a directory, but for the names at its top that are given. Links lead where they led.
func copyTree(t testing.TB, from, to string, except ...string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || slices.Contains(except, name) {
			return err
		}
		copied := filepath.Join(to, name)
		switch {
		case entry.IsDir():
			return os.Mkdir(copied, 0o755)
		case entry.Type()&os.ModeSymlink != 0:
			target, err := filepath.EvalSymlinks(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, copied)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(copied, data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	if attr := unprivileged(t); attr != nil {
		if err := os.Chown(to, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	ttrssToken    = regexp.MustCompile(`__csrf_token = "(\w*)"`)
	ttrssFullName = regexp.MustCompile(`name='full_name' required='1' value='([^']*)'`)
)

// ttrssPage is the app's page as somebody has it open.
type ttrssPage struct {
	b     *browser
	token string // the session's, against forged requests; empty where the app asks to sign in
}

func openTTRSS(b *browser) ttrssPage {
	b.t.Helper()
	answer := b.open("/")
	if answer.StatusCode != http.StatusOK {
		b.t.Fatalf("%s\n%s", answer.Status, answer.body)
	}
	if strings.Contains(answer.body, "Tiny Tiny RSS : Login") {
		return ttrssPage{b: b}
	}
	found := ttrssToken.FindStringSubmatch(answer.body)
	if found == nil {
		b.t.Fatalf("the page is\n%s", answer.body)
	}
	return ttrssPage{b, found[1]}
}

// call is what the page's script does.
func (p ttrssPage) call(op, method string, fields url.Values) string {
	p.b.t.Helper()
	form := url.Values{"op": {op}, "method": {method}, "csrf_token": {p.token}}
	for name, values := range fields {
		form[name] = values
	}
	request := p.b.request(http.MethodPost, "/backend.php", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Origin", p.b.base)
	request.Header.Set("Sec-Fetch-Mode", "cors")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	answer := p.b.must(request)
	if answer.StatusCode != http.StatusOK || strings.Contains(answer.body, `"error":{"code":6`) {
		p.b.t.Fatalf("%s %s: %s %s", op, method, answer.Status, answer.body)
	}
	return answer.body
}

// user is who the app says that it is talking with.
func (p ttrssPage) user() string {
	p.b.t.Helper()
	if p.token == "" {
		return "nobody"
	}
	preferences := p.call("pref-prefs", "index", nil)
	found := ttrssFullName.FindStringSubmatch(preferences)
	if found == nil {
		p.b.t.Fatalf("the preferences are\n%s", preferences)
	}
	first, _, _ := strings.Cut(found[1], " ")
	return strings.ToLower(first)
}

// labels are those of the account that the app takes the browser for.
func (p ttrssPage) labels() []string {
	p.b.t.Helper()
	var answer struct {
		Init struct {
			Labels []struct{ Caption string }
		} `json:"init-params"`
	}
	body := p.call("rpc", "sanityCheck", nil)
	if err := json.Unmarshal([]byte(body), &answer); err != nil || !strings.Contains(body, "init-params") {
		p.b.t.Fatalf("%v in %s", err, body)
	}
	captions := []string{}
	for _, label := range answer.Init.Labels {
		captions = append(captions, label.Caption)
	}
	return captions
}

func (p ttrssPage) addLabel(caption string) {
	p.b.t.Helper()
	p.call("pref-labels", "add", url.Values{"caption": {caption}})
}

// TestTTRSS is an app that nobody here wrote: without isolation it goes on serving alice when bob is the
// active account; with it every answer and every write is the active account's.
func TestTTRSS(t *testing.T) {
	app := startTTRSS(t)
	open, isolated := freeAddress(t), freeAddress(t)
	startGateway(t, fmt.Sprintf("{\nmulti_session {\nlogin password {\nthrottle off\n%s\n}\n}\n}\n", userOptions)+
		app.site(open, "isolate_cookies off")+app.site(isolated, "optional"))

	t.Run("without isolation", func(t *testing.T) {
		b := newBrowser(t, "http://"+open)
		b.signIn("alice")
		if got := openTTRSS(b).user(); got != "alice" {
			t.Fatalf("the app believes in %q", got)
		}
		b.signIn("bob")
		page := openTTRSS(b)
		if got := page.user(); got != "alice" || b.active() != "bob" {
			t.Errorf("as bob the app believes in %q: there is nothing to isolate", got)
		}
		page.addLabel("written-as-bob")
		if got := app.db.query("SELECT login FROM ttrss_labels2 JOIN ttrss_users u ON u.id = owner_uid WHERE caption = 'written-as-bob'"); !slices.Equal(got, []string{"alice"}) {
			t.Errorf("what bob wrote is of %q: there is nothing to isolate", got)
		}
		app.db.psql("-c", "DELETE FROM ttrss_labels2")
	})

	t.Run("with isolation", func(t *testing.T) {
		b := newBrowser(t, "http://"+isolated)
		written := map[string][]string{}
		sids := map[string]string{}
		check := func(user string) {
			t.Helper()
			page := openTTRSS(b)
			if got := page.user(); got != user {
				t.Fatalf("as %s the app believes in %s", user, got)
			}
			if user == "nobody" {
				return
			}
			sid := b.holds("ttrss_sid")
			if was, ok := sids[user]; sid == "" || ok && sid != was {
				t.Fatalf("as %s scripts read ttrss_sid %q, before %q", user, sid, was)
			}
			sids[user] = sid
			caption := fmt.Sprintf("%02d-of-%s", len(written[user]), user)
			page.addLabel(caption)
			written[user] = append(written[user], caption)
			if got := page.labels(); !slices.Equal(got, written[user]) {
				t.Fatalf("as %s the app has the labels %q, want %q", user, got, written[user])
			}
		}
		check("nobody")
		handles := map[string]string{}
		for _, user := range []string{"alice", "bob"} {
			handles[user] = b.signIn(user)
			check(user)
		}
		for range 8 {
			for _, user := range []string{"alice", "bob"} {
				b.switchTo(handles[user])
				check(user)
			}
		}
		if answer := b.post("/.auth/multi-session/revoke", map[string]any{"sessionToken": handles["bob"]}); answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status, answer.body)
		}
		check("alice")
		if answer := b.post("/.auth/sign-out", map[string]any{}); answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status, answer.body)
		}
		check("nobody")
		was := sids["bob"]
		delete(sids, "bob")
		b.signIn("bob")
		check("bob")
		if sids["bob"] == was {
			t.Error("a new session of the gateway has the app's old one")
		}
		for user, captions := range written {
			if got := app.db.query("SELECT caption FROM ttrss_labels2 JOIN ttrss_users u ON u.id = owner_uid WHERE login = '" + user + "' ORDER BY caption"); !slices.Equal(got, captions) {
				t.Errorf("of %s the database has the labels %q, want %q", user, got, captions)
			}
		}
	})
}
