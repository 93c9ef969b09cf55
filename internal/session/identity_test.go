package session

import (
	"strings"
	"testing"
)

func TestIdentityValidate(t *testing.T) {
	long := strings.Repeat("x", maxTextBytes)
	for _, c := range []struct {
		name   string
		change func(*Identity)
		ok     bool
	}{
		{"least there can be", func(*Identity) {}, true},
		{"all there is", func(id *Identity) {
			id.Name, id.Email, id.Picture, id.Groups = "Alice", "alice@example.com", "https://x.example/a.png", []string{"a", "b c"}
		}, true},
		{"not ASCII", func(id *Identity) { id.UserName, id.Name = "ålice", "爱丽丝 \U0001f600" }, true},
		{"space within", func(id *Identity) { id.UserName = "alice b" }, true},
		{"comma in the name", func(id *Identity) { id.Name = "Doe, Jane" }, true},
		{"subject with a colon", func(id *Identity) { id.Account.Subject = "a:b" }, true},
		{"as long as can be", func(id *Identity) { id.Name = long }, true},
		{"too long", func(id *Identity) { id.Name = long + "x" }, false},
		{"no method", func(id *Identity) { id.Account.Method = "" }, false},
		{"method with a colon", func(id *Identity) { id.Account.Method = "a:b" }, false},
		{"method with a newline", func(id *Identity) { id.Account.Method = "a\nb" }, false},
		{"no subject", func(id *Identity) { id.Account.Subject = "" }, false},
		{"subject with NUL", func(id *Identity) { id.Account.Subject = "a\x00b" }, false},
		{"no user name", func(id *Identity) { id.UserName = "" }, false},
		{"user name of a space", func(id *Identity) { id.UserName = " " }, false},
		{"space before, dropped on the way", func(id *Identity) { id.UserName = " admin" }, false},
		{"space after, dropped on the way", func(id *Identity) { id.UserName = "admin " }, false},
		{"tab after", func(id *Identity) { id.UserName = "admin\t" }, false},
		{"no-break space after", func(id *Identity) { id.UserName = "admin\u00a0" }, false},
		{"tab within", func(id *Identity) { id.UserName = "ad\tmin" }, false},
		{"header smuggled in", func(id *Identity) { id.UserName = "x\r\nRemote-Groups: admin" }, false},
		{"bare newline", func(id *Identity) { id.Name = "a\nb" }, false},
		{"bare return", func(id *Identity) { id.Name = "a\rb" }, false},
		{"delete character", func(id *Identity) { id.Name = "a\x7fb" }, false},
		{"C1 control", func(id *Identity) { id.Name = "a\u0085b" }, false},
		{"not UTF-8", func(id *Identity) { id.Name = "a\xffb" }, false},
		{"e-mail with a newline", func(id *Identity) { id.Email = "a@b.c\n" }, false},
		{"picture with a newline", func(id *Identity) { id.Picture = "https://x\n" }, false},
		{"group of two", func(id *Identity) { id.Groups = []string{"dev,admin"} }, false},
		{"empty group", func(id *Identity) { id.Groups = []string{"dev", ""} }, false},
		{"group with a newline", func(id *Identity) { id.Groups = []string{"dev\n"} }, false},
		{"group with a space before", func(id *Identity) { id.Groups = []string{" admin"} }, false},
		{"group too long", func(id *Identity) { id.Groups = []string{long + "x"} }, false},
	} {
		id := person("alice")
		c.change(id)
		if err := id.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: Validate = %v, want it accepted: %t", c.name, err, c.ok)
		}
	}
}

func TestAccountIDsAreDistinct(t *testing.T) {
	a, b := Account{"oidc", "x:1"}, Account{"oidc:x", "1"}
	if a.ID() != b.ID() {
		t.Fatal("the two accounts are no test any more")
	}
	id := person("x")
	id.Account = b
	if id.Validate() == nil {
		t.Errorf("%v and %v have one id, and both are accepted", a, b)
	}
}

func TestDisplayName(t *testing.T) {
	id := person("alice")
	if got := id.DisplayName(); got != "alice" {
		t.Errorf("without a name: %q, want the user name", got)
	}
	id.Name = "Alice Example"
	if got := id.DisplayName(); got != "Alice Example" {
		t.Errorf("with a name: %q, want the name", got)
	}
}
