package cache

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// header makes one of names and values in turn.
func header(pairs ...string) http.Header {
	h := make(http.Header)
	for pair := range slices.Chunk(pairs, 2) {
		h.Add(pair[0], pair[1])
	}
	return h
}

func checkHeader(t *testing.T, got, want http.Header) {
	t.Helper()
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %q, want none", name, got[name])
		}
	}
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: %q, want %q", name, got[name], want[name])
		}
	}
}

const (
	stamp  = "Sat, 28 Nov 2026 10:00:00 GMT"
	stampA = `W/"ms~A~dtp7ig0"` // stamp under the view A
)

func TestRequest(t *testing.T) {
	for name, c := range map[string]struct {
		method   string // GET
		public   bool
		in, want http.Header
	}{
		"no condition":               {in: header("Accept", "*/*"), want: header("Accept", "*/*")},
		"of this view":               {in: header("If-None-Match", `"ms~A~ex"`), want: header("If-None-Match", `"x"`)},
		"weak":                       {in: header("If-None-Match", `W/"ms~A~ex"`), want: header("If-None-Match", `W/"x"`)},
		"empty":                      {in: header("If-None-Match", `"ms~A~e"`), want: header("If-None-Match", `""`)},
		"with a comma and a mark":    {in: header("If-None-Match", `"ms~A~ea,b~ms~B~"`), want: header("If-None-Match", `"a,b~ms~B~"`)},
		"of another view":            {in: header("If-None-Match", `"ms~B~ex"`), want: header()},
		"of a view with a prefix":    {in: header("If-None-Match", `"ms~A2~ex"`), want: header()},
		"of several views":           {in: header("If-None-Match", `"ms~B~ex", "ms~A~ey" , W/"ms~A~ez"`), want: header("If-None-Match", `"y", W/"z"`)},
		"in two lines":               {in: header("If-None-Match", `"ms~A~ex"`, "If-None-Match", `"ms~A~ey"`), want: header("If-None-Match", `"x", "y"`)},
		"from before the gateway":    {in: header("If-None-Match", `"x"`), want: header()},
		"any":                        {in: header("If-None-Match", `*`), want: header()},
		"malformed":                  {in: header("If-None-Match", `"ms~A~ex`), want: header()},
		"malformed behind one":       {in: header("If-None-Match", `"ms~A~ex" "ms~A~ey"`), want: header()},
		"of no kind":                 {in: header("If-None-Match", `"ms~A~"`), want: header()},
		"of a kind of a later one":   {in: header("If-None-Match", `"ms~A~zx"`), want: header()},
		"date":                       {in: header("If-None-Match", stampA), want: header("If-Modified-Since", stamp)},
		"date of another view":       {in: header("If-None-Match", strings.Replace(stampA, "A", "B", 1)), want: header()},
		"date that is none":          {in: header("If-None-Match", `W/"ms~A~d-1"`), want: header()},
		"date that cannot be":        {in: header("If-None-Match", `W/"ms~A~dzzzzzzzzzz"`), want: header()},
		"bare date":                  {in: header("If-Modified-Since", stamp), want: header()},
		"another's with a date":      {in: header("If-None-Match", `"ms~B~ex"`, "If-Modified-Since", stamp), want: header()},
		"one's own with a date":      {in: header("If-None-Match", `"ms~A~ex"`, "If-Modified-Since", stamp), want: header("If-None-Match", `"x"`)},
		"part of this view":          {in: header("Range", "bytes=1-", "If-Range", `"ms~A~ex"`), want: header("Range", "bytes=1-", "If-Range", `"x"`)},
		"part of another view":       {in: header("Range", "bytes=1-", "If-Range", `"ms~B~ex"`), want: header()},
		"part as of a date":          {in: header("Range", "bytes=1-", "If-Range", stamp), want: header()},
		"part":                       {in: header("Range", "bytes=1-"), want: header("Range", "bytes=1-")},
		"of HEAD":                    {method: "HEAD", in: header("If-None-Match", `"ms~B~ex"`), want: header()},
		"write to this view":         {method: "PUT", in: header("If-Match", `"ms~A~ex"`), want: header("If-Match", `"x"`)},
		"write to another view":      {method: "PUT", in: header("If-Match", `"ms~B~ex"`), want: header("If-Match", `"ms~B~ex"`)},
		"write of a client of old":   {method: "PUT", in: header("If-Match", `"x"`), want: header("If-Match", `"x"`)},
		"write to whatever is there": {method: "PUT", in: header("If-Match", `*`), want: header("If-Match", `*`)},
		"write of what is new":       {method: "PUT", in: header("If-None-Match", `*`), want: header("If-None-Match", `*`)},
		"write as of a date":         {method: "PUT", in: header("If-Unmodified-Since", stamp), want: header("If-Unmodified-Since", stamp)},
		"malformed write":            {method: "PUT", in: header("If-Match", `x`), want: header("If-Match", `x`)},
		"public":                     {public: true, in: header("If-None-Match", `"x"`, "If-Modified-Since", stamp), want: header("If-None-Match", `"x"`, "If-Modified-Since", stamp)},
		"public by date":             {public: true, in: header("If-Modified-Since", stamp), want: header("If-Modified-Since", stamp)},
		"public, once with a cookie": {public: true, in: header("If-None-Match", `"ms~B~ex"`, "If-Modified-Since", stamp), want: header()},
		"public part":                {public: true, in: header("Range", "bytes=1-", "If-Range", `"x"`), want: header("Range", "bytes=1-", "If-Range", `"x"`)},
		"public part by date":        {public: true, in: header("Range", "bytes=1-", "If-Range", stamp), want: header("Range", "bytes=1-", "If-Range", stamp)},
	} {
		t.Run(name, func(t *testing.T) {
			if c.method == "" {
				c.method = http.MethodGet
			}
			Of(c.method, c.in, "A", c.public).Request(c.in)
			checkHeader(t, c.in, c.want)
		})
	}
}

func TestAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		method, dest string // GET, image
		status       int    // 200
		public, late bool
		in, want     http.Header
	}{
		"public by the upstream": {in: header("Cache-Control", "public, max-age=3600, s-maxage=9, immutable", "Etag", `"x"`),
			want: header("Cache-Control", "private, no-cache", "Etag", `"ms~A~ex"`, "Vary", "Cookie")},
		"nothing said":        {in: header(), want: header("Cache-Control", "private, no-cache", "Vary", "Cookie")},
		"expiry":              {in: header("Expires", stamp, "Age", "7"), want: header("Cache-Control", "private, no-cache", "Vary", "Cookie")},
		"weak":                {in: header("Etag", `W/"x"`), want: header("Cache-Control", "private, no-cache", "Etag", `W/"ms~A~ex"`, "Vary", "Cookie")},
		"like one of another": {in: header("Etag", `"ms~B~ex"`), want: header("Cache-Control", "private, no-cache", "Etag", `"ms~A~ems~B~ex"`, "Vary", "Cookie")},
		"malformed tag":       {in: header("Etag", `x`), want: header("Cache-Control", "private, no-cache", "Vary", "Cookie")},
		"malformed tag with a date": {in: header("Etag", `x`, "Last-Modified", stamp),
			want: header("Cache-Control", "private, no-cache", "Etag", stampA, "Last-Modified", stamp, "Vary", "Cookie")},
		"two tags": {in: header("Etag", `"x"`, "Etag", `"y"`), want: header("Cache-Control", "private, no-cache", "Vary", "Cookie")},
		"date":     {in: header("Last-Modified", stamp), want: header("Cache-Control", "private, no-cache", "Etag", stampA, "Last-Modified", stamp, "Vary", "Cookie")},
		"no date":  {in: header("Last-Modified", "today"), want: header("Cache-Control", "private, no-cache", "Last-Modified", "today", "Vary", "Cookie")},
		"not modified": {status: 304, in: header("Etag", `"x"`, "Cache-Control", "max-age=60"),
			want: header("Cache-Control", "private, no-cache", "Etag", `"ms~A~ex"`, "Vary", "Cookie")},
		"part":            {status: 206, in: header("Etag", `"x"`), want: header("Cache-Control", "private, no-cache", "Etag", `"ms~A~ex"`, "Vary", "Cookie")},
		"varied":          {in: header("Vary", "Accept, COOKIE"), want: header("Cache-Control", "private, no-cache", "Vary", "Accept, COOKIE")},
		"varied by all":   {in: header("Vary", "*"), want: header("Cache-Control", "private, no-cache", "Vary", "*")},
		"varied by other": {in: header("Vary", "Accept"), want: http.Header{"Cache-Control": {"private, no-cache"}, "Vary": {"Accept", "Cookie"}}},
		"for other caches": {in: header("Cdn-Cache-Control", "max-age=9", "Cloudflare-Cdn-Cache-Control", "max-age=9", "Surrogate-Control", "max-age=9", "X-Accel-Expires", "9", "Edge-Control", "max-age=9"),
			want: header("Cache-Control", "private, no-cache", "Vary", "Cookie")},
		"not to be stored":       {in: header("Cache-Control", "No-Store, no-transform"), want: header("Cache-Control", "no-store, no-transform")},
		"late":                   {late: true, in: header("Cache-Control", "max-age=9"), want: header("Cache-Control", "no-store")},
		"page":                   {dest: "document", in: header("Cache-Control", "max-age=9"), want: header("Cache-Control", "no-store")},
		"page in a frame":        {dest: "iframe", in: header(), want: header("Cache-Control", "no-store")},
		"page of an old browser": {dest: "-", in: header("Content-Type", "Text/HTML; charset=utf-8"), want: header("Cache-Control", "no-store", "Content-Type", "Text/HTML; charset=utf-8")},
		"image of an old browser": {dest: "-", in: header("Content-Type", "image/png"),
			want: header("Cache-Control", "private, no-cache", "Content-Type", "image/png", "Vary", "Cookie")},
		"of no type, of an old browser": {dest: "-", in: header(), want: header("Cache-Control", "no-store")},
		"moved for good":                {status: 301, in: header("Location", "/of/alice"), want: header("Location", "/of/alice", "Cache-Control", "no-store")},
		"write":                         {method: "PUT", in: header("Etag", `"x"`), want: header("Cache-Control", "no-store", "Etag", `"x"`)},
		"public":                        {public: true, in: header("Cache-Control", "max-age=9", "Etag", `"x"`), want: header("Cache-Control", "max-age=9", "Etag", `"x"`)},
		"public page":                   {public: true, dest: "document", in: header("Cache-Control", "max-age=9"), want: header("Cache-Control", "max-age=9")},
		"public with a cookie": {public: true, in: header("Cache-Control", "max-age=9", "Etag", `"x"`, "Set-Cookie", "a=1"),
			want: header("Cache-Control", "private, no-cache", "Etag", `"ms~A~ex"`, "Set-Cookie", "a=1", "Vary", "Cookie")},
	} {
		t.Run(name, func(t *testing.T) {
			if c.method == "" {
				c.method = http.MethodGet
			}
			if c.status == 0 {
				c.status = http.StatusOK
			}
			request := header("Sec-Fetch-Dest", c.dest)
			switch c.dest {
			case "":
				request.Set("Sec-Fetch-Dest", "image")
			case "-":
				request = header()
			}
			Of(c.method, request, "A", c.public).Answer(c.in, c.status, c.late)
			checkHeader(t, c.in, c.want)
		})
	}
}

