package cookie

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestStripRequest(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"none", nil, nil},
		{"others alone stay as they are", []string{" a=1 ;; b = 2,c=3;", ""}, []string{" a=1 ;; b = 2,c=3;", ""}},
		{"alone", []string{NameHost + "=x"}, nil},
		{"first", []string{NameHost + "=x; a=1"}, []string{"a=1"}},
		{"last", []string{"a=1; " + NameHost + "=x"}, []string{"a=1"}},
		{"between", []string{"a=1; " + NameHost + "=x; b=2"}, []string{"a=1; b=2"}},
		{"every name of the gateway's", []string{NameHost + "=x; a=1; " + NameDomain + "=y; " + NamePlain + "=z"}, []string{"a=1"}},
		{"twice", []string{NameHost + "=x; a=1; " + NameHost + "=y"}, []string{"a=1"}},
		{"two lines", []string{"a=1; " + NamePlain + "=x", NameHost + "=x", "b=2"}, []string{"a=1", "b=2"}},
		{"without a value", []string{"a=1; multi_session; b=2"}, []string{"a=1; b=2"}},
		{"empty value", []string{"a=1; multi_session="}, []string{"a=1"}},
		{"spaces and tabs", []string{"a=1;\t " + NamePlain + " \t=x;b=2"}, []string{"a=1;b=2"}},
		{"behind an open quote", []string{`a="1; ` + NameHost + `=x; b=2"`}, []string{`a="1; b=2"`}},
		{"quoted value", []string{NameHost + `="x"; a="1 2"`}, []string{`a="1 2"`}},
		{"value with equals signs", []string{NameHost + "=x=y=; a==1"}, []string{"a==1"}},
		{"separators alone", []string{"; ; " + NameHost + "=x"}, nil},
		{"odd bytes of others", []string{"a=\x80\xff\x01; " + NameHost + "=x; =y; b"}, []string{"a=\x80\xff\x01; =y; b"}},
		{"names that are not the gateway's", []string{"multi_session2=1; my_multi_session=2; multi-session=3; MULTI_SESSION=4; __host-http-multi_session=5"}, []string{"multi_session2=1; my_multi_session=2; multi-session=3; MULTI_SESSION=4; __host-http-multi_session=5"}},
		{"a value that reads as one", []string{"a=multi_session=x; b=2"}, []string{"a=multi_session=x; b=2"}},
	} {
		h := http.Header{"X-Other": {"x"}}
		if c.lines != nil {
			h["Cookie"] = slices.Clone(c.lines)
		}
		StripRequest(h)
		got, ok := h["Cookie"]
		if !slices.Equal(got, c.want) || ok != (c.want != nil) || len(h["X-Other"]) != 1 {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A comma separates no cookies (RFC 6265, section 4.2.1): what stands behind one belongs to the
// value before it, which is left as it is. Servers of RFC 2965 would read a cookie there. It could
// not be the jar's: browsers write a semicolon before that one, so it goes, whoever reads the rest.
func TestCommaSeparatesNothing(t *testing.T) {
	h := http.Header{"Cookie": {"a=1,multi_session=planted; " + NameHost + "=secret,b=2"}}
	StripRequest(h)
	if got := h.Get("Cookie"); got != "a=1,multi_session=planted" {
		t.Errorf("Cookie is %q", got)
	}
}

func TestStripRequestDoesNotAllocateForOthers(t *testing.T) {
	h := http.Header{"Cookie": {"a=1; b=2; c=3"}}
	if n := testing.AllocsPerRun(100, func() { StripRequest(h) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// FuzzStripRequest plants a secret as a browser would send it, among anything.
func FuzzStripRequest(f *testing.F) {
	f.Add("a=1", "b=2", byte(0))
	f.Add(`a="1`, `2"; c`, byte(1))
	f.Add("multi_session", " =\t; multi_session =", byte(2))
	f.Add("a=1,", ",b", byte(0))
	f.Fuzz(func(t *testing.T, before, after string, which byte) {
		// The values that net/http's server lets through.
		for _, s := range []string{before, after} {
			if strings.ContainsFunc(s, Control) {
				return
			}
		}
		const secret = "SeCrEt-0123456789"
		if strings.Contains(before+after, "SeCrEt") {
			return
		}
		lines := []string{before, before + "; " + names[int(which)%len(names)] + "=" + secret + "; " + after, after}
		var others []string
		for _, line := range lines {
			others = append(others, foreign(line)...)
		}
		h := http.Header{"Cookie": slices.Clone(lines)}
		StripRequest(h)

		var left []string
		for _, line := range h["Cookie"] {
			if strings.Contains(line, secret) {
				t.Fatalf("%q: the secret is left in %q", lines, line)
			}
			for part := range strings.SplitSeq(line, ";") {
				name, _, _ := strings.Cut(part, "=")
				if reserved(strings.Trim(name, " \t")) {
					t.Fatalf("%q: %q is left", lines, part)
				}
			}
			left = append(left, foreign(line)...)
		}
		for _, c := range (&http.Request{Header: h}).Cookies() {
			if reserved(c.Name) {
				t.Fatalf("%q: net/http reads %s in %q", lines, c.Name, h["Cookie"])
			}
		}
		if !slices.Equal(left, others) {
			t.Fatalf("%q: other cookies were %q and are %q", lines, others, left)
		}
	})
}

// foreign returns the cookies of a line that are not the gateway's, byte for byte but for the white
// space before each, which belongs to none.
func foreign(line string) []string {
	var others []string
	for part := range strings.SplitSeq(line, ";") {
		name, _, _ := strings.Cut(part, "=")
		if part = strings.TrimLeft(part, " \t"); part != "" && !reserved(strings.Trim(name, " \t")) {
			others = append(others, part)
		}
	}
	return others
}

func TestFilterSetCookie(t *testing.T) {
	const attributes = "; Path=/; Domain=example.com; Max-Age=0; SECURE; httponly"
	for _, c := range []struct {
		name, line string
		kept       bool
	}{
		{"another's", "a=1; Path=/", true},
		{"another's, deleted", "a=; Max-Age=0", true},
		{"name that begins alike", "multi_session2=1", true},
		{"name that ends alike", "my_multi_session=1", true},
		{"other case, another cookie", "Multi_Session=1", true},
		{"value that reads as one", "a=multi_session=1", true},
		{"attribute that reads as one", "a=1; multi_session=1", true},
		{"nameless", "=1", true},
		{"nameless without equals sign", "abc", true},
		{"tab in a value", "a=1\t2", true},
		{"empty", "", true},

		{"set", "multi_session=1", false},
		{"deleted", "multi_session=; expires=Thu, 01 Jan 1970 00:00:00 GMT", false},
		{"spaces before", "   multi_session=1", false},
		{"tab before", "\tmulti_session=1", false},
		{"space before the equals sign", "multi_session =1", false},
		{"tabs around all", "\t multi_session\t =\t1\t", false},
		{"no equals sign", "multi_session", false},
		{"no equals sign, attributes", " multi_session ; Path=/", false},
		{"nameless, sent back as one", "=multi_session=1", false},
		{"nameless, with spaces", " = multi_session = 1", false},
		{"nameless, without a value", "=multi_session", false},
		{"NUL before, which some trim", "\x00multi_session=1", false},
		{"NUL within, where some cut", "multi_session\x00x=1", false},
		{"line feed before", "\nmulti_session=1", false},
		{"return before", "\rmulti_session=1", false},
		{"vertical tab before", "\vmulti_session=1", false},
		{"form feed behind the name", "multi_session\f=1", false},
		{"delete character before", "\x7fmulti_session=1", false},
		{"line feed, and a second field", "a=1\nSet-Cookie: multi_session=1", false},
	} {
		for _, name := range names {
			for _, suffix := range []string{"", attributes} {
				line := strings.Replace(c.line, "multi_session", name, 1) + suffix
				if strings.HasPrefix(c.line, "my_") {
					line = c.line + suffix
				}
				h := http.Header{"Set-Cookie": {"first=1", line, "last=1"}}
				FilterResponse(h)
				want := []string{"first=1", "last=1"}
				if c.kept {
					want = []string{"first=1", line, "last=1"}
				}
				if got := h["Set-Cookie"]; !slices.Equal(got, want) {
					t.Errorf("%s: of %q is left %q", c.name, line, got)
				}
			}
		}
	}
	h := http.Header{"Set-Cookie": {NameHost + "=1", NamePlain + "=1"}, "X-Other": {"1"}}
	FilterResponse(h)
	if _, ok := h["Set-Cookie"]; ok || len(h) != 1 {
		t.Errorf("with none left the header is %v", h)
	}
}

// An upstream's handler may still hold the list that it gave to the header.
func TestFilterLeavesTheCallersListAlone(t *testing.T) {
	lines := []string{NameHost + "=1", "a=1", "b=2"}
	h := http.Header{"Set-Cookie": lines}
	FilterResponse(h)
	if lines[0] != NameHost+"=1" || lines[1] != "a=1" {
		t.Errorf("the list is now %q", lines)
	}
	lines = []string{"a=1; " + NameHost + "=1; b=2", NameHost + "=1"}
	h = http.Header{"Cookie": lines}
	StripRequest(h)
	if lines[0] != "a=1; "+NameHost+"=1; b=2" {
		t.Errorf("the list is now %q", lines)
	}
}

func TestFilterClearSiteData(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  string // empty for none
	}{
		{"others", []string{`"cache", "storage"`}, `"cache", "storage"`},
		{"cookies", []string{`"cookies"`}, ""},
		{"cookies among others", []string{`"cache","cookies" ,	"storage"`}, `"cache", "storage"`},
		{"two lines", []string{`"cookies"`, `"cache"`}, `"cache"`},
		{"cookies on two lines", []string{`"cookies"`, `"cookies"`}, ""},
		{"wildcard", []string{`"*"`}, everythingElse},
		{"wildcard and cookies", []string{`"*", "cookies"`}, everythingElse},
		{"other case", []string{`"Cookies", "COOKIES"`}, ""},
		{"without quotes", []string{`cookies, *`}, everythingElse},
		{"one quote", []string{`"cookies, cookies"`}, ""},
		{"white space of all kinds", []string{"\v\"cookies\"\f, \u00a0\"cookies\""}, ""},
		{"empty", []string{""}, ""},
		{"commas", []string{`, ,"cache",`}, `"cache"`},
		{"directive of its own", []string{`"x", "cookies"`}, `"x"`},
	} {
		h := http.Header{"Clear-Site-Data": c.lines}
		FilterResponse(h)
		got := strings.Join(h["Clear-Site-Data"], "|")
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if strings.Contains(strings.ToLower(got), "cookies") || strings.Contains(got, "*") {
			t.Errorf("%s: %q clears cookies", c.name, got)
		}
		if _, ok := h["Clear-Site-Data"]; ok != (c.want != "") {
			t.Errorf("%s: the field is there: %t", c.name, ok)
		}
	}
}

// FuzzFilterResponse takes what is left as a browser would (RFC 6265bis, section 5.6), and sends it
// back as a browser would: the gateway must not find its cookie there.
func FuzzFilterResponse(f *testing.F) {
	f.Add("multi_session=1; Path=/")
	f.Add(" \t=multi_session =1")
	f.Add("\x00multi_session=1")
	f.Add("==multi_session")
	f.Fuzz(func(t *testing.T, line string) {
		h := http.Header{"Set-Cookie": {line}}
		FilterResponse(h)
		if len(h["Set-Cookie"]) == 0 {
			return
		}
		// Both the cut at a Control character that older browsers make and none at all.
		cut := strings.IndexFunc(line, Control)
		if cut < 0 {
			cut = len(line)
		}
		for _, received := range []string{line, line[:cut], strings.TrimFunc(line, Control)} {
			pair, _, _ := strings.Cut(received, ";")
			name, value, found := strings.Cut(pair, "=")
			if !found {
				name, value = "", pair
			}
			name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
			sent := value
			if name != "" {
				sent = name + "=" + value
			}
			for _, n := range names {
				got := readToken(Spec{Name: n}, http.Header{"Cookie": {n + "=" + text1 + "; " + sent}})
				if got.IsZero() {
					t.Fatalf("%q is let through, and signs the browser out as %q", line, sent)
				}
			}
		}
	})
}

func BenchmarkStripRequest(b *testing.B) {
	line := []string{"_ga=GA1.1.1234567890.1700000000; " + NameHost + "=" + text1 + "; grafana_session=0123456789abcdef; theme=dark"}
	h := http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		h["Cookie"] = line
		StripRequest(h)
	}
}

func BenchmarkFilterResponse(b *testing.B) {
	h := http.Header{"Content-Type": {"text/html"}, "Set-Cookie": {"grafana_session=0123456789abcdef; Path=/; HttpOnly"}}
	b.ReportAllocs()
	for b.Loop() {
		FilterResponse(h)
	}
}

// What net/http sends as trailers is in the same map, under names of its own.
func TestFilterTrailers(t *testing.T) {
	h := http.Header{
		http.TrailerPrefix + "Set-Cookie":      {"multi_session=planted", "app=1"},
		http.TrailerPrefix + "Clear-Site-Data": {`"*"`},
		http.TrailerPrefix + "X-Checksum":      {"1"},
	}
	FilterResponse(h)
	if len(h) != 1 || h[http.TrailerPrefix+"X-Checksum"] == nil {
		t.Errorf("left: %v", h)
	}
}
