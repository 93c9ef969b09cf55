package session

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

const (
	grafana = Site("grafana.example.com")
	wiki    = Site("wiki.example.com")
	files   = Site("files.example.com")
)

func TestParseSite(t *testing.T) {
	for host, want := range map[string]Site{
		"a.example.com":                          "a.example.com",
		"A.Example.COM":                          "a.example.com",
		"xn--bcher-kva.example.com":              "xn--bcher-kva.example.com",
		"my_app.example.com":                     "my_app.example.com",
		"localhost":                              "localhost",
		"":                                       "",
		".":                                      "",
		".example.com":                           "",
		"a.example.com.":                         "",
		"a..example.com":                         "",
		"a.example.com:443":                      "",
		"a b.example.com":                        "",
		"a\x00.example.com":                      "",
		"bücher.example.com":                     "",
		"a\".example.com":                        "",
		"[::1]":                                  "",
		strings.Repeat("a", origin.MaxHostBytes): Site(strings.Repeat("a", origin.MaxHostBytes)),
		strings.Repeat("a", origin.MaxHostBytes+1): "",
	} {
		if got, err := ParseSite(host); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; want %q", host, got, err, want)
		}
	}
}

// pinned is the choices of one browser, site by site. What each sees is compared after every step.
type pinned struct {
	*world
	token Token
}

func (p *pinned) signInAt(site Site, name string) string {
	p.Helper()
	done, err := p.At(site).SignIn(ctx, p.token, person(name), nil, Client{})
	if err != nil || !done.Entry.Active {
		p.Fatalf("sign in %s at %s: %+v, %v", name, site, done.Entry, err)
	}
	p.token = done.Token
	p.visit(p.token)
	p.settle() // the store has learned that the token was presented
	return done.Entry.Handle
}

func (p *pinned) chooseAt(site Site, name string) {
	p.Helper()
	p.clock.advance(time.Second)
	for _, e := range p.visit(p.token).Entries() {
		if e.Identity.UserName == name {
			if _, err := p.At(site).SetActive(ctx, p.token, e.Handle); err != nil {
				p.Fatalf("choose %s at %s: %v", name, site, err)
			}
			return
		}
	}
	p.Fatalf("%s is not signed in", name)
}

func (p *pinned) revokeAt(site Site, name string) Revoked {
	p.Helper()
	for _, e := range p.visit(p.token).Entries() {
		if e.Identity.UserName == name {
			done, err := p.At(site).Revoke(ctx, p.token, e.Handle)
			if err != nil {
				p.Fatalf("revoke %s at %s: %v", name, site, err)
			}
			return done
		}
	}
	p.Fatalf("%s is not signed in", name)
	return Revoked{}
}

// sees compares who is active at each of some sites: "" is nobody.
func (p *pinned) sees(when string, want map[Site]string) {
	p.Helper()
	for site, name := range want {
		v := p.visit(p.token).At(site)
		got, slot := "", ""
		if e, ok := v.Active(); ok {
			got, slot = e.Identity.UserName, e.Slot
		}
		if got != name || v.Slot() != slot {
			p.Errorf("%s: %q is active at %q, want %q; its slot is %q of %q", when, got, site, name, v.Slot(), slot)
		}
		for _, e := range v.Entries() {
			if e.Active != (e.Identity.UserName == name) {
				p.Errorf("%s: the entry of %s at %q is active: %t", when, e.Identity.UserName, site, e.Active)
			}
		}
	}
}

func pin(t testing.TB) *pinned { return &pinned{world: newWorld(t, defaults())} }

func TestEachSiteHasItsAccount(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		p := &pinned{world: w}
		p.signInAt(grafana, "me")
		p.sees("the first account is that of every site", map[Site]string{grafana: "me", wiki: "me", files: "me"})
		p.signInAt(grafana, "admin")
		p.sees("one more at one site", map[Site]string{grafana: "admin", wiki: "me", files: "me"})
		p.chooseAt(wiki, "admin")
		p.chooseAt(grafana, "me")
		p.sees("chosen both ways", map[Site]string{grafana: "me", wiki: "admin", files: "me"})
		p.restart(defaults())
		p.sees("restarted", map[Site]string{grafana: "me", wiki: "admin", files: "me"})
		p.signInAt(wiki, "admin")
		p.signInAt(files, "me")
		p.sees("signed in again", map[Site]string{grafana: "me", wiki: "admin", files: "me"})
	})
}

