package login

import (
	"context"
	"slices"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

type method string

func (m method) ID() string { return string(m) }

func (m method) Current(recorded *session.Identity) (*session.Identity, bool) {
	return recorded, recorded.Account.Subject != "gone"
}

type passwordMethod struct{ method }

func (passwordMethod) Authenticate(context.Context, Credentials) (*session.Identity, error) {
	return nil, ErrBadCredentials
}

func (passwordMethod) UserNameLength() (least, most int) { return 3, 30 }

func TestNewMethods(t *testing.T) {
	for name, tc := range map[string]struct {
		methods []Method
		err     string
	}{
		"none":           {nil, ""},
		"several":        {[]Method{method("b"), passwordMethod{"p"}, method("a")}, ""},
		"one id twice":   {[]Method{method("a"), method("a")}, "login a: the id is used twice"},
		"two passwords":  {[]Method{passwordMethod{"p"}, passwordMethod{"q"}}, "login q: p takes passwords already, and only one login can"},
		"across classes": {[]Method{method("a"), passwordMethod{"a"}}, "login a: the id is used twice"},
	} {
		t.Run(name, func(t *testing.T) {
			methods, err := NewMethods(tc.methods...)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Fatalf("got the error %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := methods.All(); !slices.Equal(got, tc.methods) {
				t.Errorf("All() = %v, want the order of the configuration", got)
			}
		})
	}
}

func TestMethodsPassword(t *testing.T) {
	without, err := NewMethods(method("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := without.Password(); ok {
		t.Error("there is a password method where none is configured")
	}
	with, err := NewMethods(method("a"), passwordMethod{"p"})
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := with.Password(); !ok || p.ID() != "p" {
		t.Errorf("Password() = %v, %t", p, ok)
	}
}

func TestMethodsCurrent(t *testing.T) {
	methods, err := NewMethods(method("a"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		account session.Account
		ok      bool
	}{
		"known to its method":   {session.Account{Method: "a", Subject: "alice"}, true},
		"unknown to its method": {session.Account{Method: "a", Subject: "gone"}, false},
		"of no method":          {session.Account{Method: "b", Subject: "alice"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			recorded := &session.Identity{Account: tc.account}
			got, ok := methods.Current(recorded)
			if ok != tc.ok || ok && got != recorded {
				t.Errorf("Current() = %v, %t", got, ok)
			}
		})
	}
}
