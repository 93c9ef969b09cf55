package isolation

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/origin"
)

var (
	storiesFlag = flag.Int("isolation.stories", 600, "how many random stories TestDifferential tells")
	seedFlag    = flag.Uint64("isolation.seed", 1, "the seed of the first story")
)

// TestDifferential tells random stories of a browser behind the gateway, and compares what apps see
// with what they would see if each account had a browser of its own.
func TestDifferential(t *testing.T) {
	begun := time.Now()
	var total diffCounts
	for n := range uint64(*storiesFlag) {
		s := newStory(*seedFlag + n)
		counts, fault := s.run(nil)
		total.add(counts)
		if fault == "" {
			continue
		}
		s.shrink()
		var trace []string
		_, fault = s.run(func(line string) { trace = append(trace, line) })
		t.Fatalf("seed %d, %d steps left: %s\n%s", s.seed, len(s.steps), fault, strings.Join(trace, "\n"))
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	t.Logf("%d stories, %+v, %v CPU, %v", *storiesFlag, total, cpu.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	if total.Alone == 0 || total.Shared == 0 || total.Blind == 0 || total.Quiet == 0 || total.Scripted == 0 || total.Foreign == 0 || total.Robots == 0 {
		t.Errorf("the stories miss something: %+v", total)
	}
}

// diffCounts are how often each kind of check was made.
type diffCounts struct{ Forwarded, Alone, Shared, Blind, Quiet, Scripted, Foreign, Robots, Evicted, Refused int }

func (c *diffCounts) add(o diffCounts) {
	c.Forwarded += o.Forwarded
	c.Alone += o.Alone
	c.Shared += o.Shared
	c.Blind += o.Blind
	c.Quiet += o.Quiet
	c.Scripted += o.Scripted
	c.Foreign += o.Foreign
	c.Robots += o.Robots
	c.Evicted += o.Evicted
	c.Refused += o.Refused
}

// story is a sequence of steps. Each step draws what it does from a source of its own, so steps can
// be left out.
type story struct {
	seed  uint64
	steps []uint64
}

func newStory(seed uint64) *story {
	r := rand.New(rand.NewPCG(seed, 7))
	s := &story{seed: seed}
	for range 20 + r.IntN(100) {
		s.steps = append(s.steps, r.Uint64())
	}
	return s
}

// diffFault is what the oracle panics with.
type diffFault string

// run tells the story, and returns the first fault that the oracle finds. Trace, unless nil, gets a
// line for each event.
func (s *story) run(trace func(string)) (counts diffCounts, fault string) {
	w := newDiffWorld(s.seed, trace)
	defer func() {
		counts = w.counts
		switch f := recover().(type) {
		case nil:
		case diffFault:
			fault = string(f)
		default:
			panic(f)
		}
	}()
	for _, seed := range s.steps {
		w.r = rand.New(rand.NewPCG(seed, 3))
		w.step()
	}
	return w.counts, ""
}

// shrink leaves out steps for as long as the oracle still finds a fault.
func (s *story) shrink() {
	for size := len(s.steps) / 2; size > 0; {
		dropped := false
		for at := 0; at+size <= len(s.steps); {
			shorter := story{s.seed, slices.Concat(s.steps[:at], s.steps[at+size:])}
			if _, fault := shorter.run(nil); fault != "" {
				s.steps, dropped = shorter.steps, true
			} else {
				at += size
			}
		}
		if !dropped || size > len(s.steps) {
			size /= 2
		}
	}
}

// writerKind is who made a value.
type writerKind int

const (
	byApp writerKind = iota
	byScript
	byForeign
)

// diffWriter is who wrote a token into a cookie, and when.
type diffWriter struct {
	kind      writerKind
	user      string // the account, empty for nobody
	uncounted bool   // a page of a request that the browser does not remember as one account's
	outside   bool   // the app's answer went to a client that was taken for no browser
	at        int
	scope     string
	shared    map[string]bool // the scopes in which the browser was shared by then
}

// foreignTo reports whether a scope's gateway cannot know the writer. A script of a host with
// another jar that writes for the whole domain is such a one.
func (o *diffWriter) foreignTo(scope string) bool {
	switch o.kind {
	case byApp:
		return o.outside
	case byScript:
		return o.scope != scope || o.uncounted && o.user == ""
	}
	return true
}

// diffSession is one session of a user.
type diffSession struct{ user, tag string }

// diffJar is a jar in the store of sessions.
type diffJar struct {
	id       string
	sessions []*diffSession
	active   map[string]string // host, or empty where all hosts share one, to a slot's tag
}

func (j *diffJar) has(tag string) bool {
	return slices.ContainsFunc(j.sessions, func(s *diffSession) bool { return s.tag == tag })
}

// diffVisit is a jar as a request found it. It implements Accounts.
type diffVisit struct {
	w               *diffWorld
	token, host     string
	id, slot, user  string
	live            []string
	slots           map[string]string // an account's tag to its slot's
	severalAccounts bool
}

func (v *diffVisit) JarID() string { return v.id }
func (v *diffVisit) Slot() string  { return v.slot }
func (v *diffVisit) AccountTag() string {
	if v.slot == "" {
		return ""
	}
	return "account-" + v.user
}
func (v *diffVisit) SlotOf(account string) string { return v.slots[account] }
func (v *diffVisit) HasSlot(tag string) bool      { return slices.Contains(v.live, tag) }
func (v *diffVisit) SeveralAccounts() bool        { return v.severalAccounts }
func (v *diffVisit) SlotIsLive(tag string) bool   { return v.w.isLive(tag) }
func (v *diffVisit) StillActive() bool            { return v.w.visit(v.token, v.host).slot == v.slot }

// diffWorld is a browser, the gateway, apps behind it, and services beside it.
type diffWorld struct {
	r      *rand.Rand
	trace  func(string)
	counts diffCounts

	https, optional, oldBrowser bool
	site                        cookie.Options
	options                     Options
	hosts                       []string
	now                         time.Time
	seq                         int // of events

	browser browserStore
	raw     browserStore             // the same browser without a gateway
	slots   map[string]*browserStore // a slot's tag to what apps have set for it
	robot   browserStore             // a client that is no browser
	robots  browserStore             // the same client without a gateway

	jars    map[string]*diffJar // by token
	owners  map[string]string   // a slot's tag to its user
	writers map[string]*diffWriter
	flights []*diffFlight
	pages   []*diffPage
	turned  int // when the active account last changed

	scopes    map[string]*diffScope
	adopted   map[string]bool     // tokens that an app saw while an account was alone
	written   map[string]int      // a name to when somebody else than an app last wrote it while an account was alone
	set       map[slotKey]int     // when an app last set a cookie of a slot, with no request under way from before
	contested map[string]bool     // names for which a browser alone would do something else, as the rule says
	doubtful  map[string]bool     // a slot's tag and name of cookies that were refused
	appNames  map[string]bool     // names that apps have set
	appKeys   map[browserKey]bool // cookies that apps have set
	wide      map[string]bool     // names that apps have set for domains wider than their jar's, where scripts do not count
	byScripts map[string]bool     // names that scripts have written
	orphaned  map[string]bool     // names of slots' cookies that the browser has evicted, so that copies may be left
	evicted   map[browserKey]bool // since the last answer
	tokens    map[string]string   // a host and a slot's tag to the scripted cookie that its scripts have made
	crossed   bool                // an answer given before a switch has said after it whose scripted cookies are
	lost      bool                // the browser has evicted a cookie of the gateway's own
}

// diffScope is what has happened at the hosts of one jar.
type diffScope struct {
	answered map[string]bool // accounts of which an answer has reached the browser
	slots    map[string]bool // that requests were forwarded under at all
	firsts   int             // requests of which the browser had no answer before
	held     map[string]int  // how many of these have shown a cookie
	doubt    bool            // another account may have been here, for all that the gateway could see
	marked   int             // when the first mark reached the browser, 0 before
}

type diffPage struct {
	browserRequest
	user, slot string
	uncounted  bool
	at         int
}

// diffFlight is a request that is under way.
type diffFlight struct {
	browserRequest
	n         int
	header    http.Header
	sent      int
	slots     map[string]string   // a slot's tag to what its app should see
	soft      map[string][]string // a slot's tag to names that may have been changed since the app set them
	shown     []string
	raw       []string
	answered  map[string]bool // as in diffScope when it was sent
	pageKind  bool            // it asks for a document
	arrived   bool
	forwarded bool
	leftOut   bool
	visit     *diffVisit
	token     string
	spec      cookie.Spec
	x         Exchange
	user      string
	answers   []diffAnswer
	final     bool // the app has given its answer
}

type diffAnswer struct {
	header        http.Header
	lines         []string // what the app wrote
	informational bool
	slot          string
	forwarded     bool
	at            int
	clears        bool // the app asks the browser to drop all cookies
}

func newDiffWorld(seed uint64, trace func(string)) *diffWorld {
	r := rand.New(rand.NewPCG(seed, 11))
	suffix := "example.com"
	w := &diffWorld{
		r: r, trace: trace, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		slots: map[string]*browserStore{}, jars: map[string]*diffJar{}, owners: map[string]string{},
		writers: map[string]*diffWriter{}, scopes: map[string]*diffScope{},
		adopted: map[string]bool{}, written: map[string]int{}, set: map[slotKey]int{}, contested: map[string]bool{},
		doubtful: map[string]bool{}, appNames: map[string]bool{}, appKeys: map[browserKey]bool{}, orphaned: map[string]bool{}, wide: map[string]bool{}, tokens: map[string]string{}, byScripts: map[string]bool{}, evicted: map[browserKey]bool{},
		optional: r.IntN(2) == 0, https: true,
	}
	switch r.IntN(5) {
	case 0:
		w.https, suffix = false, "example.localhost"
	case 1:
		w.https, w.site.InsecureHTTP = false, true
	}
	w.hosts = []string{"a.apps." + suffix, "b.apps." + suffix, "x." + suffix}
	switch r.IntN(3) {
	case 0:
		w.site.Domain = "apps." + suffix
	case 1:
		w.site.Domain, w.site.PerHost = "apps."+suffix, true
	}
	w.oldBrowser = r.IntN(6) == 0
	w.options = Options{Except: []string{"lang*"}, Scripted: []string{"tok"}}
	if r.IntN(4) == 0 {
		w.options.MaxBytes = 2500
	}
	w.browser.now, w.browser.renew = w.now, r.IntN(2) == 0
	w.browser.onEvict = w.evict
	w.raw.renew, w.raw.unbounded = w.browser.renew, true
	w.robot, w.robots = browserStore{unbounded: true}, browserStore{unbounded: true}
	w.tick(0)
	w.note("https %v, options %+v, hosts %v, optional %v, cookie domain %q per host %v, old browser %v, Chromium's order %v",
		w.https, w.options, w.hosts, w.optional, w.site.Domain, w.site.PerHost, w.oldBrowser, w.browser.renew)
	return w
}

func (w *diffWorld) note(format string, args ...any) {
	if w.trace != nil {
		w.trace(longPattern.ReplaceAllString(fmt.Sprintf("%4d  ", w.seq)+fmt.Sprintf(format, args...), "$1…"))
	}
}

// longPattern are the ends of long values, which traces leave out.
var longPattern = regexp.MustCompile(`((?:yyy|zzz))[yz]+`)

func (w *diffWorld) fail(format string, args ...any) {
	w.note("FAULT")
	panic(diffFault(fmt.Sprintf(format, args...)))
}

// tick moves the clock on.
func (w *diffWorld) tick(d time.Duration) {
	w.now = w.now.Add(d)
	w.browser.now, w.raw.now, w.robot.now, w.robots.now = w.now, w.now, w.now, w.now
	for _, s := range w.slots {
		s.now = w.now
	}
}

func (w *diffWorld) chance(percent int) bool { return w.r.IntN(100) < percent }

func pick[T any](w *diffWorld, from []T) T { return from[w.r.IntN(len(from))] }

// token returns a text that no other writer has used.
func (w *diffWorld) token(writer diffWriter) string {
	writer.at, writer.shared = w.seq, map[string]bool{}
	for name, scope := range w.scopes {
		writer.shared[name] = scope.shared()
	}
	token := fmt.Sprintf("w%dx", len(w.writers)+1)
	w.writers[token] = &writer
	return token
}

// value returns a value with a token that says who wrote it.
func (w *diffWorld) value(writer diffWriter) string {
	token := w.token(writer)
	switch w.r.IntN(16) {
	case 0:
		return `"` + token + `"`
	case 1:
		return token + " and ~!="
	case 2:
		return `"` + token
	case 3:
		return "é" + token + "%,"
	case 4:
		if w.chance(20) {
			return token + strings.Repeat("y", 3950+w.r.IntN(200))
		}
		return token + strings.Repeat("z", w.r.IntN(700))
	}
	return token
}

var tokenPattern = regexp.MustCompile(`w[0-9]+x`)

// writerOf returns who wrote a text, or nil for nobody that the story knows.
func (w *diffWorld) writerOf(text string) *diffWriter {
	return w.writers[tokenPattern.FindString(text)]
}

func (w *diffWorld) scopeName(host string) string {
	if w.site.Domain != "" && origin.Within(host, w.site.Domain) {
		return w.site.Domain
	}
	return host
}

func (w *diffWorld) scope(host string) *diffScope {
	name := w.scopeName(host)
	if w.scopes[name] == nil {
		w.scopes[name] = &diffScope{answered: map[string]bool{}, slots: map[string]bool{}, held: map[string]int{}}
	}
	return w.scopes[name]
}

// shared reports whether answers to two accounts have reached the browser.
func (s *diffScope) shared() bool { return len(s.answered) > 1 }

func (w *diffWorld) spec(host string) cookie.Spec {
	spec, err := w.site.For(w.https, host)
	if err != nil {
		panic(err)
	}
	return spec
}

func (w *diffWorld) isLive(tag string) bool {
	for _, j := range w.jars {
		if j.has(tag) {
			return true
		}
	}
	return false
}

// place is the key of a jar's active account at a host.
func (w *diffWorld) place(host string) string {
	if w.site.PerHost && w.scopeName(host) == w.site.Domain {
		return host
	}
	return ""
}

// visit looks a token up.
func (w *diffWorld) visit(token, host string) *diffVisit {
	v := &diffVisit{w: w, token: token, host: host}
	j := w.jars[token]
	if j == nil {
		return v
	}
	v.id, v.slots = j.id, map[string]string{}
	users := map[string]bool{}
	for _, s := range j.sessions {
		v.live = append(v.live, s.tag)
		v.slots["account-"+s.user] = s.tag
		users[s.user] = true
		if s.tag == j.active[w.place(host)] {
			v.slot, v.user = s.tag, s.user
		}
	}
	v.severalAccounts = len(users) > 1
	return v
}

// slot returns what apps have set for a slot.
func (w *diffWorld) slot(tag string) *browserStore {
	if w.slots[tag] == nil {
		w.slots[tag] = &browserStore{now: w.now, renew: w.browser.renew, unbounded: true}
	}
	return w.slots[tag]
}

// tokenAt is the token of the jar that the browser has at a host.
func (w *diffWorld) tokenAt(host string) string {
	spec := w.spec(host)
	for _, c := range w.browser.shown(browserRequest{https: w.https, host: host, path: "/"}) {
		if c.name == spec.Name {
			return c.value
		}
	}
	return ""
}

var diffUsers = []string{"alice", "bob", "carol"}

func (w *diffWorld) step() {
	w.seq++
	w.tick(time.Duration(w.r.IntN(5)) * time.Second)
	switch n := w.r.IntN(100); {
	case n < 14:
		w.send()
	case n < 26:
		w.arriveOne()
	case n < 36:
		w.answerOne()
	case n < 47:
		w.receiveOne()
	case n < 62:
		w.fetch()
	case n < 73:
		w.runScript()
	case n < 78:
		w.runForeign()
	case n < 84:
		w.switchAccount()
	case n < 88:
		w.signIn()
	case n < 91:
		w.signOut()
	case n < 95:
		w.quiet()
	case n < 97:
		w.fetchAsRobot()
	case n < 98:
		w.restart()
	case n < 99:
		if len(w.flights) > 0 {
			return // no request takes so long
		}
		w.note("hours pass")
		w.tick(time.Duration(w.r.IntN(3000)) * time.Hour / 10)
	default:
		w.flood()
	}
}

// signIn gives a user a session, in the browser's jar or in a new one.
func (w *diffWorld) signIn() {
	host, user := pick(w, w.hosts), pick(w, diffUsers)
	token := w.tokenAt(host)
	j := w.jars[token]
	if j == nil || w.chance(10) {
		j = &diffJar{id: fmt.Sprintf("jar%d", w.seq), active: map[string]string{}}
	} else {
		delete(w.jars, token)
	}
	j.sessions = slices.DeleteFunc(j.sessions, func(s *diffSession) bool { return s.user == user })
	tag := fmt.Sprintf("%s-%d", user, w.seq)
	tag += strings.Repeat("_", 22-len(tag))
	w.owners[tag] = user
	j.sessions = append(j.sessions, &diffSession{user, tag})
	j.active[w.place(host)] = tag
	token = fmt.Sprintf("jartoken%d", w.seq)
	w.jars[token] = j
	w.turned = w.seq
	spec := w.spec(host)
	line := spec.Name + "=" + token + "; Path=/; HttpOnly; SameSite=Lax"
	if spec.Domain != "" {
		line += "; Domain=" + spec.Domain
	}
	if spec.Secure {
		line += "; Secure"
	}
	if w.chance(70) {
		line += "; Max-Age=8640000"
	}
	w.note("%s signs in at %s: %s", user, host, line)
	w.browser.set(browserRequest{https: w.https, host: host, path: "/"}, line)
}

func (w *diffWorld) switchAccount() {
	host := pick(w, w.hosts)
	j := w.jars[w.tokenAt(host)]
	if j == nil || len(j.sessions) == 0 {
		w.signIn()
		return
	}
	s := pick(w, j.sessions)
	j.active[w.place(host)] = s.tag
	w.turned = w.seq
	w.note("switch to %s at %s", s.tag, host)
}

// signOut ends one session or all of a jar.
func (w *diffWorld) signOut() {
	host := pick(w, w.hosts)
	token := w.tokenAt(host)
	j := w.jars[token]
	if j == nil || len(j.sessions) == 0 {
		return
	}
	w.turned = w.seq
	if w.chance(60) {
		s := pick(w, j.sessions)
		w.note("%s ends, at %s", s.tag, host)
		j.sessions = slices.DeleteFunc(j.sessions, func(o *diffSession) bool { return o == s })
		if len(j.sessions) > 0 {
			return
		}
	}
	w.note("the jar of %s ends", host)
	delete(w.jars, token)
	if w.chance(70) {
		h := http.Header{}
		w.spec(host).Clear(h)
		w.browser.set(browserRequest{https: w.https, host: host, path: "/"}, h.Get("Set-Cookie"))
	}
}

func (w *diffWorld) restart() {
	w.note("the browser restarts")
	clear(w.tokens)
	w.flights, w.pages = nil, nil
	w.browser.restart()
	w.raw.restart()
	for _, s := range w.slots {
		s.restart()
	}
}

var diffPaths = []string{"/", "/p/x", "/p/q/x", "/open/x", "/open/p/x", "/p", "/ö/x"}

// send has the browser send a request.
func (w *diffWorld) send() *diffFlight {
	if len(w.flights) > 6 {
		return nil
	}
	f := &diffFlight{browserRequest: browserRequest{https: w.https, host: pick(w, w.hosts), path: pick(w, diffPaths), safe: true}}
	h := http.Header{}
	site, mode, dest := "same-origin", "navigate", "document"
	switch w.r.IntN(12) {
	case 0, 1, 2:
		mode, dest = "cors", "empty"
	case 3:
		site, mode, dest = "same-site", "no-cors", "image"
	case 4:
		site, f.crossSite, f.topLevel = "cross-site", true, true
	case 5:
		site, f.crossSite, f.topLevel, f.safe = "cross-site", true, true, false
		h.Set("Origin", "https://evil.example")
	case 6:
		site, mode, dest, f.crossSite, f.top = "cross-site", "cors", "empty", true, "evil.example"
		h.Set("Origin", "https://evil.example")
	case 7:
		site, dest, f.crossSite, f.top = "cross-site", "iframe", true, "evil.example"
	default:
		if w.chance(30) {
			site = "none"
		}
	}
	f.pageKind = dest == "document" && site != "same-site"
	if !w.oldBrowser && f.trusted() {
		h.Set("Sec-Fetch-Site", site)
		h.Set("Sec-Fetch-Mode", mode)
		h.Set("Sec-Fetch-Dest", dest)
	}
	return w.launch(f, h)
}

// launch sends a request with the cookies that the browser shows.
func (w *diffWorld) launch(f *diffFlight, h http.Header) *diffFlight {
	f.n, f.sent, f.spec = w.seq, w.seq, w.spec(f.host)
	f.slots, f.soft = map[string]string{}, map[string][]string{}
	for tag, s := range w.slots {
		f.soft[tag] = w.soft(tag)
		f.slots[tag] = strings.Join(written(s.shown(f.browserRequest)), "; ")
	}
	f.raw = written(w.raw.shown(f.browserRequest))
	f.answered = map[string]bool{}
	for user := range w.scope(f.host).answered {
		f.answered[user] = true
	}
	f.shown = w.browser.request(f.browserRequest)
	if shown := f.shown; shown != nil {
		if len(shown) > 1 && w.chance(20) { // HTTP/2
			at := 1 + w.r.IntN(len(shown)-1)
			h["Cookie"] = []string{strings.Join(shown[:at], "; "), strings.Join(shown[at:], "; ")}
		} else {
			h["Cookie"] = []string{strings.Join(shown, "; ")}
		}
	}
	f.header = h
	w.flights = append(w.flights, f)
	w.note("request %d to %s%s (cross-site %v, safe %v) shows %q", f.n, f.host, f.path, f.crossSite, f.safe, h["Cookie"])
	return f
}

func (w *diffWorld) pickFlight(which func(*diffFlight) bool) *diffFlight {
	var list []*diffFlight
	for _, f := range w.flights {
		if which(f) {
			list = append(list, f)
		}
	}
	if list == nil {
		return nil
	}
	return pick(w, list)
}

func (w *diffWorld) arriveOne() {
	if f := w.pickFlight(func(f *diffFlight) bool { return !f.arrived }); f != nil {
		w.arrive(f)
	}
}

// arrive has the gateway get a request, and forward it or not.
func (w *diffWorld) arrive(f *diffFlight) {
	f.arrived = true
	cookies := f.spec.Parse(f.header)
	f.token, _ = cookies.Jar.Only()
	f.visit = w.visit(f.token, f.host)
	f.leftOut = strings.HasPrefix(f.path, "/open")
	r := Request{Spec: f.spec, Cookies: &cookies, Host: f.host, Path: f.path, Accounts: f.visit, LeftOut: f.leftOut, Now: w.now}
	unknown := w.chance(3)
	if unknown {
		r.Accounts = nil
	}
	w.options.Read(&f.x, f.header, r)
	for _, refused := range f.x.refused {
		w.counts.Refused++
		if w.contested[refused.Name] = true; w.options.scripted(refused.Name) {
			clear(w.tokens) // there is no room to keep it
		}
	}
	f.forwarded = f.leftOut || !unknown && (w.optional || f.visit.slot != "")
	if w.chance(8) {
		f.forwarded = false // the gateway answers itself
	}
	if !f.forwarded {
		w.note("request %d arrives as %q and is not forwarded", f.n, f.visit.slot)
		return
	}
	f.x.SetRequest(f.header)
	f.user = w.owners[f.x.slot]
	w.note("request %d arrives as %q: alone %v first %v blind %v; the app sees %q", f.n, f.x.slot, f.x.alone, f.x.first, f.x.blind, f.header["Cookie"])
	w.counts.Forwarded++
	w.checkForwarded(f)
	scope := w.scope(f.host)
	scope.slots[f.x.slot] = true
}

// passes reports whether the gateway takes the client for none that it has to isolate.
func (f *diffFlight) passes() bool { return f.x.options == nil }

// counted reports whether the answer says which account the browser was used as.
func (f *diffFlight) counted() bool {
	return !f.passes() && !f.x.blind && f.x.request.Accounts != nil && !f.x.uncounted()
}

func cookieName(pair string) string {
	name, _, found := strings.Cut(pair, "=")
	if !found {
		return ""
	}
	return name
}

// checkForwarded compares what an app sees with what it may see.
func (w *diffWorld) checkForwarded(f *diffFlight) {
	if len(f.header["Cookie"]) > 1 && !f.passes() {
		w.fail("two Cookie fields: %q", f.header["Cookie"])
	}
	var seen []string
	for _, line := range f.header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			seen = append(seen, spaceTrimmed(part))
		}
	}
	user := f.user
	isPlainAllowed := f.x.alone
	for _, pair := range seen {
		name := cookieName(pair)
		if own, _ := cookie.Split(pair); cookie.Reserved(own) || strings.Contains(pair, "jartoken") {
			w.fail("request %d: the app sees the gateway's %q", f.n, pair)
		}
		if w.options.excepted(name) || f.passes() {
			continue
		}
		for _, token := range tokenPattern.FindAllString(pair, -1) {
			o := w.writers[token]
			switch {
			case o == nil:
				w.fail("request %d: the app sees %q, which nobody has written", f.n, pair)
			case o.foreignTo(w.scopeName(f.host)):
				if !isPlainAllowed && !w.adopted[token] {
					w.fail("request %d: as %q, not alone, the app sees the plain %q", f.n, f.x.slot, pair)
				}
			case w.crossed && w.options.scripted(name):
			case w.lost && f.x.alone: // what was left over of an account once its mark was evicted cannot be told
			case o.user != user:
				w.fail("request %d: the app sees as %q of %q the cookie %q of %q", f.n, f.x.slot, user, pair, o.user)
			case o.kind == byScript && w.options.scripted(name):
			case o.kind == byScript && !isPlainAllowed && !w.adopted[token]:
				w.fail("request %d: as %q, not alone, the app sees the script's %q", f.n, f.x.slot, pair)
			}
		}
	}
	if f.passes() {
		w.checkPassed(f)
		return
	}
	w.checkMode(f)
	w.checkHeld(f, seen)
	switch {
	case f.x.request.Accounts == nil:
		if !slices.ContainsFunc(seen, func(pair string) bool { return !w.options.excepted(cookieName(pair)) }) {
			return
		}
		w.fail("request %d: nothing is known, and the app sees %q", f.n, seen)
	case f.x.blind:
		w.counts.Blind++
		if j := w.jars[w.tokenAt(f.host)]; j == nil && f.x.slot == cookie.Anonymous || j != nil && j.has(f.x.slot) {
			w.compareSlot(f, seen) // else it is the slot of a jar that the browser has lost, and may be cleared in part
		}
	case !f.x.alone:
		w.counts.Shared++
		w.compareSlot(f, seen)
	default:
		w.compareAlone(f, seen)
	}
}