func TestChoosingWhatIsActiveWritesNothing(t *testing.T) {
	p := pin(t)
	p.signInAt(grafana, "me")
	p.signInAt(grafana, "admin")
	p.visit(p.token)
	p.settle()
	was := p.stored(p.token)
	p.chooseAt(grafana, "admin")
	p.chooseAt(wiki, "me")
	p.unchanged(p.token, was)
}

// However a session ends, no site becomes somebody else that nobody has revoked it at.
func TestASiteWhoseAccountEndsIsNobodys(t *testing.T) {
	for name, end := range map[string]func(*pinned){
		"revoked elsewhere": func(p *pinned) { p.revokeAt(files, "admin") },
		"idle": func(p *pinned) {
			p.clock.advance(DefaultIdleTimeout - time.Minute)
			p.chooseAt(files, "me") // is used, and prunes
			p.chooseAt(files, "guest")
			p.clock.advance(2 * time.Minute)
		},
		"account gone": func(p *pinned) { p.people.setGone(true, person("admin").Account) },
		"ended by an administrator": func(p *pinned) {
			if n, err := p.EndAccount(ctx, person("admin").Account, p.clock.now().Add(time.Second)); n != 1 || err != nil {
				p.Errorf("ended %d, %v", n, err)
			}
		},
		"evicted": func(p *pinned) {
			for i := range DefaultMaxSessions - 2 {
				p.chooseAt(files, "me")
				p.chooseAt(files, "guest")
				p.signInAt(files, fmt.Sprint("another", i))
			}
			p.chooseAt(files, "guest")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := pin(t)
			p.signInAt(files, "me")
			p.clock.advance(time.Millisecond)
			p.signInAt(grafana, "admin")
			p.clock.advance(time.Millisecond)
			p.signInAt(files, "guest")
			p.chooseAt(wiki, "admin")
			before := map[Site]string{grafana: "admin", wiki: "admin", files: "guest"}
			p.sees("before", before)
			end(p)
			p.sees("ended", map[Site]string{grafana: "", wiki: "", files: "guest"})
			p.chooseAt(wiki, "guest")
			p.sees("chosen at one", map[Site]string{grafana: "", wiki: "guest", files: "guest"})
			p.people.setGone(false, person("admin").Account)
			p.signInAt("backup.example.com", "admin")
			p.sees("the account is back", map[Site]string{grafana: "admin", wiki: "guest", files: "guest", "backup.example.com": "admin"})
		})
	}
}

func TestRevokingPromotesAtOneSiteOnly(t *testing.T) {
	p := pin(t)
	p.signInAt(grafana, "me")
	p.signInAt(grafana, "admin")
	done := p.revokeAt(wiki, "me") // which all but grafana have
	if done.Promoted == nil || done.Promoted.Recorded.UserName != "admin" {
		t.Errorf("promoted %+v", done.Promoted)
	}
	p.sees("revoked the first account", map[Site]string{grafana: "admin", wiki: "admin", files: ""})
	p.signInAt(wiki, "guest")
	if done := p.revokeAt(files, "guest"); done.Promoted != nil {
		t.Errorf("where nobody was active %+v was promoted", done.Promoted)
	}
	p.sees("revoked where it was not active", map[Site]string{grafana: "admin", wiki: "", files: ""})
	if done := p.revokeAt(wiki, "admin"); !done.Empty || done.Promoted != nil {
		t.Errorf("the last one: %+v", done)
	}
}

func TestSignOutEndsEverySite(t *testing.T) {
	p := pin(t)
	p.signInAt(grafana, "me")
	p.signInAt(wiki, "admin")
	ended, err := p.At(files).SignOut(ctx, p.token, Visit{})
	if err != nil || len(ended) != 2 {
		t.Errorf("signed out %d, %v", len(ended), err)
	}
	p.sees("signed out", map[Site]string{grafana: "", wiki: "", files: "", "": ""})
	p.signInAt(wiki, "me")
	p.sees("nothing is left of the choices", map[Site]string{grafana: "me", wiki: "me"})
}

