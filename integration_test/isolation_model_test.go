package integration

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
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
	usualStories  = 60
	stepsOfAStory = 40
)

// step is one of a story. What it does follows from its numbers and from where the story is by
// then.
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

// lateAnswer is a request that the app has not answered yet.
type lateAnswer struct {
	*pending
	session string
	user    string
	shown   []storedCookie // of the model
}

// teller tells one story of a browser with the gateway. The model of what apps see is separate
// browsers without scripts, one for each session and one for nobody. Two accounts are used before
// anything else happens: until then apps see what scripts write, which package isolation tests.
type teller struct {
	ctx     context.Context
	browser profile
	model   map[string]*cookieStore // by session; "" is nobody's
	written map[string]bool         // names of plain cookies that are no copies any more

	users  map[string]string // of the live sessions, by handle
	active string            // handle, or ""
	late   []*lateAnswer
	value  int
	trace  []string
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

// sees compares what the app has seen with the model.
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

// visit makes a request that is answered at once. Scripts of the page then read the copies of what
// the app has set.
func (s *teller) visit(at pageAddress, answer order) error {
	s.note("as %q: %s%s is answered with %q, clear %t", s.users[s.active], at.host, at.path, answer.Set, answer.Clear)
	seen, err := s.browser.ask(s.ctx, at, nil, answer)
	if err != nil {
		return err
	}
	if err := s.sees(at, s.active, seen); err != nil {
		return err
	}
	s.apply(at, s.active, answer, s.of(s.active).shown(at.host, at.path))
	if s.active == "" {
		return nil // whether somebody has signed in since is not known, so copies may be left to the next answer
	}
	read := s.browser.readable(at.host, at.path)
	for _, c := range s.of(s.active).readable(at.host, at.path) {
		copied := slices.ContainsFunc(read, func(o storedCookie) bool { return o.name == c.name && o.value == c.value })
		if !copied && !s.written[c.name] {
			return fmt.Errorf("scripts of %s%s read %q, and not %s=%s", at.host, at.path, cookieField(read), c.name, c.value)
		}
	}
	return nil
}

// apply does to the model what the app has said. To clear cookies is to clear those that the
// request has shown: of others the gateway does not know.
func (s *teller) apply(at pageAddress, session string, answer order, shown []storedCookie) {
	own := s.of(session)
	if answer.Clear {
		own.remove(shown)
	}
	for _, line := range answer.Set {
		c := parseCookie(at.host, at.path, line)
		replaces := func(o storedCookie) bool {
			return o.name == c.name && o.host == c.host && o.domain == c.domain && o.path == c.path
		}
		if i := slices.IndexFunc(own.cookies, replaces); i >= 0 && !slices.Contains(shown, own.cookies[i]) {
			s.written[c.name] = true // the gateway does not know the copy any more
		}
		own.set(at.host, at.path, line)
	}
}

// hold makes a request that the app does not answer yet.
func (s *teller) hold(at pageAddress) error {
	s.note("as %q: %s%s is not answered yet", s.users[s.active], at.host, at.path)
	waiting, err := s.browser.hold(s.ctx, at)
	if err != nil {
		return err
	}
	s.late = append(s.late, &lateAnswer{waiting, s.active, s.users[s.active], s.of(s.active).shown(at.host, at.path)})
	return s.sees(at, s.active, waiting.seen)
}

// release has the app answer a request at last.
func (s *teller) release(i int, answer order) error {
	late := s.late[i]
	s.late = slices.Delete(s.late, i, i+1)
	s.note("late, for %q of then: %s%s is answered with %q, clear %t", late.user, late.at.host, late.at.path, answer.Set, answer.Clear)
	_, live := s.users[late.session]
	if err := late.release(answer); err != nil {
		if live || s.ctx.Err() != nil {
			return err
		}
		return nil // the answer to a session that has ended may break off
	}
	if live {
		s.apply(late.at, late.session, answer, late.shown)
	}
	return nil
}

// live are the handles of the live sessions, in an order that is the same whenever the story is
// told.
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
	for _, n := range numbers[:numbers[7]%4] {
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
		return s.hold(at)
	case 7, 8: // a late answer
		if len(s.late) == 0 {
			return nil
		}
		return s.release(n[2]%len(s.late), s.answer(n))
	case 9, 10: // a script writes a cookie
		s.script(at, n)
		return nil
	default:
		return s.visit(at, s.answer(n))
	}
}

