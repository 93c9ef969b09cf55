package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
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

// bboltCommand builds bbolt's own command once a run, and returns its path.
var bboltCommand = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "bbolt")
	out, err := exec.Command("go", "build", "-o", path, "go.etcd.io/bbolt/cmd/bbolt").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build bbolt: %w\n%s", err, out)
	}
	return path, nil
})

// checkDatabase has bbolt judge a file that no process has open.
func checkDatabase(t *testing.T, path string) {
	t.Helper()
	bbolt, err := bboltCommand()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bbolt, "check", path).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "OK" {
		t.Fatalf("bbolt check %s: %v\n%s", path, err, out)
	}
}

// storeAt is the option that keeps the sessions in a file.
func storeAt(path string) string { return "store bbolt {\n\t\t\tpath " + path + "\n\t\t}" }

// cookieOf returns the value of the browser's jar cookie, or "".
func (b *browser) cookieOf() string {
	b.t.Helper()
	site, err := url.Parse(b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(site) {
		if c.Name == "multi_session" {
			return c.Value
		}
	}
	return ""
}

// forgetCookies has the browser lose all cookies.
func (b *browser) forgetCookies() {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.client.Jar = jar
}

// witness is a browser that remembers what was acknowledged to it, and can tell whether the gateway
// remembers the same. It does one thing at a time, so that at a crash one change at most is in doubt.
type witness struct {
	*browser
	name   string
	random *rand.Rand

	live    map[string]string // user names by handle
	active  string            // user name; "" when nobody is signed in, or when it is in doubt
	doubted bool              // which of the live ones is active was the gateway's choice
	pending *pendingChange    // what was asked for and not acknowledged

	deadHandles, deadCookies   []string
	knownHandles, knownCookies int // how many of the dead have been found dead after a crash
	changes, made              int // acknowledged; not acknowledged and made all the same
}

type pendingChange struct {
	kind   string // the path of the API
	user   string // of sign-ins
	handle string // of switches and revocations
	cookie string // before it
}

const (
	signInPath    = "/.auth/sign-in/username"
	switchPath    = "/.auth/multi-session/set-active"
	revokePath    = "/.auth/multi-session/revoke"
	signOutPath   = "/.auth/sign-out"
	listPath      = "/.auth/multi-session/list-device-sessions"
	getActivePath = "/.auth/get-session"
)

func newWitness(t *testing.T, base string, number int) *witness {
	return &witness{
		browser: newBrowser(t, base),
		name:    fmt.Sprintf("browser %d", number),
		random:  rand.New(rand.NewPCG(rand.Uint64(), uint64(number))),
		live:    make(map[string]string),
	}
}

// act makes one change, and reports whether it was acknowledged.
func (w *witness) act() bool {
	w.pending = w.choose()
	body := map[string]any{}
	switch w.pending.kind {
	case signInPath:
		body["username"], body["password"] = w.pending.user, password(w.pending.user)
	case switchPath, revokePath:
		body["sessionToken"] = w.pending.handle
	}
	answer, err := w.do(w.jsonRequest(w.pending.kind, body))
	if err != nil {
		return false
	}
	if answer.StatusCode != http.StatusOK {
		w.t.Errorf("%s: %s: %s: %s", w.name, w.pending.kind, answer.Status, answer.body)
		return false
	}
	var token struct{ Token string }
	if err := json.Unmarshal([]byte(answer.body), &token); err != nil {
		w.t.Errorf("%s: %s: %v in %q", w.name, w.pending.kind, err, answer.body)
		return false
	}
	w.done(token.Token)
	return true
}

func (w *witness) choose() *pendingChange {
	handles := slices.Sorted(maps.Keys(w.live))
	p := &pendingChange{kind: signInPath, cookie: w.cookieOf()}
	if len(handles) > 0 {
		p.handle = handles[w.random.IntN(len(handles))]
		switch n := w.random.IntN(100); {
		case n < 35:
			p.kind = switchPath
		case n < 55:
			p.kind = revokePath
		case n < 62:
			p.kind = signOutPath
		}
	}
	users := []string{"alice", "bob", "carol"}
	p.user = users[w.random.IntN(len(users))]
	return p
}

// done takes the pending change for granted.
func (w *witness) done(newHandle string) {
	p := w.pending
	w.pending = nil
	w.changes++
	switch p.kind {
	case signInPath:
		maps.DeleteFunc(w.live, func(handle, user string) bool {
			if user == p.user {
				w.deadHandles = append(w.deadHandles, handle)
			}
			return user == p.user
		})
		w.live[newHandle] = p.user
		w.active, w.doubted = p.user, false
		if p.cookie != "" {
			w.deadCookies = append(w.deadCookies, p.cookie)
		}
	case switchPath:
		w.active, w.doubted = w.live[p.handle], false
	case revokePath:
		if w.doubted || w.live[p.handle] == w.active {
			w.active, w.doubted = "", len(w.live) > 1
		}
		w.deadHandles = append(w.deadHandles, p.handle)
		delete(w.live, p.handle)
		if len(w.live) == 0 {
			w.deadCookies = append(w.deadCookies, p.cookie)
		}
	case signOutPath:
		w.lost(p.cookie)
	}
}

// lost takes it for granted that a jar is gone, with all that was in it.
func (w *witness) lost(cookie string) {
	w.deadHandles = slices.AppendSeq(w.deadHandles, maps.Keys(w.live))
	w.deadCookies = append(w.deadCookies, cookie)
	clear(w.live)
	w.active, w.doubted = "", false
}

// compare holds what the gateway remembers against what the witness does. A change that was not
// acknowledged may have been made or not; the witness then believes the gateway.
func (w *witness) compare() error {
	w.client.CloseIdleConnections()
	found, active, err := w.ask()
	if err != nil {
		return err
	}
	p := w.pending
	if p == nil || w.matches(found, active) {
		if !w.matches(found, active) {
			return fmt.Errorf("signed in are %v, active %q; acknowledged were %v, active %q (in doubt: %v)",
				found, active, w.live, w.active, w.doubted)
		}
		w.pending, w.active, w.doubted = nil, active, false
		return nil
	}
	w.made++
	before := fmt.Sprintf("%v, active %q (in doubt: %v), and then %s %s %s", w.live, w.active, w.doubted, p.kind, p.user, p.handle)
	if p.kind == signInPath {
		// Made, but its answer with the jar's new cookie was lost on the way: nothing names that jar
		// any more. For some seconds a sign-in with the replaced cookie would still find it, so this
		// browser begins anew.
		w.pending = nil
		w.lost(p.cookie)
		w.forgetCookies()
	} else {
		w.changes-- // it was not acknowledged
		w.done("")
	}
	if !w.matches(found, active) {
		return fmt.Errorf("signed in are %v, active %q; acknowledged were %s without an answer", found, active, before)
	}
	w.active, w.doubted = active, false
	return nil
}

func (w *witness) matches(found map[string]string, active string) bool {
	if !maps.Equal(found, w.live) {
		return false
	}
	if w.doubted {
		return slices.Contains(slices.Collect(maps.Values(w.live)), active)
	}
	return active == w.active
}

// ask returns the gateway's view: the user names by handle, and who is active, by its API as by what
// an upstream is told.
func (w *witness) ask() (found map[string]string, active string, err error) {
	var entries []entry
	if err := w.fetch(listPath, &entries); err != nil {
		return nil, "", err
	}
	found = make(map[string]string)
	for _, e := range entries {
		found[e.Session.Token] = strings.TrimPrefix(e.User.ID, "password:")
	}
	var e *entry
	if err := w.fetch(getActivePath, &e); err != nil {
		return nil, "", err
	}
	if e != nil {
		active = strings.TrimPrefix(e.User.ID, "password:")
		if found[e.Session.Token] != active {
			return nil, "", fmt.Errorf("the active session %s of %s is not in the list %v", e.Session.Token, active, found)
		}
	}
	answer, err := w.do(w.request(http.MethodGet, "/", nil))
	if err != nil {
		return nil, "", err
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		if active != "" {
			return nil, "", fmt.Errorf("the gate refused %s", active)
		}
	case http.StatusOK:
		var s seen
		if err := json.Unmarshal([]byte(answer.body), &s); err != nil {
			return nil, "", err
		}
		if got := s.Header.Get("Remote-User"); got != active || active == "" {
			return nil, "", fmt.Errorf("the upstream saw %q, but active is %q", got, active)
		}
	default:
		return nil, "", fmt.Errorf("gate: %s: %s", answer.Status, answer.body)
	}
	return found, active, nil
}

func (w *witness) fetch(path string, into any) error {
	answer, err := w.do(w.request(http.MethodGet, path, nil))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, answer.Status, answer.body)
	}
	return json.Unmarshal([]byte(answer.body), into)
}

