package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The stories of TestIsolationStories. Those that failed are told again by their seeds.
var (
	storySeeds = flag.String("story", "", "the seeds of the stories that are told, with commas between them")
	stories    = flag.Int("stories", 0, "how many stories are told that were not told before, instead of the usual")
)

const (
	usualStories  = 150
	stepsOfAStory = 40
)

// settled is longer than the gateway takes an answer for one that crossed the request before it.
const settled = 2100 * time.Millisecond

// recorder is an app that answers as the request asks it to, and says which cookies it has really seen.
type recorder struct {
	mu   sync.Mutex
	held map[string]*heldRequest
}

// recorded is what the recorder has seen of a request.
type recorded struct{ User, Cookie string }

// order is what the recorder is asked to answer.
type order struct {
	Set   []string
	Clear bool // of the cookies, by Clear-Site-Data
}

// heldRequest is one that the recorder answers when it is told to.
type heldRequest struct {
	arrived chan recorded
	answer  chan order
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := recorded{r.Header.Get("Remote-User"), strings.Join(r.Header["Cookie"], "; ")}
	var answer order
	if name := r.Header.Get("X-Hold"); name != "" {
		rec.mu.Lock()
		held := rec.held[name]
		rec.mu.Unlock()
		held.arrived <- seen
		select {
		case answer = <-held.answer:
		case <-r.Context().Done():
			return
		}
	} else if err := json.Unmarshal([]byte(r.Header.Get("X-Answer")), &answer); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, line := range answer.Set {
		w.Header().Add("Set-Cookie", line)
	}
	if answer.Clear {
		w.Header().Set("Clear-Site-Data", `"cookies"`)
	}
	_ = json.NewEncoder(w).Encode(seen)
}

// step is one of a story. What it does follows from its numbers and from where the story is by then.
type step struct {
	kind    int
	numbers [8]int
}

func newStory(seed uint64) []step {
	r := rand.New(rand.NewPCG(seed, 2))
	story := make([]step, stepsOfAStory)
	for i := range story {
		story[i].kind = r.IntN(16)
		for j := range story[i].numbers {
			story[i].numbers[j] = r.IntN(1 << 20)
		}
	}
	return story
}

// address is where a page is.
type pageAddress struct{ host, path string }

// shownPage is a page in a tab.
type shownPage struct {
	pageAddress
	turn int // of the story when it was loaded
}

// lateAnswer is a request that the app has not answered yet.
type lateAnswer struct {
	pageAddress
	session string
	user    string
	shown   []storedCookie // of the model
	signIns int            // how many there had been
	held    *heldRequest
	done    chan error
	set     []string // what the browser is told in the end
}

// teller tells one story: what a browser with the gateway shows the app and its scripts is what separate
// browsers would, one for each session and one for nobody.
type teller struct {
	ctx     context.Context
	app     *recorder
	client  *http.Client
	port    string
	browser cookieStore
	model   map[string]*cookieStore // by session; "" is nobody's

	users    map[string]string // of the live sessions, by handle
	active   string            // handle, or ""
	turn     int               // counts the changes of the active session
	signIns  int
	tabs     [3]*shownPage
	late     []*lateAnswer
	value    int
	trace    []string
	requests int
}

func (s *teller) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%2d. ", len(s.trace)+1)+fmt.Sprintf(format, args...))
}

func (s *teller) of(session string) *cookieStore {
	if s.model[session] == nil {
		s.model[session] = new(cookieStore)
	}
	return s.model[session]
}

func (s *teller) activate(handle string) {
	if handle != s.active {
		s.active = handle
		s.turn++
	}
}

// send sends a request with the browser's cookies, and returns the answer with what it tells the browser.
func (s *teller) send(ctx context.Context, method string, at pageAddress, header http.Header, body any) (answer *http.Response, data []byte, err error) {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, nil, err
		}
		reader = bytes.NewReader(encoded)
	}
	origin := "http://" + at.host + ":" + s.port
	request, err := http.NewRequestWithContext(ctx, method, origin+at.path, reader)
	if err != nil {
		return nil, nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	request.Header.Set("Sec-Fetch-Mode", "cors")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Origin", origin)
	}
	if field := cookieField(s.browser.shown(at.host, at.path)); field != "" {
		request.Header.Set("Cookie", field)
	}
	answer, err = s.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	data, err = io.ReadAll(answer.Body)
	return answer, data, err
}

