package cookie

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// usedAfter returns what a request says that shows the given cookies.
func usedAfter(jar Spec, fields ...string) Cookies {
	var pairs []string
	for _, field := range fields {
		pair, _, _ := strings.Cut(field, ";")
		pairs = append(pairs, pair)
	}
	return jar.Parse(http.Header{"Cookie": {strings.Join(pairs, "; ")}})
}

func TestUsed(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, jar := range []Spec{{Name: NameHost, Secure: true}, {Name: NameDomain, Domain: "example.com", Secure: true}, {Name: NamePlain}} {
		alice, bob := jar.Mark("alice", "aabbcc", now), jar.Mark("bob", "", now)
		for _, c := range []struct {
			name    string
			fields  []string
			tag     string
			held    string
			several bool
		}{
			{"nothing", nil, "", "", false},
			{"one account", []string{alice}, "alice", "aabbcc", false},
			{"two accounts", []string{alice, bob}, "alice", "aabbcc", true},
			{"one account twice", []string{alice, jar.Mark("alice", "", now)}, "alice", "aabbcc", true},
			{"several", []string{jar.MarkShared(now)}, "", "", true},
			{"a tag that is none", []string{jar.Name + "_used_a.b=1~"}, "", "", true},
			{"fingerprints that are none", []string{jar.Name + "_used_alice=1~a.b"}, "", "", true},
			{"of another site", []string{"x" + alice}, "", "", false},
		} {
			u := usedAfter(jar, c.fields...).Used
			if u.Tag != c.tag || u.Held != c.held || u.Several() != c.several || u.None() != (c.tag == "" && !u.Shared) {
				t.Errorf("%s, %s: %+v", jar.Name, c.name, u)
			}
		}
		if !strings.Contains(alice, "; HttpOnly") || !strings.Contains(alice, "Max-Age=34560000") || strings.Contains(alice, "Domain=") != (jar.Domain != "") {
			t.Errorf("%s: %q", jar.Name, alice)
		}
	}
}

func TestMarksAreRenewed(t *testing.T) {
	jar := Spec{Name: NamePlain}
	set := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, field := range []string{jar.Mark("alice", "", set), jar.MarkShared(set)} {
		c := usedAfter(jar, field)
		for days, want := range map[int]bool{0: true, 6: true, 7: false, 300: false, -2: false} {
			if got := c.Used.Fresh(set.AddDate(0, 0, days)); got != want {
				t.Errorf("%q after %d days: fresh %t", field, days, got)
			}
		}
	}
	for _, value := range []string{"", "~", "!~", "zzzzzzzzzzzzzzzzz~"} {
		if c := usedAfter(jar, "multi_session_used_alice="+value); c.Used.Fresh(set) {
			t.Errorf("%q is fresh", value)
		}
	}
}

func TestParseCountsAllCookies(t *testing.T) {
	c := Spec{Name: NamePlain}.Parse(http.Header{"Cookie": {"a=1; multi_session=x;;  ; b", "multi_session_view=v; multi_session_flow_x=1"}})
	if c.Count != 5 || c.Bytes != len("a=1; multi_session=x;;  ; b")+len("multi_session_view=v; multi_session_flow_x=1") || c.Apps != 2 || !c.Lax {
		t.Errorf("%+v", c)
	}
	if c := (Spec{Name: NamePlain}).Parse(http.Header{"Cookie": {"multi_session=x"}}); c.Apps != 0 || c.Lax {
		t.Errorf("the jar's cookie alone: %+v", c)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("multi_session_used_alice=1~; multi_session_shared=2~; multi_session=" + text1)
	f.Add("__Host-Http-multi_session_used_=~;__Secure-multi_session_shared;=;multi_session_used_a=")
	f.Fuzz(func(t *testing.T, line string) {
		for _, name := range names {
			c := Spec{Name: name}.Parse(http.Header{"Cookie": {line}})
			if c.Used.Tag != "" && !Alphabetic(c.Used.Tag+c.Used.Held) {
				t.Fatalf("%q: tag %q, held %q", line, c.Used.Tag, c.Used.Held)
			}
			if c.Bytes != len(line) || c.Count > strings.Count(line, ";")+1 {
				t.Fatalf("%q: %+v", line, c)
			}
		}
	})
}
