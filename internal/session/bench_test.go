package session

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// benchWorld has a browser with three accounts, of the size that an OpenID provider makes them.
func benchWorld(b *testing.B) (*world, Token, []string) {
	b.Helper()
	w := newWorld(b, defaults())
	var token Token
	var handles []string
	for i := range 3 {
		id := benchIdentity(i)
		done, err := w.SignIn(ctx, token, id, nil, Client{IP: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"})
		if err != nil {
			b.Fatal(err)
		}
		token = done.Token
		handles = append(handles, done.Entry.Handle)
	}
	return w, token, handles
}

func benchIdentity(i int) *Identity {
	return &Identity{
		Account:  Account{"google", fmt.Sprintf("1076915035000615071%d", i)},
		UserName: fmt.Sprintf("alice%d", i), Name: "Alice Example", Email: "alice@example.com", EmailVerified: true,
		Picture: "https://lh3.example.com/a/ACg8ocK", Groups: []string{"dev", "ops", "admin"},
		Claims: map[string]any{
			"hd":           "example.com",
			"level":        json.Number("3"),
			"realm_access": map[string]any{"roles": []any{"user", "auditor", "editor"}},
		},
		CreatedAt: epoch, UpdatedAt: epoch,
	}
}

func BenchmarkVisitHit(b *testing.B) {
	w, token, _ := benchWorld(b)
	w.now = func() time.Time { return epoch.Add(time.Second) }
	b.ReportAllocs()
	for b.Loop() {
		v, err := w.Visit(ctx, token)
		if err != nil {
			b.Fatal(err)
		}
		e, ok := v.Active()
		if !ok {
			b.Fatal("nobody is signed in")
		}
		v.Used(e)
	}
}

// BenchmarkVisitHitAtSite is BenchmarkVisitHit at the last of as many sites with pins as there can be.
func BenchmarkVisitHitAtSite(b *testing.B) {
	w, token, handles := benchWorld(b)
	var site Site
	for i := range MaxPins {
		site = Site(fmt.Sprintf("site%d.example.com", i))
		if _, err := w.At(site).SetActive(ctx, token, handles[0]); err != nil {
			b.Fatal(err)
		}
	}
	w.now = func() time.Time { return epoch.Add(time.Second) }
	b.ReportAllocs()
	for b.Loop() {
		v, err := w.Visit(ctx, token)
		if err != nil {
			b.Fatal(err)
		}
		v = v.At(site)
		e, ok := v.Active()
		if !ok || e.Handle != handles[0] {
			b.Fatal("not the site's")
		}
		v.Used(e)
	}
}

func BenchmarkVisitHitParallel(b *testing.B) {
	w, token, _ := benchWorld(b)
	w.now = func() time.Time { return epoch.Add(time.Second) }
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			v, _ := w.Visit(ctx, token)
			if _, ok := v.Active(); !ok {
				b.Error("nobody is signed in")
				return
			}
		}
	})
}

func BenchmarkVisitHitRealClock(b *testing.B) {
	w, _, _ := benchWorld(b)
	m := NewManager(w.jars, w.people, defaults(), time.Now)
	b.Cleanup(m.Close)
	done, err := m.SignIn(ctx, Token{}, benchIdentity(9), nil, Client{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		v, _ := m.Visit(ctx, done.Token)
		if _, ok := v.Active(); !ok {
			b.Fatal("nobody is signed in")
		}
	}
}

func BenchmarkVisitMiss(b *testing.B) {
	w, token, _ := benchWorld(b)
	w.restart(defaults())
	b.ReportAllocs()
	for b.Loop() {
		v, err := w.Visit(ctx, token)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := v.Active(); !ok {
			b.Fatal("nobody is signed in")
		}
	}
}

func BenchmarkVisitUnknownToken(b *testing.B) {
	w, _, _ := benchWorld(b)
	token := NewToken()
	b.ReportAllocs()
	for b.Loop() {
		if v, err := w.Visit(ctx, token); err != nil || v.JarID() != "" {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignIn(b *testing.B) {
	w, token, _ := benchWorld(b)
	id := benchIdentity(0)
	b.ReportAllocs()
	for b.Loop() {
		done, err := w.SignIn(ctx, token, id, nil, Client{})
		if err != nil {
			b.Fatal(err)
		}
		token = done.Token
	}
}

func BenchmarkSetActive(b *testing.B) {
	w, token, handles := benchWorld(b)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		if _, err := w.SetActive(ctx, token, handles[i%2]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPolicy(b *testing.B) {
	id := benchIdentity(0)
	policy := Policy{
		{Kind: RequireUser, Values: []string{"bob", "alice0"}},
		{Kind: RequireGroup, Values: []string{"root", "admin"}},
		{Kind: RequireClaim, Claim: "realm_access.roles", Values: []string{"editor"}},
	}
	b.ReportAllocs()
	for b.Loop() {
		if rule, unmet := policy.Unmet(id); unmet {
			b.Fatal(rule)
		}
	}
}

// BenchmarkCurrent is what judging one session costs, the directory's answer included.
func BenchmarkCurrent(b *testing.B) {
	w, token, _ := benchWorld(b)
	v := w.visit(token)
	s := &v.jar.Sessions[2]
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := w.live(s, v.at); !ok {
			b.Fatal("dead")
		}
	}
}

func BenchmarkParseToken(b *testing.B) {
	text := NewToken().Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseToken(text); err != nil {
			b.Fatal(err)
		}
	}
}

// The way of a request must stay free of allocations: this is a test so that it is noticed.
func TestVisitOnMemoryHitDoesNotAllocate(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob")
	if _, err := w.At(wiki).SetActive(ctx, token, handles["alice"]); err != nil {
		t.Fatal(err)
	}
	policy := Policy{{Kind: RequireGroup, Values: []string{"admin"}}, {Kind: RequireUser, Values: []string{"bob"}}}
	for _, site := range []Site{grafana, wiki} {
		v, err := w.Visit(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := v.At(site).Active(); !ok {
			t.Fatal("nobody is signed in")
		}
		if n := testing.AllocsPerRun(100, func() {
			v, _ := w.Visit(ctx, token)
			v = v.At(site)
			e, _ := v.Active()
			v.Used(e)
			policy.Unmet(e.Identity)
		}); n != 0 {
			t.Errorf("%v allocations a request to %s, want none", n, site)
		}
	}
	if _, err := w.SetActive(ctx, token, handles["bob"]); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		v, _ := w.Visit(ctx, token)
		e, ok := v.Active()
		if !ok {
			t.Fatal("nobody is signed in")
		}
		v.Used(e)
		policy.Unmet(e.Identity)
	}); n != 0 {
		t.Errorf("%v allocations a request, want none", n)
	}
}
