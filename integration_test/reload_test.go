package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// variant is one of many configurations that differ in all that an administrator may change while
// people are signed in.
type variant struct {
	number       int
	path         string
	require      string // group; empty for none
	optional     bool
	preset       string
	groups, name string // alice's
	options, log string
	throttle     string
}

func variantOf(number int) variant {
	random := rand.New(rand.NewPCG(7, uint64(number)))
	pick := func(choices ...string) string { return choices[random.IntN(len(choices))] }
	v := variant{
		number: number,
		path:   pick("/.auth", "/.auth", "/.auth", "/account"),
		preset: pick("remote", "forwarded", "webauth"),
		groups: pick("admin dev", "admin", "dev", "staff"),
		name:   pick("Alice Example", "Alice E.", "A. Example"),
		log:    pick("log", ""),
		options: strings.Join([]string{
			"max_sessions " + pick("1", "2", "5 reject", "7 evict"),
			"lifetime " + pick("1h", "12h", "30d"),
			"idle_timeout " + pick("1h", "7d", "off"),
			pick("", "trusted_origins https://spa.example.com"),
			pick("", "insecure_http"),
		}, "\n\t\t"),
		throttle: pick("throttle off", "throttle 100000 15m", "throttle 200000 1h"),
	}
	switch random.IntN(3) {
	case 0:
		v.require = "dev"
	case 1:
		v.optional = true
	}
	return v
}

func (v variant) caddyfile(address, upstream, database string) string {
	users := strings.Replace(userOptions, `name "Alice Example"`, `name "`+v.name+`"`, 1)
	users = strings.Replace(users, "groups admin dev", "groups "+v.groups, 1)
	var gate []string
	if v.require != "" {
		gate = append(gate, "require group "+v.require)
	}
	if v.optional {
		gate = append(gate, "optional")
	}
	gate = append(gate, "identity_headers "+v.preset, fmt.Sprintf("header X-Variant %d", v.number))
	return fmt.Sprintf(`{
	log {
		format json
		level DEBUG
	}
	multi_session {
		path %s
		%s
		%s
		login password {
			%s
			%s
		}
	}
}
http://%s {
	%s
	multi_session {
		%s
	}
	reverse_proxy %s
}
`, v.path, storeAt(database), v.options, v.throttle, users, address, v.log, strings.Join(gate, "\n\t\t"), upstream)
}

// groupsOf returns the groups of a user.
func (v variant) groupsOf(user string) []string {
	switch user {
	case "alice":
		return strings.Fields(v.groups)
	case "bob":
		return []string{"dev"}
	}
	return nil
}

// upstreamSaw reports whether this configuration answers a request that is not for the portal in
// this way; user is who is signed in, or "".
func (v variant) upstreamSaw(answer reply, user string) error {
	if user == "" && !v.optional {
		return want(answer, http.StatusUnauthorized)
	}
	if user != "" && v.require != "" && !slices.Contains(v.groupsOf(user), v.require) {
		return want(answer, http.StatusForbidden)
	}
	if err := want(answer, http.StatusOK); err != nil {
		return err
	}
	var s seen
	if err := json.Unmarshal([]byte(answer.body), &s); err != nil || s.URI == "" {
		return fmt.Errorf("not the upstream's answer: %s", answer.body)
	}
	expect := map[string]string{"X-Variant": "", "Remote-User": "", "X-Forwarded-User": "", "X-Webauth-User": "",
		"Remote-Groups": "", "X-Forwarded-Groups": "", "X-Webauth-Groups": "", "Cookie": ""}
	if user != "" {
		prefix := map[string]string{"remote": "Remote", "forwarded": "X-Forwarded", "webauth": "X-Webauth"}[v.preset]
		expect[prefix+"-User"] = user
		expect[prefix+"-Groups"] = strings.Join(v.groupsOf(user), ",")
		expect["X-Variant"] = fmt.Sprint(v.number)
	}
	for name, value := range expect {
		if got := strings.Join(s.Header.Values(name), "|"); got != value {
			return fmt.Errorf("the upstream saw %s: %q, want %q", name, got, value)
		}
	}
	return nil
}

func want(answer reply, status int) error {
	if answer.StatusCode != status {
		return fmt.Errorf("%s, want %d: %s", answer.Status, status, answer.body)
	}
	return nil
}

