package integration

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestChromiumAccountMenu has the example of an account menu, with the stock client in it, go through
// what such a menu is for.
func TestChromiumAccountMenu(t *testing.T) {
	nodePackages(t)
	// A menu hides most of the time what it has. That axe-core has not looked at it is no news: it looks
	// at the open menu too.
	checker := axe(t) + `
		axe.configure({rules: [{id: "hidden-content", tags: []}]});`
	startChromium(t)
	config, origin := accountMenu(t)
	startGateway(t, config)
	m := menu{newTab(t)}
	inspect := func(state string) {
		t.Helper()
		for _, scheme := range []string{"light", "dark"} {
			m.scheme(scheme)
			m.axe(state+", "+scheme, checker)
		}
		m.fits(320, 640)
		m.resize(1280, 800, 1)
	}

	m.open(origin + "/?page=2")
	m.await("heading", "Nobody is signed in")
	m.lacks("button", "Choose an account")
	inspect("signed out")
	m.follow("link", "Sign in")
	m.signIn(http.StatusOK, "alice", password("alice"))
	m.at(origin + "/?page=2")
	m.await("heading", "Hello, Alice Example")

	m.press("Alice Example")
	m.follow("link", "Manage account")
	m.at(origin + "/.auth/account")
	m.says("Alice Example")

	m.open(origin + "/?page=2")
	m.await("heading", "Hello, Alice Example")
	m.press("Alice Example")
	m.follow("link", "Add another account")
	m.signIn(http.StatusOK, "bob", password("bob"))
	m.at(origin + "/?page=2")
	m.await("heading", "Hello, Bob Example")
	// Nothing that follows leads to another page.
	const mark = "document.body.dataset.page"
	m.must(m.run(chromedp.Evaluate[chromedp.Void](mark + ` = "first"`)))

	m.press("Bob Example")
	m.await("button", "Switch to Alice Example alice@example.com")
	m.find("button", "Sign out Bob Example")
	m.find("button", "Sign out Alice Example")
	inspect("open menu")
	m.press("Switch to Alice Example alice@example.com")
	m.await("heading", "Hello, Alice Example")
	m.says("You are Alice Example now.")
	m.lacks("link", "Add another account") // the menu has closed
	m.focusedIs("button", "Alice Example")

	// By the keyboard alone, and without a choice the second time.
	m.keys(kb.Enter)
	m.await("button", "Switch to Bob Example bob@example.com")
	m.reach("button", "Switch to Bob Example bob@example.com")
	m.keys(kb.Enter)
	m.await("heading", "Hello, Bob Example")
	m.keys(" ")
	m.await("link", "Add another account")
	m.keys(kb.Tab, kb.Escape)
	m.focusedIs("button", "Bob Example")

	// One signed out that is not active, then the active one with another in its place.
	m.press("Bob Example")
	m.await("button", "Sign out Alice Example")
	m.press("Sign out Alice Example")
	m.awaitGone("button", "Sign out Alice Example")
	m.find("heading", "Hello, Bob Example")
	m.lacks("button", "Sign out of all accounts")
	m.follow("link", "Add another account")
	m.signIn(http.StatusOK, "carol", password("carol"))
	m.await("heading", "Hello, Carol Example")
	m.must(m.run(chromedp.Evaluate[chromedp.Void](mark + ` = "second"`)))
	m.press("Carol Example")
	m.await("button", "Sign out Carol Example")
	m.press("Sign out Carol Example")
	m.await("heading", "Hello, Bob Example")

	m.keys(kb.Escape)
	m.follow("link", "Fieldbook")
	m.await("heading", "Hello, Bob Example")
	m.press("Bob Example")
	m.follow("link", "Add another account")
	m.signIn(http.StatusOK, "alice", password("alice"))
	m.await("heading", "Hello, Alice Example")
	m.must(m.run(chromedp.Evaluate[chromedp.Void](mark + ` = "third"`)))

	// What happens in another tab shows here.
	elsewhere := m.another()
	for _, name := range []string{"Bob Example bob@example.com", "Alice Example alice@example.com"} {
		elsewhere.open(origin + "/.auth/accounts")
		elsewhere.follow("button", "Switch to "+name)
		m.await("heading", "Hello, "+strings.Join(strings.Fields(name)[:2], " "))
	}
	elsewhere.close()
	m.press("Alice Example")
	m.await("button", "Sign out of all accounts")
	m.press("Sign out of all accounts")
	m.await("heading", "Nobody is signed in")
	m.find("link", "Sign in")
	if page := evaluate[string](m.tab, mark); page != "third" {
		t.Errorf("signing out led to another page than the third: %q", page)
	}
	if cookies := m.lasting(); len(cookies) != 0 {
		t.Errorf("cookies after signing out: %v", cookies)
	}
}

