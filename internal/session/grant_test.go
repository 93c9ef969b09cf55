package session

import (
	"strings"
	"testing"
	"time"
)

func TestGrantValidate(t *testing.T) {
	at := epoch
	for name, c := range map[string]struct {
		grant Grant
		ok    bool
	}{
		"tokens":                 {Grant{Sealed: []byte{0}}, true},
		"a SID":                  {Grant{SID: "s"}, true},
		"all":                    {Grant{"s", []byte{0}, at, at.Add(time.Minute)}, true},
		"tokens that never end":  {Grant{SID: "s", Sealed: []byte{0}}, true},
		"the longest SID":        {Grant{SID: strings.Repeat("s", maxTextBytes)}, true},
		"nothing":                {Grant{}, false},
		"times of nothing":       {Grant{RenewAt: at, ExpiresAt: at}, false},
		"an expiry of no tokens": {Grant{SID: "s", ExpiresAt: at}, false},
		"a renewal of no tokens": {Grant{SID: "s", RenewAt: at}, false},
		"a SID that is too long": {Grant{SID: strings.Repeat("s", maxTextBytes+1)}, false},
		"a SID of other bytes":   {Grant{SID: "s\xff"}, false},
		"a SID with a NUL":       {Grant{SID: "s\x00"}, false},
		"a SID that is padded":   {Grant{SID: "s "}, false},
	} {
		if err := c.grant.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok: %t", name, err, c.ok)
		}
	}
}

func TestGrantEqual(t *testing.T) {
	full := func() *Grant { return &Grant{"s", []byte("tokens"), epoch, epoch.Add(time.Minute)} }
	change := func(change func(*Grant)) *Grant {
		g := full()
		change(g)
		return g
	}
	for name, c := range map[string]struct {
		a, b *Grant
		want bool
	}{
		"none and none":    {nil, nil, true},
		"none and one":     {nil, full(), false},
		"one and none":     {full(), nil, false},
		"none and nothing": {nil, &Grant{}, false},
		"two of one":       {full(), full(), true},
		"another zone":     {full(), change(func(g *Grant) { g.RenewAt = g.RenewAt.In(time.FixedZone("", 3600)) }), true},
		"another SID":      {full(), change(func(g *Grant) { g.SID = "t" }), false},
		"other tokens":     {full(), change(func(g *Grant) { g.Sealed = []byte("tokenz") }), false},
		"another renewal":  {full(), change(func(g *Grant) { g.RenewAt = epoch.Add(1) }), false},
		"another expiry":   {full(), change(func(g *Grant) { g.ExpiresAt = epoch }), false},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("%s: equal %t, want %t", name, got, c.want)
		}
	}
}

// A grant is the same one after it was stored and read, or no renewal could replace it.
func TestGrantOfTheStoreIsTheSame(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		given := &Grant{"s", []byte("tokens"), time.Now().Add(4 * time.Minute), time.Now().Add(5 * time.Minute)}
		done, err := w.SignIn(ctx, Token{}, person("alice"), given, Client{})
		if err != nil {
			w.Fatal(err)
		}
		w.restart(defaults())
		e, ok := w.visit(done.Token).Active()
		if !ok || !e.Grant.Equal(done.Entry.Grant) {
			w.Errorf("stored %+v, want %+v", e.Grant, done.Entry.Grant)
		}
		if e.Grant.ExpiresAt.After(given.ExpiresAt) || given.ExpiresAt.Sub(e.Grant.ExpiresAt) >= time.Millisecond {
			w.Errorf("expires at %s, want %s", e.Grant.ExpiresAt, given.ExpiresAt)
		}
	})
}

func TestSignInRefusesGrants(t *testing.T) {
	w := newWorld(t, defaults())
	for name, grant := range map[string]*Grant{
		"nothing":      {},
		"bad SID":      {SID: "a\nb"},
		"too large":    grantOfSize(maxGrantBytes + 4),
		"year 10000":   {Sealed: []byte("x"), ExpiresAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"time of none": {SID: "s", RenewAt: epoch},
	} {
		if _, err := w.SignIn(ctx, Token{}, person("alice"), grant, Client{}); err == nil || !strings.Contains(err.Error(), "grant of password") {
			t.Errorf("%s: %v, want a refusal of the grant", name, err)
		}
	}
	if n := w.mem.count("swap"); n != 0 {
		t.Errorf("%d writes", n)
	}
}
