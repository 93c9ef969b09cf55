package integration

import (
	"net/http"
	"net/url"
	"testing"
)

// TestAdministrationHoldsAtTheNextRequest changes users who are signed in in two browsers: it holds
// at the very next request of both, and for nobody else.
func TestAdministrationHoldsAtTheNextRequest(t *testing.T) {
	a := startAdministered(t)
	a.createUser("other", "dev")
	other, configured := a.browser(), a.browser()
	other.signIn("other")
	configured.signIn("alice")
	type told struct{ user, groups string }
	for _, c := range []struct {
		name, method, path string // the path is below the user's
		body               any
		want               told
		signsIn            bool // afterwards, with the name and the password as they were
	}{
		{"groups", "PATCH", "", object{"groups": []string{"ops", "dev"}}, told{"subject", "ops,dev"}, true},
		{"no groups", "PATCH", "", object{"groups": []string{}}, told{"subject", ""}, true},
		{"another user name", "PATCH", "", object{"username": "renamed"}, told{"renamed", "dev"}, false},
		{"disabled", "PATCH", "", object{"disabled": true}, told{}, false},
		{"password", "PUT", "/password", object{"password": "another-secret-42"}, told{}, false},
		{"password, with the sessions kept", "PUT", "/password", object{"password": "another-secret-42", "keep_sessions": true}, told{"subject", "dev"}, false},
		{"deleted", "DELETE", "", nil, told{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.createUser("subject", "dev")
			id := a.done(http.MethodGet, "/users/subject", nil)["id"].(string)
			first, second := a.browser(), a.browser()
			first.signIn("subject")
			second.signIn("alice")
			second.signIn("subject")
			a.done(c.method, "/users/"+id+c.path, c.body)
			for name, b := range map[string]*browser{"first": first, "second": second} {
				if got := (told{b.user(), b.told("Remote-Groups")}); got != c.want {
					t.Errorf("%s browser: the app is told %v, want %v", name, got, c.want)
				}
			}
			answer := a.browser().post("/.auth/sign-in/username", object{"username": "subject", "password": password("subject")})
			if refused := answer.StatusCode == http.StatusUnauthorized; refused == c.signsIn {
				t.Errorf("sign in with the password as it was: %s", answer.Status)
			}
			if got := other.user(); got != "other" {
				t.Errorf("somebody else is %q", got)
			}
			if got := configured.user(); got != "alice" {
				t.Errorf("a user of the configuration is %q", got)
			}
			if c.method != http.MethodDelete {
				a.done(http.MethodDelete, "/users/"+id, nil)
			}
		})
	}
}

// TestEnabledAgain: who is enabled again signs in anew, and no session from before comes back. Nor
// does one of somebody who was deleted, by a user of the same name.
func TestEnabledAgain(t *testing.T) {
	a := startAdministered(t)
	a.createUser("dave")
	before := a.browser()
	before.signIn("dave")
	a.done(http.MethodPatch, "/users/dave", object{"disabled": true})
	a.done(http.MethodPatch, "/users/dave", object{"disabled": false})
	if got := before.user(); got != "" {
		t.Errorf("enabled again: %q is signed in from before", got)
	}
	b := a.browser()
	b.signIn("dave")
	if got := a.done(http.MethodDelete, "/users/dave", nil); got["sessions_ended"] != 1. {
		t.Errorf("deleted: %v", got)
	}
	a.createUser("dave")
	for name, b := range map[string]*browser{"disabled before": before, "deleted before": b} {
		if got := b.user(); got != "" {
			t.Errorf("%s: %q is signed in", name, got)
		}
	}
	b.signIn("dave")
	if got := b.user(); got != "dave" {
		t.Errorf("the new one is %q", got)
	}
}