// checkPassed sees to it that only a request that shows nothing of the gateway's passes as it is.
func (w *diffWorld) checkPassed(f *diffFlight) {
	if !f.leftOut {
		w.fail("request %d passes as it is, where the gate applies", f.n)
	}
	if f.x.request.Cookies.Jar.Count > 0 || f.header.Get("Sec-Fetch-Site") != "" {
		w.fail("request %d of a browser passes as it is", f.n)
	}
}

// isAlone reports whether an account has had the hosts of a jar to itself, for all that the gateway
// could see.
func (w *diffWorld) isAlone(f *diffFlight) bool {
	scope := w.scope(f.host)
	for _, pair := range f.shown {
		if tag, _, ok := cookie.ParseSlotName(cookieName(pair)); ok && tag != f.x.slot {
			scope.doubt = true // a slot of a host with another jar
		}
	}
	scope.doubt = scope.doubt || f.visit.severalAccounts || len(f.shown) > maxHeld || w.lost
	for slot := range scope.slots {
		scope.doubt = scope.doubt || slot != f.x.slot
	}
	return !scope.doubt && f.x.request.Accounts != nil && !f.x.blind
}

// withholds reports whether browsers withhold cookies with SameSite=Lax from a request.
func (f *diffFlight) withholds() bool { return f.crossSite && !(f.topLevel && f.safe) }

