package session

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The model is the rules in their plainest form: lists, no tokens, no store, no memory.
type (
	model struct {
		options  Options
		now      time.Time
		gone     map[string]bool
		browsers []*modelJar
	}
	modelJar struct {
		sessions []*modelSession
		active   *modelSession
		pins     map[Site]string // user of each site, of "" for all others; nil where all have active
	}
	modelSession struct {
		user, handle        string
		id, sid, tokens     string
		created, used, ends time.Time
	}
)

func (m *model) alive(s *modelSession) bool {
	idle := m.options.IdleTimeout <= 0 || m.now.Before(s.used.Add(m.options.IdleTimeout))
	return !m.gone[s.user] && m.now.Before(s.ends) && m.now.Before(s.created.Add(m.options.Lifetime)) && idle
}

func (m *model) drop(j *modelJar, gone func(*modelSession) bool) {
	j.sessions = slices.DeleteFunc(j.sessions, gone)
	if !slices.Contains(j.sessions, j.active) {
		j.active = nil
	}
}

// begin is what every change of a jar begins with: the dead are taken out, for good.
func (m *model) begin(j *modelJar) {
	m.drop(j, func(s *modelSession) bool { return !m.alive(s) })
}

func (m *model) find(j *modelJar, handle string) *modelSession {
	for _, s := range j.sessions {
		if s.handle == handle && m.alive(s) {
			return s
		}
	}
	return nil
}

// activeAt is the session that a site's requests are made as, dead or alive.
func (m *model) activeAt(j *modelJar, site Site) *modelSession {
	if j.pins == nil {
		return j.active
	}
	user, own := j.pins[site]
	if !own {
		user = j.pins[""]
	}
	for _, other := range j.pins {
		if site == "" && other != user {
			return nil
		}
	}
	for _, s := range j.sessions {
		if s.user == user {
			return s
		}
	}
	return nil
}

// settle is what a change at a site begins with: what was active everywhere stays so elsewhere.
func (m *model) settle(j *modelJar, site Site) {
	if site == "" || j.pins != nil {
		return
	}
	j.pins = map[Site]string{"": ""}
	if j.active != nil {
		j.pins[""] = j.active.user
	}
	j.active = nil
}

func (m *model) choose(j *modelJar, site Site, s *modelSession) {
	switch {
	case site == "":
		j.active, j.pins = s, nil
	case j.pins == nil: // the jar's first
		j.pins = map[Site]string{"": s.user}
	default:
		j.pins[site] = s.user
	}
}

// names says what a browser should see at a site, in the words of names(Visit).
func (m *model) names(j *modelJar, site Site) string {
	active := m.activeAt(j, site)
	var list []string
	for _, s := range j.sessions {
		if !m.alive(s) {
			continue
		}
		name := s.user
		if s == active {
			name += "*"
		}
		list = append(list, name)
	}
	return strings.Join(list, " ")
}

// full reports whether a sign-in is to be refused.
func (m *model) full(j *modelJar, user string) bool {
	others := 0
	for _, s := range j.sessions {
		if m.alive(s) && s.user != user {
			others++
		}
	}
	return m.options.RejectAtMax && others >= m.options.MaxSessions
}

func (m *model) signIn(j *modelJar, site Site, user string, session *Session) {
	m.begin(j)
	if len(j.sessions) == 0 {
		j.active, j.pins = nil, nil
	} else {
		m.settle(j, site)
	}
	m.drop(j, func(s *modelSession) bool { return s.user == user })
	for len(j.sessions) >= m.options.MaxSessions {
		oldest := j.sessions[0]
		for _, s := range j.sessions {
			if s.used.Before(oldest.used) {
				oldest = s
			}
		}
		m.drop(j, func(s *modelSession) bool { return s == oldest })
	}
	s := &modelSession{user, session.Handle, session.ID, session.Grant.SID, string(session.Grant.Sealed), m.now, m.now, m.now.Add(m.options.Lifetime)}
	j.sessions = append(j.sessions, s)
	m.choose(j, site, s)
}

// revoke returns the session that became active.
func (m *model) revoke(j *modelJar, site Site, s *modelSession) (promoted *modelSession) {
	m.begin(j)
	m.settle(j, site)
	was := m.activeAt(j, site) == s
	m.drop(j, func(other *modelSession) bool { return other == s })
	if !was {
		return nil
	}
	for _, s := range j.sessions {
		if promoted == nil || !s.used.Before(promoted.used) {
			promoted = s
		}
	}
	if promoted != nil {
		m.choose(j, site, promoted)
	}
	return promoted
}

func (m *model) setActive(j *modelJar, site Site, s *modelSession) {
	if m.activeAt(j, site) != s {
		m.begin(j)
		m.settle(j, site)
		m.choose(j, site, s)
		s.used = m.now
	}
}

func (m *model) use(j *modelJar, site Site) {
	s := m.activeAt(j, site)
	if s != nil && m.alive(s) && m.now.Sub(s.used) >= m.options.touchInterval() {
		m.begin(j)
		s.used = m.now
	}
}

func (m *model) endAccount(user string, before time.Time) int {
	return m.end(func(s *modelSession) bool { return s.user == user && s.created.Before(before) })
}