// inForce is which configurations may answer: those from the one that the last reload but one put
// in force, whose last connections may still be open, to the one that is being loaded.
type inForce struct{ begun, done atomic.Int64 }

// visitor sends requests while configurations change, and holds every answer against those that
// were in force while it was under way.
type visitor struct {
	*browser
	forces        *inForce
	requests, cut *atomic.Int64
	handles       map[string]string // by user name
	active        string
}

// expect sends a request, with identity headers that are not the client's to set.
func (v *visitor) expect(request *http.Request, check func(variant, reply) error) (reply, error) {
	request.Header.Set("Remote-User", "mallory")
	request.Header.Set("X-Variant", "mallory")
	first := max(0, v.forces.done.Load()-1)
	answer, err := v.send(request)
	if err != nil {
		return reply{}, err
	}
	v.requests.Add(1)
	last := v.forces.begun.Load()
	var all error
	for number := first; number <= last; number++ {
		err := check(variantOf(int(number)), answer)
		if err == nil {
			return answer, nil
		}
		all = errors.Join(all, fmt.Errorf("configuration %d: %w", number, err))
	}
	return reply{}, fmt.Errorf("%s %s as %q: no configuration in force answers so: %w", request.Method, request.URL.Path, v.active, all)
}

// send repeats a request whose connection was cut before it was answered. With any configuration of
// Caddy's a reload cuts new connections: Linux resets those that the old listener has not accepted
// when it is closed, and net/http drops those whose first request comes after the shutdown began.
// Neither has begun to serve the request, so to repeat it is what browsers do.
func (v *visitor) send(request *http.Request) (reply, error) {
	for cuts := 0; ; cuts++ {
		again := request.Clone(request.Context()) // the client adds the cookies to what it sends
		if request.GetBody != nil {
			again.Body, _ = request.GetBody()
		}
		answer, err := v.do(again)
		if err == nil || cuts == 5 {
			return answer, err
		}
		v.cut.Add(1)
	}
}

// portal is what a configuration answers at a path of the portal, as it is at "/.auth".
func (v *visitor) portal(check func(reply) error) func(variant, reply) error {
	return func(c variant, answer reply) error {
		if c.path != "/.auth" {
			return c.upstreamSaw(answer, v.active)
		}
		return check(answer)
	}
}

// round sends one request of each kind.
func (v *visitor) round() error {
	page := v.request(http.MethodGet, "/page", nil)
	if _, err := v.expect(page, func(c variant, answer reply) error { return c.upstreamSaw(answer, v.active) }); err != nil {
		return err
	}
	navigation := v.request(http.MethodGet, "/page", nil)
	navigation.Header.Set("Sec-Fetch-Mode", "navigate")
	navigation.Header.Set("Accept", "text/html")
	if _, err := v.expect(navigation, func(c variant, answer reply) error {
		if v.active != "" || c.optional {
			return c.upstreamSaw(answer, v.active)
		}
		if got := answer.Header.Get("Location"); got != c.path+"/sign-in?return_to=%2Fpage" {
			return fmt.Errorf("sent to %q", got)
		}
		return want(answer, http.StatusSeeOther)
	}); err != nil {
		return err
	}
	if _, err := v.expect(v.request(http.MethodGet, getActivePath, nil), v.portal(v.isActive)); err != nil {
		return err
	}
	switch v.active {
	case "":
		return v.signInAsCarol()
	case "carol":
		return v.signOut()
	}
	next := "alice"
	if v.active == next {
		next = "bob"
	}
	answer, err := v.expect(v.jsonRequest(switchPath, map[string]any{"sessionToken": v.handles[next]}), v.portal(func(answer reply) error {
		return want(answer, http.StatusOK)
	}))
	if err == nil && answer.StatusCode == http.StatusOK && !strings.Contains(answer.body, `"URI":`) {
		v.active = next
	}
	return err
}

func (v *visitor) isActive(answer reply) error {
	var e *entry
	if err := json.Unmarshal([]byte(answer.body), &e); err != nil {
		return err
	}
	switch {
	case e == nil && v.active == "":
		return nil
	case e == nil:
		return errors.New("signed out")
	case e.User.ID != "password:"+v.active || e.Session.Token != v.handles[v.active]:
		return fmt.Errorf("is %s with %s", e.User.ID, e.Session.Token)
	}
	return nil
}