// unsigned reports whether nothing in a request says that cookies are withheld.
func (f *diffFlight) unsigned() bool {
	return f.withholds() && f.header.Get("Sec-Fetch-Site") == "" && f.header.Get("Origin") == ""
}

// checkHeld sees to it that an app is sent no plain cookie from before its account's first request,
// none that stands beside one with HttpOnly, and in doubt about whose the request is none at all.
func (w *diffWorld) checkHeld(f *diffFlight, seen []string) {
	scope := w.scope(f.host)
	if f.counted() && f.x.first {
		scope.firsts++
		for _, pair := range f.shown {
			scope.held[pair]++
		}
	}
	live := map[string]bool{}
	for _, pair := range f.shown {
		if tag, _, ok := cookie.ParseSlotName(cookieName(pair)); ok && tag != cookie.Anonymous && w.isLive(tag) {
			live[tag] = true
		}
	}
	for _, pair := range seen {
		name, token := cookieName(pair), tokenPattern.FindString(pair)
		o := w.writers[token]
		if o == nil || w.options.excepted(name) {
			continue
		}
		if f.x.blind && len(live) > 1 && f.x.slot != cookie.Anonymous {
			w.fail("request %d shows the slots %v, and the app sees %q", f.n, live, pair)
		}
		if o.kind == byApp || w.adopted[token] || w.options.scripted(name) {
			continue
		}
		if f.counted() && f.x.first {
			w.fail("request %d is the first, and the app sees the plain %q", f.n, pair)
		}
		if f.counted() && scope.firsts > 0 && scope.held[pair] == scope.firsts && !w.lost {
			w.fail("request %d: the app sees %q, which was there before the first request", f.n, pair)
		}
		if s := w.slots[f.x.slot]; s != nil && !w.doubtful[f.x.slot+" "+name] && slices.ContainsFunc(s.shown(f.browserRequest), func(c browserCookie) bool {
			return c.name == name && c.httpOnly && strings.Contains(f.slots[f.x.slot], name+"="+c.value)
		}) && name != "" {
			w.fail("request %d: the app sees the plain %q beside its own with HttpOnly", f.n, pair)
		}
	}
}