func (m *model) end(of func(*modelSession) bool) int {
	ended := 0
	for _, j := range m.browsers {
		if !slices.ContainsFunc(j.sessions, of) {
			continue
		}
		for _, s := range j.sessions {
			if of(s) && m.aliveButGone(s) {
				ended++
			}
		}
		m.drop(j, of)
		m.begin(j)
	}
	return ended
}

// renew replaces the tokens of the session with the id, which are to be was.
func (m *model) renew(id, was, tokens string) error {
	for _, j := range m.browsers {
		for _, s := range j.sessions {
			switch {
			case s.id != id || !m.alive(s):
			case s.tokens == tokens:
				return nil
			case s.tokens != was:
				return ErrRenewed
			default:
				m.begin(j)
				s.tokens = tokens
				return nil
			}
		}
	}
	return ErrUnknownHandle
}

// grants says what a browser's sessions have of their provider.
func (m *model) grants(j *modelJar) string {
	var list []string
	for _, s := range j.sessions {
		if m.alive(s) {
			list = append(list, s.sid+"/"+s.tokens)
		}
	}
	return strings.Join(list, " ")
}

// lapsed says who was active until their time was over.
func (m *model) lapsed(j *modelJar, site Site) string {
	if s := m.activeAt(j, site); s != nil && !m.gone[s.user] && !m.alive(s) {
		return s.user
	}
	return ""
}

// aliveButGone is alive, but for who is gone: such sessions are worth being ended too.
func (m *model) aliveButGone(s *modelSession) bool {
	was := m.gone
	m.gone = nil
	defer func() { m.gone = was }()
	return m.alive(s)
}

func grants(v Visit) string {
	var list []string
	for _, e := range v.Entries() {
		list = append(list, e.Grant.SID+"/"+string(e.Grant.Sealed))
	}
	return strings.Join(list, " ")
}

// TestManagerAgainstModel does the same at random to browsers of a gateway and of the model, and
// compares what every browser sees after each step.
func TestManagerAgainstModel(t *testing.T) {
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 1))
	runs := 50
	if testing.Short() {
		runs = 15
	}
	for run := range runs {
		synctest.Test(t, func(t *testing.T) { modelRun(t, run, rng) })
		if t.Failed() {
			return
		}
	}
}

