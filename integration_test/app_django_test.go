package integration

import (
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

// systemPython is Debian's, which has the modules of Debian's packages.
const systemPython = "/usr/bin/python3"

// needPython skips the test where a module of Debian's is not installed.
func needPython(t testing.TB, module, name string) {
	t.Helper()
	if found, err := filepath.Glob("/usr/lib/python3/dist-packages/" + module); err != nil || len(found) == 0 {
		missing(t, name)
	}
}

// django is Debian's Django with its admin, in the project of testdata.
type django struct {
	t        testing.TB
	address  string
	database string
	env      []string
}

// startDjango runs the project with a middleware of its remote.py.
func startDjango(t testing.TB, middleware string) *django {
	t.Helper()
	needPython(t, "django/contrib/admin/__init__.py", "Django")
	app := &django{t: t, address: freeAddress(t), database: filepath.Join(t.TempDir(), "db.sqlite3")}
	app.env = append(os.Environ(),
		"DATABASE="+app.database, "REMOTE_USER_MIDDLEWARE=remote."+middleware,
		"DJANGO_SETTINGS_MODULE=settings", "PYTHONPATH=.", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1",
	)
	if output, err := app.python("-m", "django", "migrate", "--verbosity=0").CombinedOutput(); err != nil {
		t.Fatalf("make the database: %v\n%s", err, output)
	}
	p := startProgram(t, "Django", syscall.SIGTERM, app.python("-m", "django", "runserver", "--noreload", app.address))
	p.await("to serve", func() bool { return listens(app.address) })
	return app
}

func (app *django) python(args ...string) *exec.Cmd {
	cmd := exec.Command(systemPython, args...)
	cmd.Dir = "testdata/django"
	cmd.Env = app.env
	return cmd
}

// written are the names of the groups that somebody has made, by the log of the admin.
func (app *django) written(user string) []string {
	app.t.Helper()
	const script = `import sqlite3, sys
query = "SELECT object_repr FROM django_admin_log l JOIN auth_user u ON u.id = l.user_id WHERE u.username = ? ORDER BY l.id"
for row in sqlite3.connect(sys.argv[1]).execute(query, sys.argv[2:]):
    print(row[0])`
	output, err := app.python("-c", script, app.database, user).CombinedOutput()
	if err != nil {
		app.t.Fatalf("%v\n%s", err, output)
	}
	return strings.Fields(string(output))
}

const addGroup = "/admin/auth/group/add/"

var (
	djangoUser   = regexp.MustCompile(`<div id="user-tools">\s*Welcome,\s*<strong>(\w+)</strong>`)
	djangoToken  = regexp.MustCompile(`name="csrfmiddlewaretoken" value="(\w+)"`)
	djangoRecent = regexp.MustCompile(`<li class="addlink">\s*<a href="[^"]*">([^<]*)</a>`)
)

// djangoPage is a page of the admin as somebody has it open.
type djangoPage struct {
	b    *browser
	user string // who it says that they are
	body string
}

func openDjango(b *browser, path string) djangoPage {
	b.t.Helper()
	answer := b.open(path)
	found := djangoUser.FindStringSubmatch(answer.body)
	if answer.StatusCode != http.StatusOK || found == nil {
		b.t.Fatalf("%s: %s\n%s", path, answer.Status, answer.body)
	}
	return djangoPage{b, found[1], answer.body}
}

// save submits the page's form, which makes a group.
func (p djangoPage) save(group string) reply {
	p.b.t.Helper()
	found := djangoToken.FindStringSubmatch(p.body)
	if found == nil {
		p.b.t.Fatalf("no form in\n%s", p.body)
	}
	return p.b.submit(addGroup, url.Values{"csrfmiddlewaretoken": {found[1]}, "name": {group}, "_save": {"Save"}})
}

// saveByScript does it as a script does, which reads the token from its cookie.
func (p djangoPage) saveByScript(group string) reply {
	p.b.t.Helper()
	request := p.b.request(http.MethodPost, addGroup, strings.NewReader(url.Values{"name": {group}, "_save": {"Save"}}.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("X-CSRFToken", p.b.holds("csrftoken"))
	request.Header.Set("Origin", p.b.base)
	request.Header.Set("Sec-Fetch-Mode", "cors")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	return p.b.must(request)
}

// saved reports whether the app has taken a form.
func (r reply) saved() bool {
	return r.StatusCode == http.StatusFound && r.Header.Get("Location") == "/admin/auth/group/"
}

// TestDjangoBelievesItsSession is an app that asks who somebody is once. Without isolation bob acts as alice.
func TestDjangoBelievesItsSession(t *testing.T) {
	app := startDjango(t, "Once")
	open, isolated := freeAddress(t), freeAddress(t)
	startGateway(t, site(isolated, app.address, "", "multi_session")+
		fmt.Sprintf("http://%s {\nmulti_session {\nisolate_cookies off\n}\nreverse_proxy %s\n}\n", open, app.address))

	b := newBrowser(t, "http://"+open)
	b.signIn("alice")
	openDjango(b, "/admin/")
	b.signIn("bob")
	if page := openDjango(b, addGroup); page.user != "alice" || !page.save("by-bob").saved() {
		t.Errorf("as bob the app believes in %q: there is nothing to isolate", page.user)
	}
	if got := app.written("alice"); !slices.Equal(got, []string{"by-bob"}) {
		t.Errorf("alice has written %q: there is nothing to isolate", got)
	}

	djangoStory(t, app, newBrowser(t, "http://"+isolated))
}

// TestDjangoFormsStillPost is an app that notices a switch by itself, and begins another session. Without isolation
// the token against forged requests stays, so that a form that alice had open is posted as bob, or (by Django's
// version) is exchanged, so that it cannot be posted as alice any more. With isolation each has their own.
func TestDjangoFormsStillPost(t *testing.T) {
	app := startDjango(t, "EachTime")
	open, isolated := freeAddress(t), freeAddress(t)
	startGateway(t, site(isolated, app.address, "", "multi_session")+
		fmt.Sprintf("http://%s {\nmulti_session {\nisolate_cookies off\n}\nreverse_proxy %s\n}\n", open, app.address))
	formOfAlice := func(address, group string) (asBob, asAlice reply) {
		t.Helper()
		b := newBrowser(t, "http://"+address)
		alice := b.signIn("alice")
		page := openDjango(b, addGroup)
		b.signIn("bob")
		if other := openDjango(b, addGroup); other.user != "bob" {
			t.Fatalf("as bob the app believes in %q", other.user)
		}
		asBob = page.save("bobs-" + group)
		b.switchTo(alice)
		if again := openDjango(b, "/admin/"); again.user != "alice" {
			t.Fatalf("as alice the app believes in %q", again.user)
		}
		return asBob, page.save("alices-" + group)
	}
	if asBob, asAlice := formOfAlice(open, "shared"); !asBob.saved() && asAlice.saved() {
		t.Error("without isolation a form of alice's posts as alice alone: there is nothing to isolate")
	}
	asBob, asAlice := formOfAlice(isolated, "isolated")
	if asBob.StatusCode != http.StatusForbidden {
		t.Errorf("as bob a form of alice's is answered %s", asBob.Status)
	}
	if !asAlice.saved() {
		t.Errorf("as alice it is answered %s\n%s", asAlice.Status, asAlice.body)
	}
	djangoStory(t, app, newBrowser(t, "http://"+isolated))
}

// djangoStory switches accounts many times, and on every answer the app believes in the active one.
func djangoStory(t *testing.T, app *django, b *browser) {
	t.Helper()
	written := map[string][]string{"alice": app.written("alice"), "bob": app.written("bob")}
	check := func(user string) {
		t.Helper()
		page := openDjango(b, addGroup)
		if page.user != user {
			t.Fatalf("as %s the app believes in %q", user, page.user)
		}
		group := fmt.Sprintf("%02d-of-%s", len(written[user]), user)
		save := page.save
		if len(written[user])%2 == 1 {
			save = page.saveByScript
		}
		if answer := save(group); !answer.saved() {
			t.Fatalf("as %s a form is answered %s\n%s", user, answer.Status, answer.body)
		}
		written[user] = append(written[user], group)
		index := openDjango(b, "/admin/")
		var recent []string
		for _, found := range djangoRecent.FindAllStringSubmatch(index.body, -1) {
			recent = append(recent, found[1])
		}
		slices.Reverse(recent)
		last := written[user][max(len(written[user])-10, 0):]
		if index.user != user || !slices.Equal(recent, last) {
			t.Fatalf("as %s the app believes in %q, whose recent actions are %q; want %q", user, index.user, recent, last)
		}
	}
	handles := map[string]string{}
	for _, user := range []string{"alice", "bob"} {
		handles[user] = b.signIn(user)
		check(user)
	}
	for range 5 {
		for _, user := range []string{"alice", "bob"} {
			b.switchTo(handles[user])
			check(user)
		}
	}
	if answer := b.post("/.auth/sign-out", map[string]any{}); answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status, answer.body)
	}
	if answer := b.get("/admin/"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the sign-out: %s", answer.Status)
	}
	b.signIn("bob")
	check("bob")
	for user, groups := range written {
		if got := app.written(user); !slices.Equal(got, groups) {
			t.Errorf("%s has written %q, want %q", user, got, groups)
		}
	}
}
