package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// outsiders are three browsers, a minute apart, and what a selection can name of them.
func outsiders(w *world) (tokens []Token, found []Found) {
	w.Helper()
	for _, names := range [][]string{{"alice", "bob"}, {"bob"}, {"alice", "carol"}} {
		token, _ := w.browser(names...)
		tokens = append(tokens, token)
		w.clock.advance(time.Minute)
	}
	google := &Identity{Account: Account{"google", "bob"}, UserName: "gbob"}
	done, err := w.SignIn(ctx, tokens[1], google, nil, Client{})
	if err != nil {
		w.Fatal(err)
	}
	tokens[1] = done.Token
	w.grantee(&tokens[0], "entra", "ann", "sid-1")
	w.grantee(&tokens[0], "entra", "ben", "sid-1") // two accounts in one session of the provider
	w.grantee(&tokens[0], "keycloak", "ann", "sid-1")
	w.grantee(&tokens[2], "entra", "ann", "sid-2")
	for _, token := range tokens {
		v := w.visit(token)
		for _, e := range v.Entries() {
			found = append(found, Found{Entry: e, JarID: v.JarID()})
		}
	}
	return tokens, found
}

// grantee signs somebody in who has a session at the provider, and moves the token on.
func (w *world) grantee(token *Token, method, subject, sid string) Session {
	w.Helper()
	id := &Identity{Account: Account{method, subject}, UserName: method + "-" + subject}
	done, err := w.SignIn(ctx, *token, id, &Grant{SID: sid, Sealed: []byte("tokens")}, Client{})
	if err != nil {
		w.Fatal(err)
	}
	*token = done.Token
	return *done.Entry.Session
}

func TestSelection(t *testing.T) {
	bob := person("bob").Account
	for name, c := range map[string]struct {
		selection func(found []Found) Selection
		want      string // who is selected, "jar number:name", by jar
	}{
		"account":              {func([]Found) Selection { return Selection{Account: bob} }, "1:bob 2:bob"},
		"SID":                  {func([]Found) Selection { return Selection{Method: "entra", SID: "sid-1"} }, "1:entra-ann 1:entra-ben"},
		"SID of another":       {func([]Found) Selection { return Selection{Method: "keycloak", SID: "sid-1"} }, "1:keycloak-ann"},
		"SID of a subject":     {func([]Found) Selection { return Selection{Account: Account{"entra", "ann"}, SID: "sid-1"} }, "1:entra-ann"},
		"SID of somebody else": {func([]Found) Selection { return Selection{Account: Account{"entra", "ben"}, SID: "sid-2"} }, ""},
		"SID of two methods": {func([]Found) Selection {
			return Selection{Account: Account{"entra", "ann"}, Method: "keycloak", SID: "sid-1"}
		}, ""},
		"SID in another jar":  {func(f []Found) Selection { return Selection{Jar: f[0].JarID, Method: "entra", SID: "sid-2"} }, ""},
		"SID where is none":   {func([]Found) Selection { return Selection{Method: "password", SID: "sid-1"} }, ""},
		"the subject of SIDs": {func([]Found) Selection { return Selection{Account: Account{"entra", "ann"}} }, "1:entra-ann 3:entra-ann"},

		"method":               {func([]Found) Selection { return Selection{Method: "google"} }, "2:gbob"},
		"jar":                  {func(f []Found) Selection { return Selection{Jar: f[0].JarID} }, "1:alice 1:bob 1:entra-ann 1:entra-ben 1:keycloak-ann"},
		"session":              {func(f []Found) Selection { return Selection{Session: f[0].ID} }, "1:alice"},
		"account in a jar":     {func(f []Found) Selection { return Selection{Jar: f[0].JarID, Account: bob} }, "1:bob"},
		"session of a method":  {func(f []Found) Selection { return Selection{Session: f[0].ID, Method: "google"} }, ""},
		"everybody":            {func([]Found) Selection { return Selection{Everybody: true} }, "1:alice 1:bob 1:entra-ann 1:entra-ben 1:keycloak-ann 2:bob 2:gbob 3:alice 3:carol 3:entra-ann"},
		"everybody of a jar":   {func(f []Found) Selection { return Selection{Jar: f[0].JarID, Everybody: true} }, "1:alice 1:bob 1:entra-ann 1:entra-ben 1:keycloak-ann"},
		"unknown account":      {func([]Found) Selection { return Selection{Account: Account{"password", "mallory"}} }, ""},
		"handle as a session":  {func(f []Found) Selection { return Selection{Session: f[0].Handle} }, ""},
		"session id as a jar":  {func(f []Found) Selection { return Selection{Jar: f[0].ID} }, ""},
		"account of no method": {func([]Found) Selection { return Selection{Account: Account{"", "bob"}} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			everyWorld(t, defaults(), func(w *world) {
				tokens, all := outsiders(w)
				number := make(map[string]int)
				for i, token := range tokens {
					number[w.visit(token).JarID()] = i + 1
				}
				selection := c.selection(all)
				found, err := w.Sessions(ctx, selection)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, f := range found {
					got = append(got, fmt.Sprintf("%d:%s", number[f.JarID], f.Identity.UserName))
				}
				slices.Sort(got)
				if strings.Join(got, " ") != c.want {
					t.Errorf("Sessions: %q, want %q", strings.Join(got, " "), c.want)
				}
				ended, err := w.End(ctx, selection, nil)
				if err != nil || len(ended) != len(found) {
					t.Fatalf("End: %d, %v; want %d", len(ended), err, len(found))
				}
				gone := make(map[string]bool)
				for _, e := range ended {
					gone[e.ID] = true
				}
				left := 0
				for _, token := range tokens {
					left += len(w.visit(token).Entries())
				}
				if left != len(all)-len(found) {
					t.Errorf("%d sessions are left of %d, after %d ended", left, len(all), len(found))
				}
				for _, f := range found {
					if !gone[f.ID] {
						t.Errorf("%s was found and not ended", f.Identity.UserName)
					}
				}
			})
		})
	}
}