// FuzzConditions: whatever comes as conditions, what the upstream gets of it is what this view was given.
func FuzzConditions(f *testing.F) {
	f.Add(`"ms~A~ex", W/"ms~B~ey"`, "x")
	f.Add(`"ms~A~d1"`, "")
	f.Add(`*`, "a,b")
	f.Add(`W/"ms~A~e~", , "`, "~ms~A~e")
	f.Fuzz(func(t *testing.T, list, opaque string) {
		h := header("If-None-Match", list, "If-Modified-Since", stamp, "If-Range", list, "Range", "bytes=1-")
		Of(http.MethodGet, h, "A", false).Request(h)
		tags, ok := parseTags(h["If-None-Match"])
		if _, there := h["If-None-Match"]; there != ok {
			t.Errorf("%q became %q", list, h)
		}
		for _, kept := range tags {
			if !strings.Contains(list, joinTags([]tag{Exchange{view: "A"}.sealTag(kept)})) {
				t.Errorf("%q became %q", list, h)
			}
		}
		if strings.Contains(h.Get("If-Range"), "ms~B~") && !strings.Contains(list, "ms~A~e") {
			t.Errorf("%q became %q", list, h)
		}

		// What one view is given comes back as it was, and is worth nothing to another.
		answer := header("Etag", `"`+opaque+`"`)
		Of(http.MethodGet, header("Sec-Fetch-Dest", "image"), "A", false).Answer(answer, http.StatusOK, false)
		sealed := answer.Get("Etag")
		for view, want := range map[string]string{"A": `"` + opaque + `"`, "B": "", "0": ""} {
			h := header("If-None-Match", sealed)
			Of(http.MethodGet, h, view, false).Request(h)
			if got := h.Get("If-None-Match"); sealed != "" && got != want {
				t.Errorf("the tag %q of A is %q under %s", opaque, got, view)
			}
		}
	})
}