// script has a script of a page write or delete a cookie, under a name of its own or the app's.
func (s *teller) script(at pageAddress, n [8]int) {
	s.value++
	name := []string{"s0", "s1", "r0", "h0", "dr", "dh"}[n[2]%6]
	line := fmt.Sprintf("%s=script%d%s", name, s.value, storyPlaces[n[3]%len(storyPlaces)])
	if n[4]%2 == 0 {
		line += "; Domain=example.com"
	}
	if n[5]%4 == 0 {
		line += "; Max-Age=0"
	}
	s.note("as %q: a script of %s%s writes %q", s.users[s.active], at.host, at.path, line)
	s.written[name] = true
	s.browser.script(at.host, at.path, line)
}

func (s *teller) signIn(host, user string) error {
	s.note("sign in as %s at %s", user, host)
	var answer struct{ Token string }
	err := s.browser.portal(s.ctx, http.MethodPost, host, "/sign-in/username", object{"username": user, "password": password(user)}, &answer)
	if err != nil {
		return err
	}
	for handle, of := range s.users {
		if of == user {
			delete(s.users, handle) // its session is replaced
		}
	}
	s.users[answer.Token] = user
	s.active = answer.Token
	for _, host := range storyHosts {
		if err := s.browser.confirm(s.ctx, host, answer.Token); err != nil {
			return err
		}
	}
	return nil
}

func (s *teller) switchTo(host, handle string) error {
	s.note("switch to %s at %s", s.users[handle], host)
	var answer any
	err := s.browser.portal(s.ctx, http.MethodPost, host, "/multi-session/set-active", object{"sessionToken": handle}, &answer)
	if err != nil {
		return err
	}
	s.active = handle
	return nil
}

func (s *teller) signOut(host string) error {
	s.note("sign out at %s", host)
	var answer any
	if err := s.browser.portal(s.ctx, http.MethodPost, host, "/sign-out", object{}, &answer); err != nil {
		return err
	}
	s.users = map[string]string{"": ""}
	s.active = ""
	return nil
}

func (s *teller) revoke(host, handle string) error {
	if s.active == "" {
		return nil // the API wants somebody who is signed in
	}
	s.note("revoke %s at %s", s.users[handle], host)
	var answer any
	err := s.browser.portal(s.ctx, http.MethodPost, host, "/multi-session/revoke", object{"sessionToken": handle}, &answer)
	if err != nil {
		return err
	}
	delete(s.users, handle)
	if handle != s.active {
		return nil
	}
	var now *struct{ Session struct{ Token string } }
	if err := s.browser.portal(s.ctx, http.MethodGet, host, "/get-session", nil, &now); err != nil {
		return err
	}
	s.active = ""
	if now != nil {
		s.active = now.Session.Token
	}
	if _, ok := s.users[s.active]; !ok || s.active == "" && len(s.users) > 1 {
		return fmt.Errorf("of %q the gateway has made %q active", s.users, s.active)
	}
	return nil
}

// tell tells a story, and returns what went how until something went wrong.
func tell(ctx context.Context, browser profile, story []step) (trace []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s := &teller{ctx: ctx, browser: browser, model: map[string]*cookieStore{}, users: map[string]string{"": ""}, written: map[string]bool{}}
	defer func() {
		cancel()
		for _, late := range s.late {
			<-late.done
		}
	}()
	for _, user := range storyUsers[:2] {
		if err := s.signIn(storyHosts[0], user); err != nil {
			return s.trace, err
		}
		if err := s.visit(pageAddress{storyHosts[0], "/"}, order{}); err != nil {
			return s.trace, err
		}
	}
	for _, step := range story {
		if err := s.take(step); err != nil {
			return s.trace, err
		}
	}
	return s.trace, nil
}

// TestIsolationStories tells random stories of sign-ins, switches, revocations, cookies that the
// app sets and takes away, cookies that scripts write, and answers that come late, at two hosts of
// a cookie domain.
func TestIsolationStories(t *testing.T) {
	app, upstream := newRecorder(t)
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
`, userOptions, port(address), upstream))
	client := newProfileClient(t)
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
	var told sync.WaitGroup
	next := make(chan uint64)
	for range 4 {
		told.Go(func() {
			for seed := range next {
				trace, err := tell(t.Context(), profile{app: app, client: client, port: port(address)}, newStory(seed))
				if err != nil {
					t.Errorf("-story %d: %v\n%s", seed, err, strings.Join(trace, "\n"))
				}
			}
		})
	}
	for _, seed := range seeds {
		next <- seed
	}
	close(next)
	told.Wait()
}