// A jar of which nothing lives is as good as none, whether the store has dropped it yet or not.
func TestNothingOfADeadJarIsChosen(t *testing.T) {
	p := pin(t)
	p.signInAt(grafana, "me")
	p.signInAt(wiki, "admin")
	p.people.setGone(true, person("me").Account, person("admin").Account)
	p.signInAt(wiki, "guest")
	p.sees("somebody else", map[Site]string{grafana: "guest", wiki: "guest", files: "guest"})
}

// TestFromOneActiveSessionToManyAndBack is a reload of the configuration in both directions. Who has
// become nobody by it has to choose; nobody becomes somebody else.
func TestFromOneActiveSessionToManyAndBack(t *testing.T) {
	p := pin(t)
	p.signInAt("", "me")
	p.signInAt("", "admin")
	p.sees("one for all", map[Site]string{"": "admin", grafana: "admin", wiki: "admin"})
	was := p.stored(p.token)
	p.sees("looking at it is no choice", map[Site]string{grafana: "admin"})
	p.unchanged(p.token, was)
	p.chooseAt(wiki, "me")
	p.sees("chosen at a site", map[Site]string{grafana: "admin", wiki: "me", files: "admin", "": ""})
	p.chooseAt(wiki, "admin")
	p.sees("all agree", map[Site]string{grafana: "admin", wiki: "admin", "": "admin"})
	was = p.stored(p.token)
	p.chooseAt("", "admin")
	p.unchanged(p.token, was)
	p.chooseAt(wiki, "me")
	p.chooseAt("", "admin")
	p.sees("chosen for all", map[Site]string{grafana: "admin", wiki: "admin", "": "admin"})
	if jar := p.stored(p.token); len(jar.Pins) != 0 {
		t.Errorf("it still has the pins %v", jar.Pins)
	}
	p.signInAt(grafana, "admin")
	p.sees("again, at a site", map[Site]string{grafana: "admin", wiki: "admin"})
	p.signInAt(wiki, "guest")
	p.revokeAt("", "me") // while nobody is active
	p.sees("revoked for all", map[Site]string{grafana: "admin", wiki: "guest", "": ""})
	p.signInAt("", "me")
	p.sees("signed in for all", map[Site]string{grafana: "me", wiki: "me", "": "me"})
}

// TestMoreSitesThanAreKept: a site whose choice is forgotten is nobody's, and not that of the others.
func TestMoreSitesThanAreKept(t *testing.T) {
	p := pin(t)
	p.signInAt(files, "me")
	p.signInAt("site0.example.com", "admin")
	site := func(i int) Site { return Site(fmt.Sprintf("site%d.example.com", i)) }
	for i := range MaxPins {
		p.chooseAt(site(i), "admin")
	}
	p.sees("as many as are kept", map[Site]string{site(0): "admin", site(MaxPins - 1): "admin", files: "me"})
	p.chooseAt(site(0), "me")
	p.chooseAt(site(0), "admin")
	p.sees("the same ones", map[Site]string{site(0): "admin", site(1): "admin", files: "me"})
	p.chooseAt(site(MaxPins), "admin")
	want := map[Site]string{site(0): "admin", site(1): "", site(2): "admin", site(MaxPins): "admin", files: ""}
	p.sees("one more", want)
	p.chooseAt(files, "me")
	p.sees("chosen again", map[Site]string{files: "me", site(1): "", site(2): "", site(3): "admin"})
	for i := range 1000 {
		p.chooseAt(site(i), []string{"me", "admin"}[i%2])
	}
	if n := len(p.stored(p.token).Pins); n != 1+MaxPins {
		t.Errorf("%d pins are stored", n)
	}
}

// TestFullJarWithPinsFitsTheStore has every pin as large as can be.
func TestFullJarWithPinsFitsTheStore(t *testing.T) {
	jar := &Jar{ID: "x", CreatedAt: epoch, Pins: []Pin{{}}}
	for i := range MaxPins {
		site := fmt.Sprintf("%0*d", origin.MaxHostBytes, i)
		account := Account{strings.Repeat("<", maxTextBytes), strings.Repeat("&", maxTextBytes)}
		jar.Pins = append(jar.Pins, Pin{Site(site), account})
	}
	data, err := encodeJar(jar)
	if err != nil {
		t.Fatal(err)
	}
	const session = maxIdentityBytes + maxGrantBytes + 6*maxUserAgentBytes + 1024
	if most := MaxSessionsLimit*session + len(data); most > storage.MaxValueBytes {
		t.Errorf("%d bytes of pins and %d of sessions are more than a store takes", len(data), MaxSessionsLimit*session)
	}
}