// menu is a tab with the account menu, which changes the page without leading to another.
type menu struct{ *tab }

// press clicks on a button that does not lead to another page.
func (m menu) press(name string) {
	m.t.Helper()
	m.must(m.run(m.click(m.find("button", name))))
}

func (m menu) keys(keys ...string) {
	m.t.Helper()
	for _, key := range keys {
		m.must(m.run(press(key)))
	}
}

// reach presses Tab until an element has the focus.
func (m menu) reach(role, name string) {
	m.t.Helper()
	for range 20 {
		m.keys(kb.Tab)
		if e, _ := m.focused(); e.role == role && e.name == name {
			return
		}
	}
	m.t.Fatalf("Tab does not lead to the %s %q\n%s", role, name, m.outline())
}

// await returns when the page has an element.
func (m menu) await(role, name string) {
	m.t.Helper()
	await(m.t, role+" "+name, func() bool { _, ok := m.lookup(role, name); return ok })
}

// awaitGone returns when the page has an element no longer.
func (m menu) awaitGone(role, name string) {
	m.t.Helper()
	await(m.t, "the end of "+role+" "+name, func() bool { _, ok := m.lookup(role, name); return !ok })
}

// exampleMenu is the directory of the example.
const exampleMenu = "../examples/account-menu"

// accountMenu builds the example of an account menu, and returns its Caddyfile with a port of the
// test's own and where that serves it.
func accountMenu(t *testing.T) (caddyfile, origin string) {
	t.Helper()
	built := buildAccountMenu(t)
	content, err := os.ReadFile(filepath.Join(exampleMenu, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	_, caddyfile, ok := strings.Cut(string(content), "\n{\n")
	if !ok {
		t.Fatal("the Caddyfile has no global options")
	}
	origin = "http://localhost:" + port(freeAddress(t))
	for _, change := range []struct{ old, new string }{
		{"http://localhost:8080 {", origin + " {"},
		{"bind 127.0.0.1 ::1\n", "bind 127.0.0.1\n"},
		{"root dist\n", "root " + built + "\n"},
	} {
		if strings.Count(caddyfile, change.old) != 1 {
			t.Fatalf("the Caddyfile does not have %q once", change.old)
		}
		caddyfile = strings.Replace(caddyfile, change.old, change.new, 1)
	}
	return "{\n" + caddyfile, origin
}

// buildAccountMenu runs the example's own build, with the packages of the tests, into a directory of
// its own.
func buildAccountMenu(t *testing.T) (dir string) {
	t.Helper()
	example, ours := readPackage(t, exampleMenu), readPackage(t, ".")
	for name, version := range map[string]string{
		"better-auth": example.Dependencies["better-auth"],
		"esbuild":     example.DevDependencies["esbuild"],
	} {
		if version == "" || version != ours.DevDependencies[name] {
			t.Fatalf("the example has %s %q, the tests have %q", name, version, ours.DevDependencies[name])
		}
	}
	packages, err := filepath.Abs("node_modules")
	if err != nil {
		t.Fatal(err)
	}
	args := strings.Fields(example.Scripts["build"])
	out := slices.Index(args, "--outdir=dist")
	if len(args) == 0 || args[0] != "esbuild" || out < 0 {
		t.Fatalf("the example is built by %q", args)
	}
	dir = t.TempDir()
	args[out] = "--outdir=" + dir
	build := exec.Command(filepath.Join(packages, ".bin", "esbuild"), args[1:]...)
	build.Dir = exampleMenu
	build.Env = append(os.Environ(), "NODE_PATH="+packages)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, output)
	}
	return dir
}

// npmPackage is what of a package.json there is to look at.
type npmPackage struct {
	Scripts, Dependencies, DevDependencies map[string]string
}

func readPackage(t *testing.T, dir string) (p npmPackage) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLockFiles: a lock file names no registry, so that everybody installs from their own.
func TestLockFiles(t *testing.T) {
	for _, dir := range []string{".", exampleMenu} {
		content, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
		if err != nil {
			t.Fatal(err)
		}
		var lock struct {
			Packages map[string]struct{ Resolved, Integrity string }
		}
		if err := json.Unmarshal(content, &lock); err != nil {
			t.Fatal(err)
		}
		for name, p := range lock.Packages {
			if p.Resolved != "" || name != "" && p.Integrity == "" {
				t.Errorf("%s: %s: resolved %q, integrity %q", dir, name, p.Resolved, p.Integrity)
			}
		}
	}
}