// checkDead tries what is dead, from the given numbers on: no handle of it opens anything, and no
// cookie is anybody's.
func (w *witness) checkDead(handles, cookies int) error {
	for _, handle := range w.deadHandles[handles:] {
		if err := w.refused(handle); err != nil {
			return fmt.Errorf("dead handle: %w", err)
		}
	}
	bare := &http.Client{Transport: w.client.Transport, CheckRedirect: w.client.CheckRedirect}
	for _, cookie := range w.deadCookies[cookies:] {
		for path, want := range map[string]string{getActivePath: "200 null", listPath: "200 []", "/": "401"} {
			request := w.request(http.MethodGet, path, nil)
			request.Header.Set("Cookie", "multi_session="+cookie)
			answer, err := (&browser{t: w.t, base: w.base, client: bare, portal: w.portal}).do(request)
			if err != nil {
				return err
			}
			got := fmt.Sprintf("%d %s", answer.StatusCode, strings.TrimSpace(answer.body))
			if !strings.HasPrefix(got, want) {
				return fmt.Errorf("dead cookie: %s answers %q", path, got)
			}
		}
	}
	return nil
}

// refused tries to switch to a session that is none of this browser's.
func (w *witness) refused(handle string) error {
	answer, err := w.do(w.jsonRequest(switchPath, map[string]any{"sessionToken": handle}))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusUnauthorized || answer.code() != "INVALID_SESSION_TOKEN" {
		return fmt.Errorf("switching to it: %s: %s", answer.Status, answer.body)
	}
	return nil
}