// checkMode compares what the gateway believes about a browser with what has happened.
func (w *diffWorld) checkMode(f *diffFlight) {
	others := 0
	for user := range f.answered {
		if user != f.user {
			others++
		}
	}
	if f.x.alone && others > 0 && !w.lost && !f.withholds() {
		w.fail("request %d: %q is taken to be alone, after answers to %v", f.n, f.user, f.answered)
	}
	if w.isAlone(f) && !f.x.alone {
		w.fail("request %d: %q is taken not to be alone, and nobody else was here", f.n, f.user)
	}
}

func (w *diffWorld) skips(f *diffFlight, pair string) bool {
	slot, name := f.x.slot, cookieName(pair)
	return w.options.excepted(name) || w.options.scripted(name) || slices.Contains(f.soft[slot], name) || w.doubtful[slot+" "+name]
}

// compareSlot compares what an app sees with what apps have set for the slot.
func (w *diffWorld) compareSlot(f *diffFlight, seen []string) {
	if w.lost {
		return // without its mark an account may have been taken to be alone
	}
	want := splitPairs(f.slots[f.x.slot])
	skip := func(pair string) bool { return w.skips(f, pair) }
	got := slices.DeleteFunc(slices.Clone(seen), skip)
	want = slices.DeleteFunc(want, skip)
	if !slices.Equal(ordered(got), ordered(want)) {
		w.fail("request %d: as %q the app sees\n%q, want\n%q", f.n, f.x.slot, got, want)
	}
}