// Nobody is signed out because a name was empty.
func TestNothingSelected(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		tokens, all := outsiders(w)
		for name, nothing := range map[string]Selection{
			"zero":                      {},
			"a SID of no provider":      {SID: "sid-1"},
			"a SID of everybody":        {SID: "sid-1", Everybody: true},
			"a SID of a jar":            {SID: "sid-1", Jar: all[0].JarID},
			"a SID and a session alone": {SID: "sid-1", Session: all[0].ID},
		} {
			if ended, err := w.End(ctx, nothing, nil); !errors.Is(err, ErrNothingSelected) || len(ended) != 0 {
				w.Errorf("%s: End = %v, %v", name, ended, err)
			}
			if found, err := w.Sessions(ctx, nothing); !errors.Is(err, ErrNothingSelected) || len(found) != 0 {
				w.Errorf("%s: Sessions = %v, %v", name, found, err)
			}
		}
		w.want(tokens[0], "alice bob entra-ann entra-ben keycloak-ann*")
	})
}

func TestSessionsAreInOrder(t *testing.T) {
	w := newWorld(t, defaults())
	var want []string
	for range 5 {
		done := w.signIn(Token{}, "alice")
		want = append([]string{done.Entry.ID}, want...)
		w.clock.advance(time.Second)
	}
	found, err := w.Sessions(ctx, Selection{Account: person("alice").Account})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want the last sign-in first: %v", got, want)
	}
}

// Dead sessions are nobody's, wherever one looks from.
func TestDeadSessionsAreNotFound(t *testing.T) {
	options := defaults()
	w := newWorld(t, options)
	w.signIn(Token{}, "alice")
	w.clock.advance(options.IdleTimeout / 2)
	second := w.signIn(Token{}, "alice")
	w.clock.advance(options.IdleTimeout/2 + time.Second)
	found, err := w.Sessions(ctx, Selection{Everybody: true})
	if err != nil || len(found) != 1 || found[0].ID != second.Entry.ID {
		t.Errorf("found %v, %v; want the second session alone", found, err)
	}
	w.people.setGone(true, person("alice").Account)
	if found, err := w.Sessions(ctx, Selection{Everybody: true}); err != nil || len(found) != 0 {
		t.Errorf("of an account that is gone: found %v, %v", found, err)
	}
}

func TestEndSpares(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		this := w.signIn(Token{}, "alice")
		other, _ := w.browser("alice", "bob")
		w.clock.advance(time.Second)
		ended, err := w.End(ctx, Selection{Account: person("alice").Account}, func(s *Session) bool { return s.ID == this.Entry.ID })
		if err != nil || len(ended) != 1 || ended[0].JarID != w.visit(other).JarID() {
			w.Errorf("ended %v, %v", ended, err)
		}
		w.want(this.Token, "alice*")
		w.want(other, "bob*")
	})
}

// An account that signs in without pause, in a jar that so moves without pause, ends all the same,
// and the listing of it comes to an end.
func TestSelectionAmongSignIns(t *testing.T) {
	w := newWorld(t, defaults())
	moving, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	first := w.signIn(Token{}, "alice")
	go func() {
		defer close(done)
		token := first.Token
		for i := 0; moving.Err() == nil; i++ {
			signedIn, err := w.SignIn(ctx, token, person("bob"), nil, Client{})
			if err != nil {
				t.Error(err)
				return
			}
			token = signedIn.Token
		}
	}()
	for range 200 {
		found, err := w.Sessions(ctx, Selection{Account: person("alice").Account})
		if err != nil || len(found) > 1 {
			t.Errorf("found %v, %v", found, err)
		}
	}
	ended, err := w.End(ctx, Selection{Account: person("alice").Account}, nil)
	stop()
	<-done
	if err != nil || len(ended) != 1 {
		t.Errorf("ended %v, %v", ended, err)
	}
	if found, err := w.Sessions(ctx, Selection{Account: person("alice").Account}); err != nil || len(found) != 0 {
		t.Errorf("after the end: found %v, %v", found, err)
	}
}

// What was read before the whole store was replaced must not be what is answered after.
func TestForget(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	w.want(token, "alice*")
	w.mem.mu.Lock()
	clear(w.mem.records)
	w.mem.mu.Unlock()
	w.want(token, "alice*") // from memory
	w.jars.Forget()
	w.want(token, "")
}

func TestSignInKeepsWhetherTheBrowserForgets(t *testing.T) {
	w := newWorld(t, defaults())
	for _, transient := range []bool{true, false, true} {
		done, err := w.SignIn(ctx, Token{}, person("alice"), nil, Client{Run: map[bool]string{true: NewRun()}[transient]})
		if err != nil {
			t.Fatal(err)
		}
		w.restart(defaults())
		if got := w.visit(done.Token).Transient(); got != transient {
			t.Errorf("transient %t, want %t", got, transient)
		}
	}
}

func TestFull(t *testing.T) {
	options := defaults()
	options.MaxSessions = 2
	for _, reject := range []bool{true, false} {
		options.RejectAtMax = reject
		w := newWorld(t, options)
		token, _ := w.browser("alice")
		if w.Full(w.visit(token)) {
			t.Error("one of two is full")
		}
		token = w.signIn(token, "bob").Token
		if got := w.Full(w.visit(token)); got != reject {
			t.Errorf("two of two: full %t, want %t", got, reject)
		}
	}
}