func modelRun(t *testing.T, run int, rng *rand.Rand) {
	pick := func(n int) int { return rng.IntN(n) }
	m := &model{
		options: Options{
			MaxSessions: 1 + pick(4),
			RejectAtMax: pick(3) == 0,
			Lifetime:    time.Duration(1+pick(20)) * time.Hour,
			IdleTimeout: time.Duration(pick(5)) * time.Hour,
		},
		now:  epoch,
		gone: make(map[string]bool),
	}
	w := newWorld(t, m.options)
	sites := [][]Site{{""}, {"a.example.test", "b.example.test", "c.example.test"}, {"", "a.example.test", "b.example.test"}}[pick(3)]
	users := []string{"ann", "ben", "cat", "dan", "eve", "fay"}
	tokens := make([]Token, 3)
	var dead []Token
	handles := []string{"", "nobody"}
	ids := []string{"", "nobody"}
	lastTokens := map[string]string{} // of a session, by its id
	for range tokens {
		m.browsers = append(m.browsers, new(modelJar))
	}

	var trace []string
	log := func(format string, args ...any) { trace = append(trace, fmt.Sprintf(format, args...)) }
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("run %d, %+v, sites %q: %s\n%s", run, m.options, sites, fmt.Sprintf(format, args...), strings.Join(trace, "\n"))
	}
	for range 120 {
		b := pick(len(tokens))
		jar, token, handle, user := m.browsers[b], tokens[b], handles[pick(len(handles))], users[pick(len(users))]
		site := sites[pick(len(sites))]
		there := w.At(site)
		switch pick(15) {
		case 0, 1, 2:
			log("%d signs in %s at %q", b, user, site)
			full := m.full(jar, user)
			grant := &Grant{SID: fmt.Sprint("sid-", pick(2)), Sealed: fmt.Append(nil, len(trace))}
			done, err := there.SignIn(ctx, token, person(user), grant, Client{})
			if full != errors.Is(err, ErrFull) || err != nil && !full {
				fail("sign-in: %v, want ErrFull: %t", err, full)
			}
			if err != nil {
				break
			}
			if !token.IsZero() {
				dead = append(dead, token)
			}
			tokens[b] = done.Token
			handles = append(handles, done.Entry.Handle)
			ids = append(ids, done.Entry.ID)
			lastTokens[done.Entry.ID] = string(grant.Sealed)
			m.signIn(jar, site, user, done.Entry.Session)
		case 3, 4:
			log("%d switches to %.4s at %q", b, handle, site)
			s := m.find(jar, handle)
			e, err := there.SetActive(ctx, token, handle)
			switch {
			case s == nil && !errors.Is(err, ErrUnknownHandle), s != nil && err != nil:
				fail("switch: %v, want the session: %t", err, s != nil)
			case s != nil:
				m.setActive(jar, site, s)
				if e.Handle != handle || !e.LastUsedAt.Equal(s.used) {
					fail("switched to %q, last used at %s", e.Handle, e.LastUsedAt)
				}
			}
		case 5:
			log("%d revokes %.4s at %q", b, handle, site)
			s := m.find(jar, handle)
			done, err := there.Revoke(ctx, token, handle)
			switch {
			case s == nil && !errors.Is(err, ErrUnknownHandle), s != nil && err != nil:
				fail("revoke: %v, want the session: %t", err, s != nil)
			case s != nil:
				next := m.revoke(jar, site, s)
				promoted := ""
				if done.Promoted != nil {
					promoted = done.Promoted.Handle
				}
				want := ""
				if next != nil {
					want = next.handle
				}
				if promoted != want || done.Empty != (len(jar.sessions) == 0) {
					fail("promoted %q, want %q; empty %t", promoted, want, done.Empty)
				}
			}
		case 6:
			if pick(4) > 0 {
				break
			}
			log("%d signs out", b)
			m.begin(jar)
			ended, err := w.SignOut(ctx, token, Visit{})
			if err != nil || len(ended) != len(jar.sessions) {
				fail("signed out %d, %v; want %d", len(ended), err, len(jar.sessions))
			}
			jar.sessions, jar.active, jar.pins = nil, nil, nil
		case 7:
			d := []time.Duration{time.Millisecond, time.Minute, 20 * time.Minute, time.Hour, 3 * time.Hour}[pick(5)]
			log("%s pass", d)
			w.clock.advance(d)
			m.now = m.now.Add(d)
		case 8, 9:
			log("%d makes a request to %q", b, site)
			v := w.visit(token).At(site)
			e, ok := v.Active()
			if ok {
				v.Used(e)
				synctest.Wait()
			}
			m.use(jar, site)
		case 10:
			if pick(2) == 0 {
				gone := !m.gone[user]
				log("%s is gone: %t", user, gone)
				m.gone[user] = gone
				w.people.setGone(gone, person(user).Account)
				break
			}
			log("%s is ended", user)
			want := m.endAccount(user, m.now)
			if n, err := w.EndAccount(ctx, person(user).Account, m.now); n != want || err != nil {
				fail("ended %d, %v; want %d", n, err, want)
			}
		case 11:
			if pick(2) == 0 {
				log("restart")
				w.Close()
				w.restart(m.options)
			}
		case 12, 13:
			id, was, next := ids[pick(len(ids))], "others", fmt.Sprint(len(trace), "-renewed")
			if pick(4) > 0 {
				was = lastTokens[id]
			}
			if pick(8) == 0 {
				next = lastTokens[id] // once more
			}
			log("%.4s is renewed from %s to %s", id, was, next)
			sid := ""
			for _, j := range m.browsers {
				for _, s := range j.sessions {
					if s.id == id {
						sid, user = s.sid, s.user
					}
				}
			}
			if next == "" {
				break // of a session that never was
			}
			want := m.renew(id, was, next)
			got, err := w.Renew(ctx, id, &Grant{SID: sid, Sealed: []byte(was)}, person(user), &Grant{SID: sid, Sealed: []byte(next)})
			if want == nil && err != nil || !errors.Is(err, want) {
				fail("renewal: %v, want %v", err, want)
			}
			if err == nil {
				lastTokens[id] = next
				if got.ID != id || string(got.Grant.Sealed) != next {
					fail("renewed %q to %q", got.ID, got.Grant.Sealed)
				}
			}
		case 14:
			sid := fmt.Sprint("sid-", pick(2))
			log("%s is ended for %s", sid, user)
			want := m.end(func(s *modelSession) bool { return s.sid == sid && s.user == user })
			ended, err := w.End(ctx, Selection{Account: person(user).Account, SID: sid}, nil)
			if len(ended) != want || err != nil {
				fail("ended %d, %v; want %d", len(ended), err, want)
			}
		}
		for b, token := range tokens {
			if got, want := grants(w.visit(token)), m.grants(m.browsers[b]); got != want {
				fail("browser %d has the grants %q, want %q", b, got, want)
			}
			for _, site := range sites {
				v := w.visit(token).At(site)
				// A jar of which nothing lives may be there or not: the store drops it when it likes.
				if len(v.Entries()) > 0 {
					lapsed := ""
					if e, ok := v.Lapsed(); ok {
						lapsed = e.Identity.UserName
					}
					if want := m.lapsed(m.browsers[b], site); lapsed != want {
						fail("browser %d was %q last at %q, want %q", b, lapsed, site, want)
					}
				}
				if got, want := names(v), m.names(m.browsers[b], site); got != want {
					fail("browser %d sees %q at %q, want %q", b, got, site, want)
				}
			}
		}
		synctest.Wait() // until it is recorded that the tokens were presented
		if len(dead) > 0 {
			if got := names(w.visit(dead[pick(len(dead))])); got != "" {
				fail("a replaced token is worth %q", got)
			}
		}
		for _, jar := range w.mem.snapshot(t) {
			w.invariants(jar.Jar)
		}
	}
	w.Close()
}