// portal calls the gateway's API from a page.
func (s *teller) portal(method, host, path string, body, into any) error {
	at := pageAddress{host, "/.auth" + path}
	answer, data, err := s.send(s.ctx, method, at, nil, body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, answer.Status, data)
	}
	for _, line := range answer.Header["Set-Cookie"] {
		s.browser.set(at.host, at.path, line)
	}
	return json.Unmarshal(data, into)
}

// sees holds what the app has seen against the model.
func (s *teller) sees(at pageAddress, session string, seen recorded) error {
	want := cookieField(s.of(session).shown(at.host, at.path))
	switch {
	case seen.User != s.users[session]:
		return fmt.Errorf("the app is told that it is %q, want %q", seen.User, s.users[session])
	case byName(seen.Cookie) != byName(want):
		return fmt.Errorf("the app sees %q, want %q\nof %q", seen.Cookie, want, cookieField(s.browser.shown(at.host, at.path)))
	}
	return nil
}

// settle returns when the gateway takes no request any more for one that was on its way before the last answer.
// That is for time alone to say. A story that is over does not wait.
func (s *teller) settle() error {
	select {
	case <-time.After(settled):
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// visit makes a request that is answered at once.
func (s *teller) visit(at pageAddress, answer order) error {
	s.note("as %q: %s%s is answered with %q, clear %t", s.users[s.active], at.host, at.path, answer.Set, answer.Clear)
	if answer.Clear {
		// What the app has set in places that no request has shown since is sorted out first.
		if err := s.settle(); err != nil {
			return err
		}
	}
	asked, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	got, data, err := s.send(s.ctx, http.MethodGet, at, http.Header{"X-Answer": {string(asked)}}, nil)
	if err != nil {
		return err
	}
	var seen recorded
	if err := json.Unmarshal(data, &seen); err != nil {
		return fmt.Errorf("%s: %s", got.Status, data)
	}
	if err := s.sees(at, s.active, seen); err != nil {
		return err
	}
	s.finish(at, s.active, answer, s.of(s.active).shown(at.host, at.path), got.Header["Set-Cookie"])
	return nil
}

// finish has the browser do what an answer says, and the model what the app has said. To clear cookies is to
// clear those that the request has shown: of others the gateway does not know.
func (s *teller) finish(at pageAddress, session string, answer order, shown []storedCookie, told []string) {
	for _, line := range told {
		s.browser.set(at.host, at.path, line)
	}
	own := s.of(session)
	if answer.Clear {
		own.remove(shown)
	}
	for _, line := range answer.Set {
		own.set(at.host, at.path, line)
	}
}

// hold makes a request that the app does not answer yet.
func (s *teller) hold(at pageAddress) error {
	s.requests++
	name := fmt.Sprintf("%p-%d", s, s.requests)
	late := &lateAnswer{pageAddress: at, session: s.active, user: s.users[s.active], shown: s.of(s.active).shown(at.host, at.path), signIns: s.signIns, done: make(chan error, 1),
		held: &heldRequest{make(chan recorded, 1), make(chan order, 1)}}
	s.app.mu.Lock()
	s.app.held[name] = late.held
	s.app.mu.Unlock()
	s.note("as %q: %s%s is not answered yet", s.users[s.active], at.host, at.path)
	sent := s.browser // of which the request has the cookies of now
	sent.cookies = slices.Clone(sent.cookies)
	asking := &teller{client: s.client, port: s.port, browser: sent}
	go func() {
		got, _, err := asking.send(s.ctx, http.MethodGet, at, http.Header{"X-Hold": {name}}, nil)
		if err == nil {
			late.set = got.Header["Set-Cookie"]
		}
		late.done <- err
	}()
	select {
	case seen := <-late.held.arrived:
		s.late = append(s.late, late)
		return s.sees(at, s.active, seen)
	case err := <-late.done:
		return fmt.Errorf("the app has not seen the request: %w", err)
	}
}

// release has the app answer a request at last.
func (s *teller) release(i int, answer order) error {
	late := s.late[i]
	s.late = slices.Delete(s.late, i, i+1)
	s.note("late, for %q of then: %s%s is answered with %q, clear %t", late.user, late.host, late.path, answer.Set, answer.Clear)
	late.held.answer <- answer
	_, live := s.users[late.session]
	if err := <-late.done; err != nil && (live || s.ctx.Err() != nil) {
		return err // that to a session that has ended may break off
	}
	s.finish(late.pageAddress, late.session, answer, late.shown, late.set)
	if late.signIns != s.signIns {
		// The jar that the request named has another name by now, or it named none: on doubt the gateway leaves
		// what scripts see to the next request.
		s.turn++
	}
	return s.settle()
}

// scriptsRead holds what scripts see on the pages that were loaded since the last switch against the model.
func (s *teller) scriptsRead() error {
	for i, tab := range s.tabs {
		if tab == nil || tab.turn != s.turn {
			continue
		}
		got, want := cookieField(s.browser.readable(tab.host, tab.path)), cookieField(s.of(s.active).readable(tab.host, tab.path))
		if byName(got) != byName(want) {
			return fmt.Errorf("in tab %d scripts of %s%s read %q, want %q", i, tab.host, tab.path, got, want)
		}
	}
	return nil
}

// live are the handles of the live sessions, in an order that is the same whenever the story is told.
func (s *teller) live() []string {
	handles := []string{}
	for _, user := range storyUsers {
		for handle, of := range s.users {
			if handle != "" && of == user {
				handles = append(handles, handle)
			}
		}
	}
	return handles
}

var (
	storyUsers  = []string{"alice", "bob", "carol"}
	storyHosts  = []string{"a.example.com", "b.example.com"}
	storyPaths  = []string{"/", "/a/page", "/a/b/page"}
	storyPlaces = []string{"", "; Path=/", "; Path=/a", "; Path=/a/b"}
)

// answer is what an app might.
func (s *teller) answer(numbers [8]int) order {
	var answer order
	for _, n := range numbers[:n3(numbers[7])] {
		s.value++
		kind, place := n%5, storyPlaces[n/8%len(storyPlaces)]
		line := fmt.Sprintf("h%d=v%d", n/32%2, s.value)
		switch kind {
		case 1, 2: // scripts may read it
			line = fmt.Sprintf("r%d=v%d", n/32%2, s.value)
		case 3: // of all hosts
			line, place = fmt.Sprintf("dh=v%d", s.value), place+"; Domain=example.com"
		case 4:
			line, place = fmt.Sprintf("dr=v%d", s.value), place+"; Domain=example.com"
		}
		if line += place; kind == 0 || kind == 3 {
			line += "; HttpOnly"
		}
		switch n / 64 % 8 {
		case 0:
			line += "; Max-Age=0"
		case 1:
			line += "; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
		case 2:
			line += "; Max-Age=3600"
		}
		answer.Set = append(answer.Set, line)
	}
	answer.Clear = numbers[7]/4%16 == 0
	return answer
}

func n3(n int) int { return n % 4 }

// take takes a step.
func (s *teller) take(st step) error {
	n := st.numbers
	host := storyHosts[n[0]%len(storyHosts)]
	at := pageAddress{host, storyPaths[n[1]%len(storyPaths)]}
	live := s.live()
	switch st.kind {
	case 0: // sign in, also again
		return s.signIn(host, storyUsers[n[2]%len(storyUsers)])
	case 1, 2, 3: // switch
		if len(live) == 0 {
			return s.signIn(host, storyUsers[n[2]%len(storyUsers)])
		}
		return s.switchTo(host, live[n[2]%len(live)])
	case 4: // revoke, or sign out
		if len(live) == 0 {
			return nil
		}
		if n[3]%4 == 0 {
			return s.signOut(host)
		}
		return s.revoke(host, live[n[2]%len(live)])
	case 5, 6: // a request that is held
		if s.active == "" {
			// Of browsers without a jar it is not known which answer was the later one, so that one which
			// exchanges cookies may undo what the app has set meanwhile: it is to have none to exchange.
			if err := s.visit(at, order{}); err != nil {
				return err
			}
		}
		return s.hold(at)
	case 7, 8: // a late answer
		if len(s.late) == 0 {
			return nil
		}
		return s.release(n[2]%len(s.late), s.answer(n))
	case 9, 10: // a script changes a cookie that it sees
		return s.scriptChanges(s.tabs[n[2]%len(s.tabs)], n)
	default:
		doubtful := s.active == "" && !s.owned(host)
		if err := s.visit(at, s.answer(n)); err != nil {
			return err
		}
		s.tabs[n[2]%len(s.tabs)] = &shownPage{at, s.turn}
		if doubtful {
			s.tabs[n[2]%len(s.tabs)] = nil
		}
		return nil
	}
}

// owned reports whether the browser shows a host whose the cookies are that scripts read there. Where it does not,
// and shows no jar either, the request may be one of another site, so that the gateway leaves them as they are
// until the next. The app sees none of them.
func (s *teller) owned(host string) bool {
	return slices.ContainsFunc(s.browser.shown(host, "/"), func(c storedCookie) bool { return c.name == "multi_session_owner" })
}

func (s *teller) signIn(host, user string) error {
	s.note("sign in as %s at %s", user, host)
	var answer struct{ Token string }
	err := s.portal(http.MethodPost, host, "/sign-in/username", map[string]any{"username": user, "password": password(user)}, &answer)
	if err != nil {
		return err
	}
	for handle, of := range s.users {
		if of == user {
			delete(s.users, handle) // its session is replaced
		}
	}
	s.users[answer.Token] = user
	s.signIns++
	s.activate(answer.Token)
	return s.confirm(answer.Token)
}

// confirm continues at the hosts that do not use a new jar yet.
func (s *teller) confirm(active string) error {
	for _, host := range storyHosts {
		form := url.Values{"action": {"switch"}, "session": {active}}
		request, err := http.NewRequestWithContext(s.ctx, http.MethodPost, "http://"+host+":"+s.port+"/.auth/accounts", strings.NewReader(form.Encode()))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", "http://"+host+":"+s.port)
		request.Header.Set("Cookie", cookieField(s.browser.shown(host, "/.auth/accounts")))
		answer, err := s.client.Transport.RoundTrip(request)
		if err != nil {
			return err
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusSeeOther {
			return fmt.Errorf("continue at %s: %s", host, answer.Status)
		}
		for _, line := range answer.Header["Set-Cookie"] {
			s.browser.set(host, "/.auth/accounts", line)
		}
	}
	return nil
}

func (s *teller) switchTo(host, handle string) error {
	s.note("switch to %s at %s", s.users[handle], host)
	var answer any
	err := s.portal(http.MethodPost, host, "/multi-session/set-active", map[string]any{"sessionToken": handle}, &answer)
	if err != nil {
		return err
	}
	s.activate(handle)
	return nil
}

func (s *teller) signOut(host string) error {
	s.note("sign out at %s", host)
	var answer any
	if err := s.portal(http.MethodPost, host, "/sign-out", map[string]any{}, &answer); err != nil {
		return err
	}
	s.users = map[string]string{"": ""}
	s.activate("")
	return s.settle()
}

func (s *teller) revoke(host, handle string) error {
	if s.active == "" {
		return nil // the API wants somebody who is signed in
	}
	s.note("revoke %s at %s", s.users[handle], host)
	var answer any
	err := s.portal(http.MethodPost, host, "/multi-session/revoke", map[string]any{"sessionToken": handle}, &answer)
	if err != nil {
		return err
	}
	delete(s.users, handle)
	if handle != s.active {
		return nil
	}
	var now *struct{ Session struct{ Token string } }
	if err := s.portal(http.MethodGet, host, "/get-session", nil, &now); err != nil {
		return err
	}
	active := ""
	if now != nil {
		active = now.Session.Token
	}
	if _, ok := s.users[active]; !ok || active == "" && len(s.users) > 1 {
		return fmt.Errorf("of %q the gateway has made %q active", s.users, active)
	}
	s.activate(active)
	return s.settle()
}

// scriptChanges has a script of a page change a cookie that it sees, before a switch or not. The gateway hears
// of it by the next request from there, whoever is active by then: what an app replaces before that is lost.
func (s *teller) scriptChanges(tab *shownPage, n [8]int) error {
	if tab == nil || tab.turn != s.turn {
		return nil
	}
	list := s.of(s.active).readable(tab.host, tab.path)
	if len(list) == 0 {
		return nil
	}
	// What late answers have left in doubt is sorted out first: on doubt a script's change is lost.
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.visit(tab.pageAddress, order{}); err != nil {
		return err
	}
	c := list[n[3]%len(list)]
	s.value++
	line := fmt.Sprintf("%s=s%d; Path=%s", c.name, s.value, c.path)
	if n[4]%4 == 0 {
		line = fmt.Sprintf("%s=; Path=%s; Max-Age=0", c.name, c.path)
	}
	if c.domain {
		line += "; Domain=" + c.host
	}
	s.note("as %q: a script of %s%s writes %q", s.users[s.active], tab.host, tab.path, line)
	s.of(s.active).script(tab.host, tab.path, line)
	s.browser.script(tab.host, tab.path, line)
	if live := s.live(); n[5]%2 == 0 && len(live) > 0 {
		if err := s.switchTo(tab.host, live[n[6]%len(live)]); err != nil {
			return err
		}
	}
	return s.visit(tab.pageAddress, s.answer(n))
}

// tell tells a story, and returns what went how until something went wrong.
func tell(ctx context.Context, app *recorder, client *http.Client, port string, story []step) (trace []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s := &teller{ctx: ctx, app: app, client: client, port: port, model: map[string]*cookieStore{}, users: map[string]string{"": ""}}
	defer func() {
		cancel()
		for _, late := range s.late {
			<-late.done
		}
	}()
	for _, step := range story {
		if err := s.take(step); err != nil {
			return s.trace, err
		}
		if err := s.scriptsRead(); err != nil {
			return s.trace, err
		}
	}
	return s.trace, nil
}

// TestIsolationStories tells random stories of sign-ins, switches, revocations, cookies that the app and its
// scripts set and take away, and answers that come late, at two hosts and in several tabs.
func TestIsolationStories(t *testing.T) {
	app := &recorder{held: map[string]*heldRequest{}}
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	address := freeAddress(t)
	startGateway(t, fmt.Sprintf(`{
	multi_session {
		cookie_domain example.com
		insecure_http
		login password {
			throttle off
			%s
		}
	}
}
http://:%s {
	multi_session {
		optional
	}
	reverse_proxy %s
}
`, userOptions, port(address), server.Listener.Addr()))
	transport := &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	var seeds []uint64
	for text := range strings.FieldsFuncSeq(*storySeeds, func(c rune) bool { return c == ',' }) {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, seed)
	}
	for range *stories {
		seeds = append(seeds, rand.Uint64())
	}
	if len(seeds) == 0 {
		for seed := range uint64(usualStories) {
			seeds = append(seeds, seed)
		}
	}
	// They wait more than they work.
	var mu sync.Mutex
	var told sync.WaitGroup
	for _, seed := range seeds {
		told.Go(func() {
			story := newStory(seed)
			trace, err := tell(t.Context(), app, client, port(address), story)
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			t.Errorf("-story %d: %v\n%s", seed, err, strings.Join(trace, "\n"))
		})
	}
	told.Wait()
}