// TestAdministrationEndsSessions ends sessions by each thing that they can be selected by.
func TestAdministrationEndsSessions(t *testing.T) {
	a := startAdministered(t)
	a.createUser("dave")
	// Bob is in both browsers, and active in both.
	first, second := a.browser(), a.browser()
	signIn := func() {
		first.signIn("alice")
		first.signIn("bob")
		second.signIn("dave")
		second.signIn("bob")
	}
	type entry = map[string]any
	list := func(query string) []any { return a.done(http.MethodGet, "/sessions"+query, nil)["sessions"].([]any) }
	of := func(user string) entry { return list("?user=" + user)[0].(entry) }
	for _, c := range []struct {
		name          string
		path          func() string
		ended         float64
		first, second string // who is active in the browsers then
		left          int
	}{
		{"by user name", func() string { return "?user=bob" }, 2, "", "", 2},
		{"by e-mail address", func() string { return "?user=" + url.QueryEscape("bob@example.com") }, 2, "", "", 2},
		{"by account", func() string { return "?user=password:bob" }, 2, "", "", 2},
		{"a stored user's", func() string { return "?user=dave" }, 1, "bob", "bob", 3},
		{"by jar", func() string { return "?jar=" + of("alice")["jar"].(string) }, 2, "", "bob", 2},
		{"by jar and user", func() string { return "?user=bob&jar=" + of("alice")["jar"].(string) }, 1, "", "bob", 3},
		{"by id", func() string { return "/" + of("alice")["id"].(string) }, 1, "bob", "bob", 3},
		{"by id as a parameter", func() string { return "?session=" + of("dave")["id"].(string) }, 1, "bob", "bob", 3},
		{"by method", func() string { return "?method=password" }, 4, "", "", 0},
		{"by a method that is not there", func() string { return "?method=other" }, 0, "bob", "bob", 4},
		{"everybody's", func() string { return "?everybody=true" }, 4, "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			signIn()
			if got := len(list("")); got != 4 {
				t.Fatalf("%d sessions before", got)
			}
			if got := a.done(http.MethodDelete, "/sessions"+c.path(), nil)["sessions_ended"]; got != c.ended {
				t.Errorf("%v sessions ended, want %v", got, c.ended)
			}
			if got := first.user(); got != c.first {
				t.Errorf("the first browser is %q, want %q", got, c.first)
			}
			if got := second.user(); got != c.second {
				t.Errorf("the second browser is %q, want %q", got, c.second)
			}
			if got := len(list("")); got != c.left {
				t.Errorf("%d sessions are left, want %d", got, c.left)
			}
			a.done(http.MethodDelete, "/sessions?everybody=true", nil)
		})
	}
}

// TestInvitationsEndToEnd: an administrator invites, and only who is invited signs up, once.
func TestInvitationsEndToEnd(t *testing.T) {
	a := startAdministered(t)
	invite := func(body object) (id, code string) {
		made := a.done(http.MethodPost, "/invitations", body)
		return made["id"].(string), made["code"].(string)
	}
	signUp := func(b *browser, name, code string) reply {
		return b.post("/.auth/sign-up/email", object{
			"name": name, "email": name + "@example.org", "password": password(name), "username": name, "invitationCode": code,
		})
	}
	refused := func(name, code string) {
		t.Helper()
		if answer := signUp(a.browser(), name, code); answer.StatusCode/100 != 4 {
			t.Errorf("%s with %q: %s: %s", name, code, answer.Status, answer.body)
		}
	}
	refused("dave", "")
	refused("dave", "made-up")

	_, code := invite(object{"groups": []string{"guests"}})
	b := a.browser()
	if answer := signUp(b, "dave", code); answer.StatusCode != http.StatusOK {
		t.Fatalf("sign up: %s: %s", answer.Status, answer.body)
	}
	if user, groups := b.user(), b.told("Remote-Groups"); user != "dave" || groups != "guests" {
		t.Errorf("the app is told %q of %q", user, groups)
	}
	refused("erin", code) // it was for one

	id, code := invite(object{"email": "frank@example.org", "uses": 2})
	refused("erin", code) // it is for another address
	if answer := signUp(a.browser(), "frank", code); answer.StatusCode != http.StatusOK {
		t.Errorf("sign up by address: %s: %s", answer.Status, answer.body)
	}
	a.done(http.MethodDelete, "/invitations/"+id, nil)

	id, code = invite(object{})
	a.done(http.MethodDelete, "/invitations/"+id, nil)
	refused("grace", code) // it was withdrawn
	if got := a.done(http.MethodGet, "/invitations", nil)["invitations"].([]any); len(got) != 0 {
		t.Errorf("left are %v", got)
	}
	noErrors(t, a.gateway)
}