// compareAlone compares what an app sees with what it would without a gateway.
func (w *diffWorld) compareAlone(f *diffFlight, seen []string) {
	scope := w.scope(f.host)
	for slot := range scope.slots {
		if slot != f.x.slot {
			return
		}
	}
	if f.x.uncounted() || w.lost || f.withholds() {
		return
	}
	w.counts.Alone++
	skip := func(pair string) bool {
		name := cookieName(pair)
		if w.options.excepted(name) || w.options.scripted(name) || w.contested[name] || w.wide[name] && w.byScripts[name] || w.doubtful[f.x.slot+" "+name] {
			return true
		}
		o := w.writerOf(pair)
		return o != nil && (o.kind != byApp || o.outside) && (scope.marked == 0 || o.at <= scope.marked)
	}
	got := slices.DeleteFunc(slices.Clone(seen), skip)
	want := slices.DeleteFunc(slices.Clone(f.raw), skip)
	// By Chromium's rule a script's change renews a cookie, and that of the slot only with the next
	// answer.
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		w.fail("request %d: as %q, alone, the app sees\n%q, want\n%q", f.n, f.x.slot, got, want)
	}
}

func splitPairs(header string) []string {
	if header == "" {
		return nil
	}
	return strings.Split(header, "; ")
}

// ordered sorts pairs by their names. Those of one name stay in their order.
func ordered(pairs []string) []string {
	pairs = slices.Clone(pairs)
	sort.SliceStable(pairs, func(i, j int) bool { return cookieName(pairs[i]) < cookieName(pairs[j]) })
	return pairs
}

func (w *diffWorld) answerOne() {
	if f := w.pickFlight(func(f *diffFlight) bool { return f.arrived && !f.final }); f != nil {
		w.answer(f, !w.chance(12))
	}
}

var (
	diffAppNames = []string{"r0", "r1", "r2", "h0", "h1", "m0", "m1", "a b", "né", "", "tok2", "lang1", "__Host-s", "__Secure-s", "__Http-s", "__Host-Http-s", "__host-low"}
	cookiePaths  = []string{"", "; Path=/", "; Path=/", "; Path=/", "; Path=/p", "; Path=/p/q", "; Path=/open", "; path=/p/", "; Path=relative", "; Path=/%C3%B6", "; Path=/ö"}
)