func (v *visitor) signInAsCarol() error {
	for _, c := range []struct {
		password string
		status   int
	}{{"wrong", http.StatusUnauthorized}, {password("carol"), http.StatusOK}} {
		request := v.jsonRequest(signInPath, map[string]any{"username": "carol", "password": c.password})
		answer, err := v.expect(request, v.portal(func(answer reply) error { return want(answer, c.status) }))
		if err != nil {
			return err
		}
		if v.cookieOf() == "" {
			continue
		}
		var signedIn struct{ Token string }
		if err := json.Unmarshal([]byte(answer.body), &signedIn); err != nil {
			return err
		}
		v.active, v.handles = "carol", map[string]string{"carol": signedIn.Token}
	}
	return nil
}

func (v *visitor) signOut() error {
	_, err := v.expect(v.jsonRequest(signOutPath, map[string]any{}), v.portal(func(answer reply) error {
		return want(answer, http.StatusOK)
	}))
	if v.cookieOf() == "" {
		v.active = ""
	}
	return err
}

// TestHundredReloadsUnderLoad changes all kinds of options again and again, while requests are made.
// None of them fails, and nobody is signed out.
func TestHundredReloadsUnderLoad(t *testing.T) {
	reloads := 100
	if testing.Short() {
		reloads = 15
	}
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	database := filepath.Join(g.dir, "sessions.db")
	caddyfile := func(number int) string { return variantOf(number).caddyfile(address, up.address(), database) }
	first := 0
	for variantOf(first).path != "/.auth" { // where the sign-ins below expect it
		first++
	}
	g.start(caddyfile(first))

	var forces inForce
	var requests, cut atomic.Int64
	forces.begun.Store(int64(first))
	forces.done.Store(int64(first))
	visitors := make([]*visitor, 6)
	for i := range visitors {
		v := &visitor{browser: newBrowser(t, "http://"+address), forces: &forces, requests: &requests, cut: &cut}
		visitors[i] = v
		if i%3 == 2 {
			continue // one who is signed out
		}
		v.handles = map[string]string{"alice": v.signIn("alice"), "bob": v.signIn("bob")}
		v.active = "bob"
	}
	for _, v := range visitors {
		v.browser.portal = "" // from now on it is now here and now there
	}

	over := make(chan struct{})
	var wg sync.WaitGroup
	for i, v := range visitors {
		wg.Go(func() {
			for {
				if err := v.round(); err != nil {
					t.Errorf("visitor %d: %v", i, err)
					return
				}
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	for number := first + 1; number <= first+reloads && !t.Failed(); number++ {
		forces.begun.Store(int64(number))
		if err := g.reload(caddyfile(number)); err != nil {
			t.Errorf("reload %d: %v", number, err)
			break
		}
		forces.done.Store(int64(number))
		// Everybody meets every configuration.
		meet := requests.Load() + 2*int64(len(visitors))
		await(t, "requests", func() bool { return requests.Load() >= meet || t.Failed() })
	}
	close(over)
	wg.Wait()

	// The last configuration's portal may be elsewhere.
	if err := g.reload(caddyfile(first)); err != nil {
		t.Fatal(err)
	}
	for i, v := range visitors {
		if v.handles["alice"] == "" {
			continue
		}
		v.browser.portal = defaultPrefix
		if got := v.accounts(); !slices.Equal(got, []string{"alice", "bob"}) {
			t.Errorf("visitor %d has the accounts %v after the reloads", i, got)
		}
		if got := v.active; got != v.browser.active() {
			t.Errorf("visitor %d is %s, and is taken for %s", i, got, v.browser.active())
		}
	}
	noErrors(t, g)
	g.stop()
	checkDatabase(t, database)
	t.Logf("%d reloads, %d requests, %d connections cut", reloads, requests.Load(), cut.Load())
}

// noErrors fails the test if the gateway has logged an error or a panic.
func noErrors(t *testing.T, g *gateway) {
	t.Helper()
	for line := range strings.Lines(g.log.String()) {
		if strings.Contains(line, `"level":"error"`) || strings.Contains(line, "panic") || strings.Contains(line, "locked by") {
			t.Errorf("logged: %s", line)
		}
	}
}

// withoutUser takes a user out of userOptions, as they are in a Caddyfile.
func withoutUser(t *testing.T, caddyfile, user string) string {
	t.Helper()
	start := strings.Index(caddyfile, "\tuser "+user+" ")
	if start < 0 {
		t.Fatalf("no user %s", user)
	}
	end := start + strings.Index(caddyfile[start:], "\n\t}\n") + len("\n\t}\n")
	return caddyfile[:start] + caddyfile[end:]
}

// TestRefusedReload loads configurations that are refused at every stage there is. The old one goes
// on serving, its database stays open, nobody is signed out, and a good one can be loaded next.
func TestRefusedReload(t *testing.T) {
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	database := filepath.Join(g.dir, "sessions.db")
	good := site(address, up.address(), storeAt(database), "multi_session")
	g.start(good)

	other := newGateway(t)
	locked := filepath.Join(other.dir, "sessions.db")
	other.start(site(freeAddress(t), up.address(), storeAt(locked), "multi_session"))
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(damaged, []byte(strings.Repeat("not a database ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	onTakenPort := fmt.Sprintf("http://%s {\n\tmulti_session\n\treverse_proxy %s\n}\n", taken.Addr(), up.address())

	replace := func(old, next string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in the Caddyfile", old)
		}
		return strings.Replace(good, old, next, 1)
	}
	cases := []struct{ name, caddyfile, says string }{
		{"unknown option", replace("login password", "no_such_option\n\t\tlogin password"), "no_such_option"},
		{"invalid hash", replace("$2a$04$Hm4", "$2a$04$!!!"), "bob"},
		{"placeholder without a value", replace(`"$2a$04$Hm4qcm8RLzDD2ni.5o1DC.bP0q8EFF3D1OkVpsrHI1iLVJFKP3UTS"`, `{env.NO_SUCH_VARIABLE}`), "bob"},
		{"option out of bounds", replace("login password", "max_sessions 51\n\t\tlogin password"), "max_sessions 51"},
		{"cookie domain that browsers refuse", replace("login password", "cookie_domain com\n\t\tlogin password"), "cookie_domain"},
		{"handler's rules contradict", replace("multi_session\n\treverse_proxy", "multi_session {\n\t\toptional\n\t\trequire group dev\n\t}\n\treverse_proxy"), "optional"},
		{"unknown preset", replace("multi_session\n\treverse_proxy", "multi_session {\n\t\tidentity_headers nobody\n\t}\n\treverse_proxy"), "nobody"},
		{"port that is taken", good + onTakenPort, "address already in use"},
		{"port that is taken, and bob left out", withoutUser(t, good, "bob") + onTakenPort, "address already in use"},
		{"port that is taken, and another database", strings.Replace(good, database, database+".next", 1) + onTakenPort, "address already in use"},
		{"database is a directory", replace(database, directory), directory},
		{"database is locked", replace(database, locked), locked},
		{"database is damaged", replace(database, damaged), damaged},
		{"database cannot be created", replace(database, "/proc/no/sessions.db"), "/proc/no/sessions.db"},
	}

	b := newBrowser(t, "http://"+address)
	alice, bob := b.signIn("alice"), b.signIn("bob")
	serves := func(t *testing.T) {
		t.Helper()
		if got := b.accounts(); !slices.Equal(got, []string{"alice", "bob"}) {
			t.Fatalf("accounts: %v", got)
		}
		for user, handle := range map[string]string{"alice": alice, "bob": bob} {
			if answer := b.post(switchPath, map[string]any{"sessionToken": handle}); answer.StatusCode != http.StatusOK {
				t.Fatalf("switch to %s: %s: %s", user, answer.Status, answer.body)
			}
			if got := b.get("/").seen(t).Header.Get("Remote-User"); got != user {
				t.Fatalf("the upstream saw %q, want %q", got, user)
			}
		}
		stranger := newBrowser(t, "http://"+address)
		stranger.signIn("carol")
		if answer := stranger.post(signOutPath, map[string]any{}); answer.StatusCode != http.StatusOK || stranger.active() != "" {
			t.Fatalf("sign out: %s: %s", answer.Status, answer.body)
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			// Caddy starts its apps in no particular order: often enough, this one is started before
			// another fails, and must not have signed anybody out by then.
			tries := 3
			if strings.HasPrefix(c.name, "port") {
				tries = 20
			}
			for range tries {
				err := g.reload(c.caddyfile)
				if err == nil {
					t.Fatal("was loaded")
				}
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("the error does not say %q: %v", c.says, err)
				}
				serves(t)
			}
			if err := g.reload(strings.Replace(good, "Bob Example", "Bob after "+c.name, 1)); err != nil {
				t.Fatalf("a good configuration: %v", err)
			}
			serves(t)
			var entries []entry
			b.get(listPath).json(t, &entries)
			if len(entries) != 2 || entries[1].User.Name != "Bob after "+c.name {
				t.Errorf("the good configuration is not in force: %v", entries)
			}
		})
	}
	if content, err := os.ReadFile(damaged); err != nil || !strings.HasPrefix(string(content), "not a database") {
		t.Errorf("the damaged file was changed: %.30q, %v", content, err)
	}
	// What the refused ones took they gave back: nothing holds the other process's file.
	other.stop()
	checkDatabase(t, locked)
	g.stop()
	checkDatabase(t, database)
}

// released awaits that no process holds a database file.
func released(t *testing.T, path string) {
	t.Helper()
	bbolt, err := bboltCommand()
	if err != nil {
		t.Fatal(err)
	}
	// bbolt waits for as long as the file is locked.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		out, err := exec.CommandContext(ctx, bbolt, "check", path).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		ended <- err
	}()
	await(t, path+" to be released", func() bool {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			return true
		default:
			return false
		}
	})
}

// TestReloadToAnotherDatabase: what is signed in is a matter of the database, and comes back with it.
func TestReloadToAnotherDatabase(t *testing.T) {
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	first, second := filepath.Join(g.dir, "first.db"), filepath.Join(g.dir, "second.db")
	on := func(database string) string {
		return site(address, up.address(), storeAt(database), "multi_session")
	}
	g.start(on(first))
	a, b := newBrowser(t, "http://"+address), newBrowser(t, "http://"+address)
	a.signIn("alice")
	a.signIn("bob")
	reload := func(caddyfile string) {
		t.Helper()
		if err := g.reload(caddyfile); err != nil {
			t.Fatal(err)
		}
	}
	is := func(b *browser, want ...string) {
		t.Helper()
		if got := b.accounts(); !slices.Equal(got, want) {
			t.Fatalf("accounts: %v, want %v", got, want)
		}
	}
	for range 3 {
		reload(on(second))
		released(t, first)
		is(a)
		if answer := a.get("/"); answer.StatusCode != http.StatusUnauthorized {
			t.Fatalf("the cookie of one database in another: %s", answer.Status)
		}
		b.signIn("carol")
		is(b, "carol")

		reload(on(first))
		released(t, second)
		is(a, "alice", "bob")
		is(b)
		a.signIn("bob")
	}
	// The same file by another name is the same database.
	link := filepath.Join(g.dir, "link.db")
	if err := os.Symlink(first, link); err != nil {
		t.Fatal(err)
	}
	reload(on(link))
	is(a, "alice", "bob")
	reload(on(filepath.Join(g.dir, ".", "data", "..", "first.db")))
	is(a, "alice", "bob")
	noErrors(t, g)
}

// TestAppRemovedByReload takes the gateway out of the configuration and puts it in again.
func TestAppRemovedByReload(t *testing.T) {
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	database := filepath.Join(g.dir, "sessions.db")
	with := site(address, up.address(), storeAt(database), "multi_session")
	without := fmt.Sprintf("{\n}\nhttp://%s {\n\treverse_proxy %s\n}\n", address, up.address())
	g.start(with)
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	for range 3 {
		if err := g.reload(without); err != nil {
			t.Fatal(err)
		}
		released(t, database)
		b.portal = ""
		if got := b.get(getActivePath).seen(t).URI; got != getActivePath {
			t.Fatalf("without the gateway the upstream saw %q", got)
		}
		b.portal = defaultPrefix
		if err := g.reload(with); err != nil {
			t.Fatal(err)
		}
		if got := b.active(); got != "alice" {
			t.Fatalf("after the gateway came back: %q", got)
		}
		b.signIn("bob")
		b.signIn("alice")
	}
	noErrors(t, g)
}

// TestUserRemovedByReload: who is taken out of the Caddyfile is signed out of every browser, and
// stays so when an account of the same name is put in again, however soon.
func TestUserRemovedByReload(t *testing.T) {
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	database := filepath.Join(g.dir, "sessions.db")
	with := site(address, up.address(), storeAt(database), "multi_session")
	without := withoutUser(t, with, "bob")
	g.start(with)

	type victim struct {
		*browser
		bob   string // the handle of the session that ends
		alone bool
	}
	victims := make([]*victim, 40)
	for i := range victims {
		victims[i] = &victim{browser: newBrowser(t, "http://"+address), alone: i%2 == 1}
	}
	signIn := func() {
		t.Helper()
		for _, v := range victims {
			if !v.alone && v.cookieOf() == "" {
				v.signIn("alice")
			}
			v.bob = v.signIn("bob")
		}
	}
	// dead holds for every browser from one instant to the next.
	dead := func(when string) {
		t.Helper()
		for i, v := range victims {
			rest, page := []string{"alice"}, "/.auth/accounts"
			if v.alone {
				rest, page = []string{}, "/.auth/sign-in"
			}
			if got := v.accounts(); !slices.Equal(got, rest) {
				t.Fatalf("%s: browser %d has %v", when, i, got)
			}
			if got := v.active(); got != "" {
				t.Fatalf("%s: browser %d became %q", when, i, got)
			}
			if answer := v.get("/"); answer.StatusCode != http.StatusUnauthorized {
				t.Fatalf("%s: API: %s: %s", when, answer.Status, answer.body)
			}
			answer := v.open("/page")
			if got, want := answer.Header.Get("Location"), page+"?return_to="+url.QueryEscape("/page"); got != want {
				t.Fatalf("%s: navigation: %s to %q, want %q", when, answer.Status, got, want)
			}
			if answer := v.post(switchPath, map[string]any{"sessionToken": v.bob}); answer.code() != "INVALID_SESSION_TOKEN" {
				t.Fatalf("%s: the old handle: %s: %s", when, answer.Status, answer.body)
			}
		}
	}
	reload := func(caddyfile string) {
		t.Helper()
		if err := g.reload(caddyfile); err != nil {
			t.Fatal(err)
		}
	}

	signIn()
	reload(without)
	dead("taken out")
	reload(with)
	dead("put in again")

	for range 3 {
		signIn()
		reload(without)
		reload(with)
		dead("put in again at once")
	}

	signIn()
	g.stop()
	g.start(without)
	reload(with)
	dead("taken out while down, and put in again")

	signIn()
	g.stop()
	g.start(without)
	g.stop()
	g.start(with)
	dead("taken out while down, and put in again while down")
	signIn()
	for i, v := range victims {
		if got := v.active(); got != "bob" {
			t.Fatalf("browser %d signed in anew and is %q", i, got)
		}
	}
}

// TestUserChangedByReload: what the Caddyfile says of a user holds at the next request.
func TestUserChangedByReload(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	config := site(address, up.address(), "", "@admin path /admin*\n\tmulti_session @admin {\n\t\trequire group admin\n\t}\n\tmulti_session")
	g := startGateway(t, config)
	b := newBrowser(t, "http://"+address)
	handle := b.signIn("alice")
	sees := func(email, name, groups string, admin int) {
		t.Helper()
		h := b.get("/").seen(t).Header
		if h.Get("Remote-User") != "alice" || h.Get("Remote-Email") != email || h.Get("Remote-Name") != name || h.Get("Remote-Groups") != groups {
			t.Fatalf("the upstream saw %v, want %s, %s, %s", h, email, name, groups)
		}
		if answer := b.get("/admin"); answer.StatusCode != admin {
			t.Fatalf("/admin: %s: %s", answer.Status, answer.body)
		}
		var e entry
		b.get(getActivePath).json(t, &e)
		if e.Session.Token != handle || e.User.Email != email || e.User.Name != name {
			t.Fatalf("the API says %+v", e)
		}
	}
	sees("alice@example.com", "Alice Example", "admin,dev", http.StatusOK)
	changed := strings.NewReplacer("alice@example.com", "a@example.org", "Alice Example", "Alice Married", "groups admin dev", "groups staff").Replace(config)
	if err := g.reload(changed); err != nil {
		t.Fatal(err)
	}
	sees("a@example.org", "Alice Married", "staff", http.StatusForbidden)
	if refusals := g.audit("refuse"); len(refusals) != 1 || refusals[0]["handle"] != handle {
		t.Errorf("refusals on record: %v", refusals)
	}
	g.stop()
	b.client.CloseIdleConnections() // of the process that is gone, which the client may not have noticed
	g.start(config)
	sees("alice@example.com", "Alice Example", "admin,dev", http.StatusOK)
}
