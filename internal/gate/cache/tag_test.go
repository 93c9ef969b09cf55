package cache

import (
	"net/http"
	"strings"
	"testing"
)

func TestParseTags(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []string
		want string // joined; empty for what is no list of tags
	}{
		{"one", []string{`"x"`}, `"x"`},
		{"weak", []string{`W/"x"`}, `W/"x"`},
		{"empty tag", []string{`""`}, `""`},
		{"several", []string{`"x",W/"y" , "z"`}, `"x", W/"y", "z"`},
		{"empty members", []string{`, "x",, "y",`}, `"x", "y"`},
		{"several lines", []string{`"x"`, `"y"`}, `"x", "y"`},
		{"comma within", []string{`"a,b"`}, `"a,b"`},
		{"bytes beyond ASCII", []string{"\"\xff\""}, "\"\xff\""},
		{"nothing", nil, ""},
		{"only commas", []string{", ,"}, ""},
		{"any", []string{"*"}, ""},
		{"without quotes", []string{"x"}, ""},
		{"open quote", []string{`"x`}, ""},
		{"lower-case weak", []string{`w/"x"`}, ""},
		{"space within", []string{`"a b"`}, ""},
		{"control character", []string{"\"a\x7f\""}, ""},
		{"no comma", []string{`"x" "y"`}, ""},
		{"one line malformed", []string{`"x"`, "y"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tags, ok := parseTags(c.in)
			if got := joinTags(tags); ok != (c.want != "") || got != c.want {
				t.Errorf("%q is %q, %t; want %q", c.in, got, ok, c.want)
			}
		})
	}
}

// FuzzTags: the parsers agree, what they read they write, and a sealed tag opens to what was
// sealed, under its own view alone.
func FuzzTags(f *testing.F) {
	f.Add(`"x"`, `W/"y"`)
	f.Add(`"ms~A~ex", W/"ms~B~ey"`, `, "a,b" ,`)
	f.Add(`W/"ms~A~d1"`, `*`)
	f.Fuzz(func(t *testing.T, one, two string) {
		lines := []string{one, two}
		tags, ok := parseTags(lines)
		if ok != (len(tags) > 0) {
			t.Fatalf("%q: %d tags, %t", lines, len(tags), ok)
		}
		again, _ := parseTags([]string{joinTags(tags)})
		if joinTags(again) != joinTags(tags) {
			t.Errorf("%q became %q, and then %q", lines, joinTags(tags), joinTags(again))
		}
		for _, own := range tags {
			sealed, ok := parseTag([]string{alice.sealTag(own)})
			if !ok || !sealed.sealed() {
				t.Fatalf("%q was sealed as %q", own, sealed)
			}
			if v, ok := alice.open(sealed); !ok || v.tag != own || v.date != "" {
				t.Errorf("%q opened to %+v", own, v)
			}
			if v, ok := openAny(sealed); !ok || v.tag != own || v.date != "" {
				t.Errorf("%q opened to %+v under any view", own, v)
			}
			for _, view := range []View{bob, nobody} {
				if v, ok := view.open(sealed); ok {
					t.Errorf("%q opened to %+v under another view", own, v)
				}
			}
		}
		single, ok := parseTag([]string{one})
		list, _ := parseTags([]string{one})
		if ok && (len(list) != 1 || list[0] != single) {
			t.Errorf("%q is %q alone, and %q in a list", one, single, list)
		}
	})
}

// FuzzConditions: whatever conditions come, the upstream is only asked about what this view was
// given.
func FuzzConditions(f *testing.F) {
	f.Add(`"ms~A~ex", W/"ms~B~ey"`, "x")
	f.Add(`"ms~A~d1"`, "")
	f.Add(`*`, "a,b")
	f.Add(`W/"ms~A~e~", , "`, "~ms~A~e")
	open := func(view View, h http.Header) http.Header {
		e := NewExchange(http.MethodGet, h, view, false)
		e.OpenRequest(h)
		return h
	}
	f.Fuzz(func(t *testing.T, list, opaque string) {
		h := open(alice, header("If-None-Match", list, "If-Modified-Since", stamp, "If-Range", list, "Range", "bytes=1-"))
		tags, ok := parseTags(h["If-None-Match"])
		if _, there := h["If-None-Match"]; there != ok {
			t.Errorf("%q became %q", list, h)
		}
		for _, kept := range tags {
			if !strings.Contains(list, alice.sealTag(kept)) {
				t.Errorf("%q became %q", list, h)
			}
		}
		if since := h.Get("If-Modified-Since"); since != "" && !strings.Contains(list, "ms~A~d") {
			t.Errorf("%q became %q", list, h)
		}
		if _, ranged := h["Range"]; ranged && !strings.Contains(list, "ms~A~") {
			t.Errorf("%q became %q", list, h)
		}

		// Nobody's request asks about nothing that a view has sealed.
		h = open(nobody, header("If-None-Match", list, "If-Modified-Since", stamp, "If-Range", list, "Range", "bytes=1-"))
		if strings.Contains(list, mark) && (h.Get("If-Modified-Since") != "" || h.Get("Range") != "") {
			t.Errorf("%q became %q for nobody", list, h)
		}
		for _, kept := range h["If-None-Match"] {
			if tags, _ := parseTags([]string{kept}); hasSealed(tags) {
				t.Errorf("%q became %q for nobody", list, h)
			}
		}

		// What one view is given comes back as it was, and is worth nothing to another.
		answer := header("Etag", `"`+opaque+`"`)
		e := NewExchange(http.MethodGet, header("Sec-Fetch-Dest", "image"), alice, false)
		e.SealAnswer(answer, http.StatusOK, false)
		sealed := answer.Get("Etag")
		if sealed == "" {
			return
		}
		for view, want := range map[View]string{alice: `"` + opaque + `"`, bob: "", nobody: ""} {
			if got := open(view, header("If-None-Match", sealed)).Get("If-None-Match"); got != want {
				t.Errorf("the tag %q of alice is %q under %q", opaque, got, view.name)
			}
		}
	})
}

func hasSealed(tags []tag) bool {
	for _, t := range tags {
		if t.sealed() {
			return true
		}
	}
	return false
}
