package identity

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

func alice() *session.Identity {
	return &session.Identity{
		Account:  session.Account{Method: "google", Subject: "42"},
		UserName: "alice", Name: "Alice Example",
		Email: "alice@example.com", EmailVerified: true,
		Groups: []string{"admin", "dev"},
	}
}

func TestPresets(t *testing.T) {
	full, bare := alice(), &session.Identity{UserName: "bob"}
	unverified := alice()
	unverified.EmailVerified = false
	for _, c := range []struct {
		preset string
		name   string
		id     *session.Identity
		want   map[string]string
	}{
		{"remote", "full", full, map[string]string{"Remote-User": "alice", "Remote-Email": "alice@example.com", "Remote-Name": "Alice Example", "Remote-Groups": "admin,dev"}},
		{"remote", "bare", bare, map[string]string{"Remote-User": "bob", "Remote-Name": "bob"}},
		{"remote", "unverified", unverified, map[string]string{"Remote-User": "alice", "Remote-Name": "Alice Example", "Remote-Groups": "admin,dev"}},
		{"forwarded", "full", full, map[string]string{"X-Forwarded-User": "alice", "X-Forwarded-Email": "alice@example.com", "X-Forwarded-Preferred-Username": "alice", "X-Forwarded-Groups": "admin,dev"}},
		{"forwarded", "unverified", unverified, map[string]string{"X-Forwarded-User": "alice", "X-Forwarded-Preferred-Username": "alice", "X-Forwarded-Groups": "admin,dev"}},
		{"webauth", "full", full, map[string]string{"X-Webauth-User": "alice", "X-Webauth-Name": "Alice Example", "X-Webauth-Email": "alice@example.com", "X-Webauth-Groups": "admin,dev"}},
		{"webauth", "unverified", unverified, map[string]string{"X-Webauth-User": "alice", "X-Webauth-Name": "Alice Example", "X-Webauth-Groups": "admin,dev"}},
	} {
		fields, err := Preset(c.preset)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		SetIdentity(h, fields, c.id, Encoding{})
		got := make(map[string]string)
		for name, values := range h {
			got[name] = strings.Join(values, "|")
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s, %s: %v, want %v", c.preset, c.name, got, c.want)
		}
	}
	for _, name := range []string{"", "Remote", "x"} {
		if _, err := Preset(name); err == nil || !strings.Contains(err.Error(), "forwarded, remote, webauth") {
			t.Errorf("Preset(%q): %v, want an error that names those there are", name, err)
		}
	}
	all := slices.Sorted(maps.Keys(presets))
	if !slices.Equal(all, []string{"forwarded", "remote", "webauth"}) {
		t.Errorf("presets are %v; the error of Preset names others", all)
	}
}

// A second call must not add a second value.
func TestSetIdentitySetsOneValue(t *testing.T) {
	fields, err := Preset("remote")
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for range 2 {
		SetIdentity(h, fields, alice(), Encoding{})
	}
	for name, values := range h {
		if len(values) != 1 {
			t.Errorf("%s is %q", name, values)
		}
	}
}

// A second gate strips everything that the first one set.
func TestWhatIsSetIsManaged(t *testing.T) {
	h := http.Header{}
	for name := range presets {
		fields, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		SetIdentity(h, fields, alice(), Encoding{})
	}
	NewManaged().Strip(&http.Request{Header: h})
	if len(h) != 0 {
		t.Errorf("left are %v", h)
	}
}

func TestSetRefusesWhatAFieldCannotCarry(t *testing.T) {
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"text", "alice", true},
		{"UTF-8", "ålice 爱", true},
		{"tab within", "a\tb", true},
		{"comma", "a,b", true},
		{"placeholder is text", "{env.SECRET}", true},
		{"empty", "", false},
		{"space", " ", false},
		{"space before", " alice", false},
		{"space after", "alice ", false},
		{"tab after", "alice\t", false},
		{"no-break space after", "alice\u00a0", false},
		{"line feed", "alice\nRemote-Groups: admin", false},
		{"return", "alice\rRemote-Groups: admin", false},
		{"both", "alice\r\nRemote-Groups: admin", false},
		{"line feed at the end", "alice\n", false},
		{"NUL", "alice\x00", false},
		{"delete character", "ali\x7fce", false},
		{"escape", "\x1b[1m", false},
	} {
		h := http.Header{}
		Set(h, "x-user", c.value, Encoding{})
		got, there := h["X-User"]
		if there != c.ok || c.ok && (len(got) != 1 || got[0] != c.value) {
			t.Errorf("%s: the header is %v, want it set: %t", c.name, h, c.ok)
		}
	}
}

func TestValidateName(t *testing.T) {
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"X-App-User", true},
		{"x-app-user", true},
		{"X_App_User", true},
		{"Authorization", true},
		{"Remote-User", true},
		{"X-Forwarded-User", true},
		{"X-Real-User", true},
		{"", false},
		{"X App", false},
		{"X-App:", false},
		{"X-App\r\nX", false},
		{"Ünicode", false},
		{"{placeholder}", false},
		{"Cookie", false},
		{"COOKIE", false},
		{"set-cookie", false},
		{"Host", false},
		{"Content-Length", false},
		{"Transfer-Encoding", false},
		{"Connection", false},
		{"TE", false},
		{"trailer", false},
		{"upgrade", false},
		{"X-Forwarded-For", false},
		{"X-Forwarded-Host", false},
		{"X-Forwarded-Proto", false},
		{"Forwarded", false},
		{"Origin", false},

		// To manage one of these would be to delete the true one from every request.
		{"Content_Length", false},
		{"content.length", false},
		{"X_Forwarded_For", false},
		{"X-Forwarded_Host", false},
		{"Set_Cookie", false},
	} {
		if err := ValidateName(c.name); (err == nil) != c.ok {
			t.Errorf("ValidateName(%q) = %v, want it accepted: %t", c.name, err, c.ok)
		}
	}
}

// No valid name, once managed, makes Strip delete a field that HTTP or the proxy uses.
func TestValidNamesLeaveTheProxysFieldsAlone(t *testing.T) {
	for _, name := range reserved {
		for _, spelling := range spellings(name) {
			if ValidateName(spelling) == nil && NewManaged(spelling).Has(name) {
				t.Errorf("with %q set, %s is deleted from requests", spelling, name)
			}
		}
		if NewManaged().Has(name) {
			t.Errorf("a preset has %s deleted", name)
		}
	}
}

func BenchmarkSetIdentity(b *testing.B) {
	fields, err := Preset("remote")
	if err != nil {
		b.Fatal(err)
	}
	id := alice()
	h := http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		clear(h)
		SetIdentity(h, fields, id, Encoding{})
	}
}