// appLine is one Set-Cookie field of an app.
func (w *diffWorld) appLine(f *diffFlight) string {
	name := pick(w, diffAppNames)
	writer := diffWriter{kind: byApp, user: f.user, scope: w.scopeName(f.host), outside: f.passes()}
	value := ""
	clear := w.chance(20)
	if !clear || w.chance(50) {
		value = w.value(writer)
	}
	if name == "" && value != "" {
		value = w.token(writer) // which has no equals sign that would make it a name
	}
	b := name + "=" + value
	if name == "" && w.chance(50) {
		b = value
	}
	if strings.HasPrefix(strings.ToLower(name), "__host") && w.chance(85) {
		b += "; Path=/"
	} else {
		b += pick(w, cookiePaths)
	}
	switch w.r.IntN(12) {
	case 0:
		b += "; Domain=" + f.host
	case 1:
		b += "; Domain=." + strings.SplitN(f.host, ".", 2)[1]
	case 2:
		b += "; Domain=" + siteOf(f.host)
	case 3:
		if w.chance(30) {
			b += "; Domain=other.test"
		}
	}
	if strings.HasPrefix(name, "h") || strings.Contains(strings.ToLower(name), "http") && w.chance(90) || strings.HasPrefix(name, "m") && w.chance(50) {
		b += "; HttpOnly"
	}
	if w.https && w.chance(60) || strings.HasPrefix(name, "__") && w.chance(90) || w.chance(5) {
		b += "; Secure"
	}
	switch w.r.IntN(12) {
	case 0:
		b += "; SameSite=Lax"
	case 1:
		b += "; SameSite=Strict"
	case 2, 3:
		b += "; SameSite=None; Secure"
	}
	if w.chance(5) {
		b += "; Partitioned; Secure"
	}
	switch {
	case clear:
		b += pick(w, []string{"; Max-Age=0", "; Max-Age=-1", "; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "; Expires=Thu, 01-Jan-1970 00:00:01 GMT", "; Max-Age=0; Expires=Fri, 01 Jan 2038 00:00:00 GMT"})
	case w.chance(15):
		b += fmt.Sprintf("; Max-Age=%d", w.r.IntN(100000))
	case w.chance(15):
		b += "; Expires=" + w.now.Add(time.Duration(w.r.IntN(100000))*time.Second).Format(http.TimeFormat)
	case w.chance(3):
		b += "; Expires=never; Max-Age=99999999999999999999"
	}
	return b
}

// answer has the app answer a request, or the gateway itself.
func (w *diffWorld) answer(f *diffFlight, final bool) {
	h := http.Header{}
	a := diffAnswer{header: h, informational: !final, slot: f.x.slot, forwarded: f.forwarded, at: w.seq}
	if !f.forwarded {
		f.final = true
		f.x.AnswerSelf(h)
		f.answers = append(f.answers, a)
		w.note("request %d is answered by the gateway: %q", f.n, h["Set-Cookie"])
		return
	}
	f.final = final
	for range w.r.IntN(4) {
		line := w.appLine(f)
		a.lines = append(a.lines, line)
		h.Add("Set-Cookie", line)
	}
	a.clears = w.chance(3)
	if a.clears {
		h.Set("Clear-Site-Data", `"cookies"`)
	}
	before := len(f.x.refused)
	w.note("request %d as %q: the app answers %q (final %v, clears %v)", f.n, f.x.slot, a.lines, final, a.clears)
	f.x.Answer(h, !final)
	for _, refused := range f.x.refused[before:] {
		w.counts.Refused++
		w.contested[refused.Name] = true
		w.doubtful[f.x.slot+" "+refused.Name] = true
	}
	w.note("request %d is answered: %q", f.n, h["Set-Cookie"])
	if a.clears {
		w.clearSlot(f)
		if h.Get("Clear-Site-Data") != "" {
			w.fail("Clear-Site-Data gets through: %q", h)
		}
	}
	if final && w.chance(40) && !f.x.blind && !f.passes() {
		f.spec.SetShown(h, "view")
	}
	f.answers = append(f.answers, a)
}

// clearSlot is what Clear-Site-Data does to the cookies of a slot that the request showed. When
// they go depends on the order of answers, so that what is left is not compared.
func (w *diffWorld) clearSlot(f *diffFlight) {
	for _, s := range []*browserStore{w.slots[f.x.slot], &w.raw} {
		if s == nil {
			continue
		}
		for _, c := range s.cookies {
			w.contested[c.name] = true
			w.doubtful[f.x.slot+" "+c.name] = true
			if !slices.Contains(f.shown, c.name+"="+c.value) || len(w.flights) > 1 {
				w.orphaned[c.name] = true // another answer has made a copy since, or may make one
			}
		}
	}
}

func (w *diffWorld) receiveOne() {
	if f := w.pickFlight(func(f *diffFlight) bool { return len(f.answers) > 0 }); f != nil {
		w.receive(f)
	}
}

// receive has the browser get the next answer to a request.
func (w *diffWorld) receive(f *diffFlight) {
	a := f.answers[0]
	f.answers = f.answers[1:]
	done := f.final && len(f.answers) == 0
	if done {
		w.flights = slices.DeleteFunc(w.flights, func(o *diffFlight) bool { return o == f })
	}
	if a.informational && w.chance(50) && len(a.lines) > 0 {
		w.note("the browser ignores the informational answer to %d", f.n)
		for _, line := range a.lines {
			if c, ok := w.browser.parse(f.browserRequest, line, false); ok {
				w.contested[c.name] = true
				w.doubtful[a.slot+" "+c.name] = true
			}
		}
		return
	}
	w.note("the browser gets the answer to %d", f.n)
	before := slices.Clone(w.browser.cookies)
	touched := w.applyRaw(f, a)
	clear(w.evicted)
	for _, line := range a.header["Set-Cookie"] {
		w.crossed = w.crossed || a.at < w.turned && strings.Contains(line, "_scripted=")
		w.browser.set(f.browserRequest, line)
	}
	w.noteUncopied(f, touched)
	w.noteStale(f, a, before, touched)
	w.checkAdopted(f)
	w.checkForeign(f, a, before, touched)
	if !a.informational {
		w.checkOwn(f)
	}
	if a.forwarded && !a.informational {
		scope := w.scope(f.host)
		if f.counted() && (!f.crossSite || f.topLevel) {
			scope.answered[f.user] = true
			if scope.marked == 0 {
				scope.marked = w.seq
			}
		}
		if f.pageKind {
			w.pages = append(w.pages, &diffPage{browserRequest{https: f.https, host: f.host, path: f.path}, f.user, f.x.slot, !f.counted(), w.seq})
			w.pages = w.pages[max(0, len(w.pages)-6):]
		}
	}
}

// applyRaw does to the model what an app has written, and returns which cookies it has touched.
func (w *diffWorld) applyRaw(f *diffFlight, a diffAnswer) map[browserKey]bool {
	touched := map[browserKey]bool{}
	for _, line := range a.lines {
		c, ok := w.browser.parse(f.browserRequest, line, false)
		if !ok {
			if !c.expires.IsZero() && !c.expires.After(w.now) {
				// The gateway deletes what the app wants gone although a browser would miss an
				// attribute.
				w.contested[c.name], w.doubtful[a.slot+" "+c.name] = true, true
			}
			continue
		}
		touched[c.key()] = true
		if cookie.Reserved(c.name) {
			continue
		}
		if len(c.name) > 0 && w.foreignTouched(c.name) {
			w.contested[c.name] = true
		}
		w.appNames[c.name], w.appKeys[c.key()] = true, true
		if !c.hostOnly && !origin.Within(c.domain, w.scopeName(f.host)) {
			w.wide[c.name] = true
		}
		w.raw.set(f.browserRequest, line)
		if slices.ContainsFunc(w.raw.cookies, func(o browserCookie) bool { return o.name == c.name && o.httpOnly != c.httpOnly }) {
			w.contested[c.name] = true // what scripts write counts as nothing where the app has set the name with HttpOnly
		}
		if a.slot == "" || f.passes() {
			w.contested[c.name] = true
			continue
		}
		w.slot(a.slot).set(f.browserRequest, line)
		if !slices.ContainsFunc(w.flights, func(o *diffFlight) bool { return len(o.answered) < 2 && o != f }) {
			w.set[slotKey{a.slot, c.key()}] = w.seq
		}
	}
	return touched
}

// noteUncopied finds what an answer has set without a copy for scripts. What scripts make of a copy
// that comes later is not believed. Where the request did not show the value before either, its
// copy stays and is not known as one.
func (w *diffWorld) noteUncopied(f *diffFlight, touched map[browserKey]bool) {
	for key := range touched {
		i, at := w.raw.find(key), w.browser.find(key)
		if i < 0 || w.raw.cookies[i].httpOnly {
			if at >= 0 && !strings.Contains(f.slots[f.x.slot], key.name+"=") {
				// The cookie was set for scripts to read, which the request did not show, and now
				// it is gone or HttpOnly.
				w.contested[key.name], w.orphaned[key.name] = true, true
			}
			continue
		}
		if at >= 0 && w.browser.cookies[at].value == w.raw.cookies[i].value {
			continue
		}
		w.contested[key.name] = true
		if at >= 0 && !strings.Contains(f.slots[f.x.slot], w.browser.cookies[at].value) {
			w.orphaned[key.name] = true
		}
	}
}

// noteStale finds copies that an answer has made of what the slot has no longer, because another
// answer has replaced or removed it meanwhile.
func (w *diffWorld) noteStale(f *diffFlight, a diffAnswer, before []browserCookie, touched map[browserKey]bool) {
	for _, line := range a.header["Set-Cookie"] {
		c, ok := w.browser.parse(f.browserRequest, line, false)
		if _, name, slotted := cookie.ParseSlotName(c.name); slotted && c.value == "" {
			// A slot's cookie goes. Where the request did not show its copy, another answer has
			// made it since.
			for _, o := range before {
				if o.name == name && !slices.Contains(f.shown, o.name+"="+o.value) {
					w.orphaned[name], w.contested[name] = true, true
				}
			}
			continue
		}
		if f.unsigned() {
			w.contested[c.name] = true // nothing says that the browser has withheld a copy
		}
		if !ok || touched[c.key()] || cookie.Reserved(c.name) || w.writerOf(c.value) == nil || w.slots[a.slot] == nil {
			continue
		}
		s := w.slots[a.slot]
		if i := s.find(c.key()); i < 0 || s.cookies[i].value != c.value {
			w.contested[c.name], w.orphaned[c.name] = true, true
		}
	}
}

// foreignTouched reports whether a plain cookie of a name is there that no app has made.
func (w *diffWorld) foreignTouched(name string) bool {
	return slices.ContainsFunc(w.raw.cookies, func(c browserCookie) bool {
		o := w.writerOf(c.value)
		return c.name == name && o != nil && o.kind == byForeign
	})
}

// checkAdopted finds what slots have kept of scripts' changes, and sees to it that these were made
// while the slot's account had the browser alone.
func (w *diffWorld) checkAdopted(f *diffFlight) {
	fail := w.fail
	if w.lost {
		fail = w.note
	}
	for i := range w.browser.cookies {
		c := &w.browser.cookies[i]
		tag, name, ok := cookie.ParseSlotName(c.name)
		if !ok {
			continue
		}
		var kept stored
		ok = kept.decode(c.value)
		token := tokenPattern.FindString(kept.value)
		o := w.writers[token]
		if !ok || o == nil || o.kind == byApp && !o.outside || w.adopted[token] {
			continue
		}
		if w.options.scripted(name) {
			if o.kind == byScript && o.user != w.owners[tag] && !w.crossed {
				fail("the answer to request %d keeps %s=%s of %q in the slot %q", f.n, name, c.value, o.user, tag)
			}
			continue
		}
		w.adopted[token] = true
		if !o.foreignTo(w.scopeName(f.host)) && o.user != w.owners[tag] || o.shared[w.scopeName(f.host)] {
			fail("the answer to request %d keeps %s=%s of %q in the slot %q", f.n, name, c.value, o.user, tag)
		}
	}
}

// checkForeign sees to it that an answer has changed no cookie that the gateway has not set.
func (w *diffWorld) checkForeign(f *diffFlight, a diffAnswer, before []browserCookie, touched map[browserKey]bool) {
	for _, c := range before {
		token := tokenPattern.FindString(c.value)
		o := w.writers[token]
		if o == nil || o.kind == byApp && !o.outside || w.adopted[token] || touched[c.key()] || w.evicted[c.key()] || cookie.Reserved(c.name) {
			continue
		}
		if w.options.scripted(c.name) && c.path == "/" && c.hostOnly {
			continue
		}
		if !c.expires.IsZero() && !c.expires.After(w.now) {
			continue
		}
		if w.appKeys[c.key()] && (o.at >= f.sent || a.clears || f.unsigned()) {
			continue // it was written over a copy while the request was under way, or goes with the app's own
		}
		w.counts.Foreign++
		i := w.browser.find(c.key())
		if i < 0 {
			w.fail("the answer to request %d takes %+v of another", f.n, c)
		}
		now := w.browser.cookies[i]
		now.used = c.used
		if now != c {
			w.fail("the answer to request %d changes %+v of another to %+v", f.n, c, now)
		}
	}
}

// checkOwn sees to it that the gateway's own cookies stay few.
func (w *diffWorld) checkOwn(f *diffFlight) {
	own := 0
	for _, c := range w.browser.shown(browserRequest{https: w.https, host: f.host, path: f.path}) {
		if cookie.Reserved(c.name) && !cookie.Slotted(c.name) {
			own++
		}
	}
	if own > 8 {
		w.fail("%d cookies of the gateway's own at %s", own, f.host)
	}
}

// evict mirrors what a browser drops to make room.
func (w *diffWorld) evict(c browserCookie) {
	w.counts.Evicted++
	clear(w.tokens)
	w.evicted[c.key()] = true
	w.note("evicted: %s=%s", c.name, c.value)
	key := c.key()
	if tag, name, ok := cookie.ParseSlotName(c.name); ok {
		key.name = name
		if s := w.slots[tag]; s != nil {
			s.remove(key)
		}
		w.contested[name], w.orphaned[name] = true, true
		if len(w.flights) > 0 {
			w.doubtful[tag+" "+name] = true // an answer may bring it back
		}
		return
	}
	if cookie.Reserved(c.name) {
		w.lost = true
		return
	}
	w.contested[c.name] = true
	w.touch(c.name)
}

// touch notes that somebody else than an app has written a name.
func (w *diffWorld) touch(name string) { w.written[name] = w.seq }

// soft are the cookies of a slot that may have been changed since the app set them.
func (w *diffWorld) soft(tag string) []string {
	var names []string
	for _, c := range w.slots[tag].cookies {
		if at, ok := w.written[c.name]; ok && at >= w.set[slotKey{tag, c.key()}] {
			names = append(names, c.name)
		}
	}
	return names
}

// slotKey is a cookie of a slot.
type slotKey struct {
	slot string
	browserKey
}

// touchUnlessShared is touch, unless all hosts are shared for sure.
func (w *diffWorld) touchUnlessShared(name string) {
	for _, host := range w.hosts {
		if s := w.scope(host); !s.shared() && len(s.slots) > 0 {
			w.touch(name)
			return
		}
	}
	for _, f := range w.flights {
		if len(f.answered) < 2 {
			w.touch(name)
			return
		}
	}
}

var diffScriptNames = []string{"s0", "s1", "s é", "", "h0", "r0", "m0", "a b", "lang1"}

// runScript has a script of an open page write a cookie.
func (w *diffWorld) runScript() {
	if len(w.pages) == 0 {
		return
	}
	page := pick(w, w.pages)
	writer := diffWriter{kind: byScript, user: page.user, uncounted: page.uncounted, scope: w.scopeName(page.host)}
	readable := w.browser.document(page.browserRequest)
	var line string
	switch {
	case w.chance(12):
		if w.scriptedAllowed(page) {
			w.writeScripted(page)
		}
		return
	case len(readable) > 0 && w.chance(70):
		c := pick(w, readable)
		line = w.rewrite(c, writer)
		if i := w.raw.find(c.key()); i < 0 || w.writerOf(w.raw.cookies[i].value) == nil || w.writerOf(c.value) == nil || w.writerOf(w.raw.cookies[i].value) != w.writerOf(c.value) {
			w.contested[c.name] = true
		}
	default:
		name := pick(w, diffScriptNames)
		if w.appNames[name] || w.foreignTouched(name) || name == "" || slices.Contains(diffAppNames, name) {
			w.contested[name] = true
		}
		value := w.value(writer)
		if name == "" {
			value = w.token(writer)
		}
		line = name + "=" + value + pick(w, cookiePaths)
		if w.chance(15) {
			line += "; Domain=" + siteOf(page.host)
		}
		if w.chance(10) {
			line += fmt.Sprintf("; Max-Age=%d", w.r.IntN(100000))
		}
	}
	if line == "" {
		return
	}
	if name, _, _ := strings.Cut(line, "="); w.options.scripted(name) {
		return // only writeScripted makes these
	}
	w.note("a script of %s%s (%q) writes %s", page.host, page.path, page.slot, line)
	w.scriptLine(page.browserRequest, line)
}

// scriptedAllowed reports whether a page may write what Options.Scripted names: it is the active
// account's, and was shown since the last switch.
func (w *diffWorld) scriptedAllowed(page *diffPage) bool {
	return !page.uncounted && page.at > w.turned && w.visit(w.tokenAt(page.host), page.host).slot == strings.Replace(page.slot, cookie.Anonymous, "", max(0, 2-len(page.slot)))
}

func (w *diffWorld) scriptLine(page browserRequest, line string) {
	name, _, _ := strings.Cut(line, "=")
	w.touchUnlessShared(name)
	clear(w.evicted)
	w.byScripts[name] = true
	if w.scope(page.host).marked == 0 {
		w.contested[name] = true // what is there before the first answer is held back
	}
	if c, ok := w.browser.parse(page, line, true); ok && !c.hostOnly && !origin.Within(c.domain, w.scopeName(page.host)) {
		w.contested[c.name] = true // other jars may have it in use
	}
	w.raw.script(page, line)
	w.browser.script(page, line)
}

// rewrite is what a script writes to change or delete a cookie.
func (w *diffWorld) rewrite(c browserCookie, writer diffWriter) string {
	line := c.name + "="
	gone := w.chance(30)
	switch {
	case gone && w.chance(50):
	case !gone && w.chance(10) && c.expires.IsZero() && c.hostOnly && w.writerOf(c.value) != nil && w.writerOf(c.value).user == writer.user:
		line += c.value           // the same again
		w.orphaned[c.name] = true // by now it is the script's
	case c.name == "":
		line += w.token(writer)
	default:
		line += w.value(writer)
	}
	line += "; Path=" + c.path
	if !c.hostOnly {
		line += "; Domain=" + c.domain
	}
	if c.secure {
		line += "; Secure"
	}
	if c.partition != "" {
		line += "; Partitioned"
	}
	switch {
	case gone:
		line += "; Max-Age=0"
		if !c.hostOnly {
			w.contested[c.name] = true
		}
	case w.chance(10):
		line += fmt.Sprintf("; Max-Age=%d", 1+w.r.IntN(10000))
		w.contested[c.name] = true
	case !c.expires.IsZero():
		w.contested[c.name] = true
	}
	return line
}

var diffForeignNames = []string{"f0", "f1", "f2", "f é", "r0", "h0", "s0", "m0", "lang1", "__Secure-f"}

// runForeign has another service set a cookie: one on another port of the host, a proxy in front,
// or one of a parent domain.
func (w *diffWorld) runForeign() {
	r := browserRequest{https: w.https, host: pick(w, w.hosts), path: pick(w, diffPaths)}
	if w.chance(20) {
		r.https = !r.https
	}
	if w.chance(30) {
		r.host = siteOf(r.host)
	}
	name := pick(w, diffForeignNames)
	if w.chance(60) {
		name = fmt.Sprintf("f%d", w.r.IntN(3))
	}
	line := name + "=" + w.value(diffWriter{kind: byForeign}) + pick(w, cookiePaths)
	if w.chance(40) {
		line += "; Domain=" + siteOf(r.host)
	}
	if w.chance(30) {
		line += "; HttpOnly"
	}
	if w.chance(30) {
		line += "; Secure"
	}
	if w.chance(20) {
		line += "; Max-Age=0"
	} else if w.chance(30) {
		line += fmt.Sprintf("; Max-Age=%d", 1+w.r.IntN(1000000))
	}
	if w.appNames[name] || slices.Contains(diffAppNames, name) || slices.Contains(diffScriptNames, name) {
		w.contested[name] = true
	}
	w.note("another service at %s%s sets %s", r.host, r.path, line)
	w.touchUnlessShared(name)
	clear(w.evicted)
	w.raw.set(r, line)
	w.browser.set(r, line)
}

// flood has another service set so many cookies that the browser drops some.
func (w *diffWorld) flood() {
	if !w.chance(20) {
		return
	}
	r := browserRequest{https: w.https, host: pick(w, w.hosts), path: "/"}
	w.note("another service at %s sets many cookies", r.host)
	clear(w.evicted)
	for i := range 100 + w.r.IntN(100) {
		line := fmt.Sprintf("flood%d=%s; Path=/flood", i, w.token(diffWriter{kind: byForeign}))
		w.raw.set(r, line)
		w.browser.set(r, line)
	}
}

// fetch has a request go all its way.
func (w *diffWorld) fetch() {
	f := w.send()
	if f == nil {
		return
	}
	before := w.slotBytes(f)
	w.arrive(f)
	w.answer(f, true)
	w.receive(f)
	if now := w.slotBytes(f); len(w.flights) == 0 && now > max(before, w.options.maxBytes()) {
		w.fail("after request %d slots take %d bytes", f.n, now)
	}
}

// slotBytes is how much room slots' cookies take in a request.
func (w *diffWorld) slotBytes(f *diffFlight) (n int) {
	for _, c := range w.browser.shown(f.browserRequest) {
		if cookie.Slotted(c.name) {
			n += len(c.name) + len(c.value) + len("=; ")
		}
	}
	return n
}

// quiet has the active account ask for one page twice, and looks at what its scripts read.
func (w *diffWorld) quiet() {
	if len(w.flights) > 0 {
		for len(w.flights) > 0 {
			f := w.flights[0]
			if !f.arrived {
				w.arrive(f)
			}
			if !f.final {
				w.answer(f, true)
			}
			for len(f.answers) > 0 {
				w.receive(f)
			}
		}
	}
	host, path := pick(w, w.hosts), pick(w, diffPaths)
	var f *diffFlight
	for range 2 {
		f = &diffFlight{browserRequest: browserRequest{https: w.https, host: host, path: path, safe: true}}
		h := http.Header{}
		if !w.oldBrowser && f.trusted() {
			h.Set("Sec-Fetch-Site", "same-origin")
			h.Set("Sec-Fetch-Mode", "navigate")
			h.Set("Sec-Fetch-Dest", "document")
		}
		f.pageKind = true
		w.launch(f, h)
		w.arrive(f)
		if !f.forwarded || f.x.request.Accounts == nil || f.passes() {
			w.answer(f, true)
			w.receiveAll(f)
			return
		}
		f.final = true
		answered := http.Header{}
		f.x.Answer(answered, false)
		w.note("request %d is answered: %q", f.n, answered["Set-Cookie"])
		f.answers = append(f.answers, diffAnswer{header: answered, slot: f.x.slot, forwarded: true, at: w.seq})
		w.receive(f)
	}
	w.checkDocument(f)
	w.checkScripted(f)
	if page := w.pages[len(w.pages)-1]; w.chance(60) && w.scriptedAllowed(page) {
		w.writeScripted(page)
	}
}

// writeScripted has a script of a page write the cookie that Options.Scripted names.
func (w *diffWorld) writeScripted(page *diffPage) {
	value := ""
	line := w.options.Scripted[0] + "=; Path=/; Max-Age=0"
	if w.chance(85) {
		value = w.value(diffWriter{kind: byScript, user: page.user, uncounted: page.uncounted, scope: w.scopeName(page.host)})
		line = w.options.Scripted[0] + "=" + value + "; Path=/"
	}
	if len(value) > storeMaxPair-100 {
		return // it does not fit with its slot's name, and is lost at the switch
	}
	w.tokens[page.host+" "+page.slot] = value
	if len(w.flights) > 0 {
		delete(w.tokens, page.host+" "+page.slot) // an answer may be on its way that knows another
	}
	w.note("a script of %s%s (%q) writes %s", page.host, page.path, page.slot, line)
	w.scriptLine(page.browserRequest, line)
}

// checkScripted compares what an app sees of scripted cookies with what scripts of its account's
// pages have made.
func (w *diffWorld) checkScripted(f *diffFlight) {
	want, known := w.tokens[f.host+" "+f.x.slot]
	if !known || w.crossed || f.x.blind || f.x.slot == cookie.Anonymous {
		return
	}
	w.counts.Scripted++
	got := ""
	for _, pair := range splitPairs(f.header.Get("Cookie")) {
		if cookieName(pair) == w.options.Scripted[0] {
			got = strings.TrimPrefix(pair, w.options.Scripted[0]+"=")
		}
	}
	if got != want {
		w.fail("request %d: as %q the app sees the scripted cookie %q, want %q", f.n, f.x.slot, got, want)
	}
}

func (w *diffWorld) receiveAll(f *diffFlight) {
	for len(f.answers) > 0 {
		w.receive(f)
	}
}

// checkDocument compares what scripts read with what apps have set for them to read.
func (w *diffWorld) checkDocument(f *diffFlight) {
	if f.x.uncounted() && !f.x.alone && !w.scope(f.host).shared() {
		return // an account has the browser alone: copies stay as they are
	}
	w.counts.Quiet++
	read := w.browser.document(f.browserRequest)
	for _, c := range read {
		o := w.writerOf(c.value)
		if o != nil && o.kind == byApp && !o.outside && !w.orphaned[c.name] && !(f.x.alone && o.user == "") && o.user != f.user && o.scope == w.scopeName(f.host) && !w.options.excepted(c.name) && !w.doubtful[f.x.slot+" "+c.name] {
			w.fail("request %d: scripts of %q read %s=%s of %q", f.n, f.x.slot, c.name, c.value, o.user)
		}
	}
	if f.x.blind || w.lost || w.slots[f.x.slot] == nil {
		return
	}
	for _, c := range w.slot(f.x.slot).document(f.browserRequest) {
		if c.name == "" || w.orphaned[c.name] || w.skips(f, c.name+"=") || w.inTheWay(f, c) {
			continue
		}
		if !slices.ContainsFunc(read, func(o browserCookie) bool { return o.name == c.name && o.value == c.value }) {
			w.fail("request %d: scripts of %q read %q, without %s=%s", f.n, f.x.slot, written(read), c.name, c.value)
		}
	}
}

// inTheWay reports whether a plain cookie of the name is there that this scope's apps have not set.
func (w *diffWorld) inTheWay(f *diffFlight, c browserCookie) bool {
	return slices.ContainsFunc(w.browser.cookies, func(o browserCookie) bool {
		if o.name != c.name {
			return false
		}
		writer := w.writerOf(o.value)
		return writer == nil || writer.kind != byApp || writer.outside || writer.scope != w.scopeName(f.host)
	})
}

// fetchAsRobot has a client that is no browser ask for what the gate leaves out.
func (w *diffWorld) fetchAsRobot() {
	r := browserRequest{https: w.https, host: w.hosts[0], path: "/open/x", safe: true}
	h := http.Header{}
	if shown := w.robot.request(r); shown != nil {
		h.Set("Cookie", strings.Join(shown, "; "))
	}
	spec := w.spec(r.host)
	cookies := spec.Parse(h)
	f := &diffFlight{browserRequest: r, n: w.seq}
	w.options.Read(&f.x, h, Request{Spec: spec, Cookies: &cookies, Host: r.host, Path: r.path, Accounts: w.visit("", r.host), LeftOut: true, Now: w.now})
	f.x.SetRequest(h)
	if got, want := h.Get("Cookie"), strings.Join(written(w.robots.shown(r)), "; "); got != want {
		w.fail("of a client that is no browser the app sees %q, want %q", got, want)
	}
	answered := http.Header{}
	for range 3 {
		line := w.appLine(f)
		w.robots.set(r, line)
		answered.Add("Set-Cookie", line)
	}
	f.x.Answer(answered, false)
	for _, line := range answered["Set-Cookie"] {
		w.robot.set(r, line)
	}
	w.counts.Robots++
}