// each does something with every witness at once, and reports their errors.
func each(t *testing.T, crowd []*witness, do func(*witness) error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, w := range crowd {
		wg.Go(func() {
			if err := do(w); err != nil {
				t.Errorf("%s: %v", w.name, err)
			}
		})
	}
	wg.Wait()
}

// TestKilledUnderChanges kills the gateway while browsers sign in, switch, revoke and sign out. What
// was acknowledged is there afterwards, whatever was ended stays dead, and nobody is anybody else.
func TestKilledUnderChanges(t *testing.T) {
	rounds := 16
	if testing.Short() {
		rounds = 4
	}
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	database := filepath.Join(g.dir, "store", "sessions.db")
	config := site(address, up.address(), storeAt(database), "multi_session")

	crowd := make([]*witness, 12)
	for i := range crowd {
		crowd[i] = newWitness(t, "http://"+address, i)
	}
	undecided := 0
	compare := func(all bool) {
		t.Helper()
		each(t, crowd, (*witness).compare)
		if t.Failed() {
			t.FailNow()
		}
		each(t, crowd, func(w *witness) error {
			if all {
				w.knownHandles, w.knownCookies = 0, 0
			}
			if err := w.checkDead(w.knownHandles, w.knownCookies); err != nil {
				return err
			}
			w.knownHandles, w.knownCookies = len(w.deadHandles), len(w.deadCookies)
			other := crowd[w.random.IntN(len(crowd))]
			for handle := range other.live {
				if other == w {
					break
				}
				if err := w.refused(handle); err != nil {
					return fmt.Errorf("handle of %s: %w", other.name, err)
				}
			}
			return nil
		})
	}

	for round := range rounds {
		g.start(config)
		compare(false)
		if t.Failed() {
			return
		}
		least := int64(len(crowd) + rand.IntN(15*len(crowd)))
		var acknowledged atomic.Int64
		enough := make(chan struct{})
		var once sync.Once
		var wg sync.WaitGroup
		for _, w := range crowd {
			wg.Go(func() {
				defer once.Do(func() { close(enough) }) // also when all of them failed
				for w.act() {
					if acknowledged.Add(1) >= least {
						once.Do(func() { close(enough) })
					}
				}
			})
		}
		<-enough
		g.kill()
		wg.Wait()
		if t.Failed() {
			return
		}
		if acknowledged.Load() < least {
			t.Fatalf("round %d: %d changes of %d were acknowledged, and then none", round, acknowledged.Load(), least)
		}
		for _, w := range crowd {
			if w.pending != nil {
				undecided++
			}
		}
		checkDatabase(t, database)
	}
	g.start(config)
	compare(true)
	g.stop()
	checkDatabase(t, database)

	names, err := os.ReadDir(filepath.Dir(database))
	if err != nil || len(names) != 1 {
		t.Errorf("beside the database: %v, %v", names, err)
	}
	var changes, made, handles, cookies int
	for _, w := range crowd {
		changes += w.changes
		made += w.made
		handles += len(w.deadHandles)
		cookies += len(w.deadCookies)
	}
	t.Logf("%d rounds: %d changes acknowledged, %d cut off of which %d were made; %d handles and %d cookies stayed dead",
		rounds, changes, undecided, made, handles, cookies)
}

// TestKilledWhileCreating kills the gateway while it makes its database: the next start is not
// barred by what is left.
func TestKilledWhileCreating(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	up := newEcho(t)
	for range rounds {
		g := newGateway(t)
		address := freeAddress(t)
		dir := filepath.Join(g.dir, "store")
		config := site(address, up.address(), storeAt(filepath.Join(dir, "sessions.db")), "multi_session")
		g.launch(config)
		await(t, "the database's directory", func() bool {
			_, err := os.Stat(dir)
			return err == nil
		})
		g.kill()
		g.start(config)
		b := newBrowser(t, "http://"+address)
		b.signIn("alice")
		g.kill()
		checkDatabase(t, filepath.Join(dir, "sessions.db"))
		g.start(config)
		if got := b.active(); got != "alice" {
			t.Errorf("after a crash of a new database: %q", got)
		}
		g.stop()
	}
}