func TestPlaces(t *testing.T) {
	p := pin(t)
	p.signInAt(grafana, "me")
	p.signInAt(wiki, "admin")
	p.chooseAt(grafana, "admin")
	p.signInAt(files, "guest")
	want := map[string]string{"me": "[] true", "admin": "[grafana.example.com] false", "guest": "[files.example.com] false"}
	for _, e := range p.visit(p.token).At(wiki).Entries() {
		sites, elsewhere := p.visit(p.token).At(wiki).Places(e)
		if got := fmt.Sprint(sites, elsewhere); got != want[e.Identity.UserName] {
			t.Errorf("%s is active at %s, want %s", e.Identity.UserName, got, want[e.Identity.UserName])
		}
	}
	if sites, elsewhere := new(Visit).Places(Entry{}); sites != nil || elsewhere {
		t.Errorf("without a jar: %v, %t", sites, elsewhere)
	}
}

func TestLapsedIsThatOfTheSite(t *testing.T) {
	p := pin(t)
	p.signInAt(grafana, "me")
	p.signInAt(wiki, "admin")
	p.clock.advance(DefaultIdleTimeout)
	for site, want := range map[Site]string{grafana: "me", wiki: "admin"} {
		e, ok := p.visit(p.token).At(site).Lapsed()
		if !ok || e.Identity.UserName != want {
			t.Errorf("%s: %+v, %t; want %s", site, e, ok, want)
		}
	}
}

// TestParallelChoices has every site choose at once, again and again: none of the choices is lost, and
// each holds at its own site.
func TestParallelChoices(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		p := &pinned{world: w}
		handles := []string{p.signInAt(files, "me"), p.signInAt(grafana, "admin"), p.signInAt(grafana, "guest")}
		users := []string{"me", "admin", "guest"}
		const sites = 8
		last := make([]int, sites)
		s := seed(t)
		var choosing sync.WaitGroup
		for i := range sites {
			rng := rand.New(rand.NewPCG(s, uint64(i)))
			choosing.Go(func() {
				m := w.At(Site(fmt.Sprint("site", i)))
				for range 20 {
					last[i] = rng.IntN(len(handles))
					e, err := m.SetActive(ctx, p.token, handles[last[i]])
					if err != nil || e.Handle != handles[last[i]] {
						t.Errorf("site %d: %+v, %v", i, e, err)
					}
					if v, err := m.Visit(ctx, p.token); err != nil || v.Slot() != e.Slot {
						t.Errorf("site %d: chose %s and sees another, %v", i, e.Identity.UserName, err)
					}
				}
			})
		}
		choosing.Wait()
		want := map[Site]string{files: "me", grafana: "guest"}
		for i, n := range last {
			want[Site(fmt.Sprint("site", i))] = users[n]
		}
		p.sees("afterwards", want)
		w.invariants(p.stored(p.token).Jar)
	})
}

// A handle of another jar changes no pin, at whatever site.
func TestForeignHandleChangesNoPin(t *testing.T) {
	p, other := pin(t), ""
	p.signInAt(grafana, "me")
	p.signInAt(wiki, "admin")
	done, err := p.At(wiki).SignIn(ctx, Token{}, person("mallory"), nil, Client{})
	if err != nil {
		t.Fatal(err)
	}
	other = done.Entry.Handle
	was := p.stored(p.token)
	for _, site := range []Site{"", grafana, wiki, files} {
		if _, err := p.At(site).SetActive(ctx, p.token, other); !errors.Is(err, ErrUnknownHandle) {
			t.Errorf("%s: SetActive: %v", site, err)
		}
		if _, err := p.At(site).Revoke(ctx, p.token, other); !errors.Is(err, ErrUnknownHandle) {
			t.Errorf("%s: Revoke: %v", site, err)
		}
	}
	p.unchanged(p.token, was)
	if !slices.Equal(was.Pins, p.visit(p.token).jar.Pins) {
		t.Error("the pins in memory are others than those in the store")
	}
}
