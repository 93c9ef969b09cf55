package cache

import (
	"net/http"
	"testing"
)

func TestSealAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		method, dest string // GET, image
		status       int    // 200
		nobody       bool   // else alice
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
		"two tags":         {in: header("Etag", `"x"`, "Etag", `"y"`), want: header("Cache-Control", "private, no-cache", "Vary", "Cookie")},
		"date":             {in: header("Last-Modified", stamp), want: header("Cache-Control", "private, no-cache", "Etag", stampA, "Last-Modified", stamp, "Vary", "Cookie")},
		"no date":          {in: header("Last-Modified", "today"), want: header("Cache-Control", "private, no-cache", "Vary", "Cookie")},
		"two dates":        {in: header("Last-Modified", stamp, "Last-Modified", stamp), want: header("Cache-Control", "private, no-cache", "Vary", "Cookie")},
		"epoch":            {in: header("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT"), want: header("Cache-Control", "private, no-cache", "Etag", `W/"ms~A~d0"`, "Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT", "Vary", "Cookie")},
		"before the epoch": {in: header("Last-Modified", "Thu, 01 Jan 1931 00:00:00 GMT"), want: header("Cache-Control", "private, no-cache", "Vary", "Cookie")},
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
		"of no type, of an old browser":          {dest: "-", in: header(), want: header("Cache-Control", "no-store")},
		"of two types, of an old browser":        {dest: "-", in: header("Content-Type", "image/png", "Content-Type", "text/html"), want: header("Cache-Control", "no-store", "Content-Type", "image/png", "Content-Type", "text/html")},
		"of a malformed type, of an old browser": {dest: "-", in: header("Content-Type", "image/png, text/html"), want: header("Cache-Control", "no-store", "Content-Type", "image/png, text/html")},
		"XHTML of an old browser":                {dest: "-", in: header("Content-Type", "application/XHTML+xml"), want: header("Cache-Control", "no-store", "Content-Type", "application/XHTML+xml")},
		"moved for good":                         {status: 301, in: header("Location", "/of/alice"), want: header("Location", "/of/alice", "Cache-Control", "no-store")},
		"write":                                  {method: "PUT", in: header("Etag", `"x"`), want: header("Cache-Control", "no-store", "Etag", `"x"`)},
		"public":                                 {public: true, in: header("Cache-Control", "max-age=9", "Etag", `"x"`), want: header("Cache-Control", "max-age=9", "Etag", `"x"`)},
		"public page":                            {public: true, dest: "document", in: header("Cache-Control", "max-age=9"), want: header("Cache-Control", "max-age=9")},
		"public with a cookie": {public: true, in: header("Cache-Control", "max-age=9", "Etag", `"x"`, "Set-Cookie", "a=1"),
			want: header("Cache-Control", "private, no-cache", "Etag", `"ms~A~ex"`, "Set-Cookie", "a=1", "Vary", "Cookie")},

		"nobody's": {nobody: true, in: header("Cache-Control", "public, max-age=9", "Expires", stamp, "Etag", `W/"x"`, "Last-Modified", stamp),
			want: header("Cache-Control", "private, no-cache", "Etag", `W/"x"`, "Last-Modified", stamp, "Vary", "Cookie")},
		"nobody's date":                      {nobody: true, in: header("Last-Modified", stamp), want: header("Cache-Control", "private, no-cache", "Last-Modified", stamp, "Vary", "Cookie")},
		"nobody's malformed tag":             {nobody: true, in: header("Etag", "x"), want: header("Cache-Control", "private, no-cache", "Etag", "x", "Vary", "Cookie")},
		"nobody's page":                      {nobody: true, dest: "document", in: header("Etag", `"x"`), want: header("Cache-Control", "no-store", "Etag", `"x"`)},
		"nobody's, late":                     {nobody: true, late: true, in: header("Etag", `"x"`), want: header("Cache-Control", "no-store", "Etag", `"x"`)},
		"nobody's, looks like one of a view": {nobody: true, in: header("Etag", `"ms~A~ex"`), want: header("Cache-Control", "private, no-cache", "Vary", "Cookie")},
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
			view := alice
			if c.nobody {
				view = nobody
			}
			e := NewExchange(c.method, request, view, c.public)
			e.SealAnswer(c.in, c.status, c.late)
			checkHeader(t, c.in, c.want)
		})
	}
}

// TestRangeKeepsItsTag: a part without validators gets the tag that its If-Range named.
func TestRangeKeepsItsTag(t *testing.T) {
	for name, c := range map[string]struct {
		view     View
		ifRange  string
		status   int
		in, want string // Etag
	}{
		"date":                {alice, stampA, 206, "", stampA},
		"tag":                 {alice, `"ms~A~ex"`, 206, "", `"ms~A~ex"`},
		"upstream names one":  {alice, `"ms~A~ex"`, 206, `"x"`, `"ms~A~ex"`},
		"whole":               {alice, stampA, 200, "", ""},
		"of another view":     {bob, stampA, 206, "", ""},
		"of nobody":           {nobody, `"x"`, 206, "", ""},
		"nobody sends a view": {nobody, stampA, 206, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			request := header("Sec-Fetch-Dest", "audio", "Range", "bytes=1-", "If-Range", c.ifRange)
			e := NewExchange(http.MethodGet, request, c.view, false)
			e.OpenRequest(request)
			answer := http.Header{}
			if c.in != "" {
				answer.Set("Etag", c.in)
			}
			e.SealAnswer(answer, c.status, false)
			if got := answer.Get("Etag"); got != c.want {
				t.Errorf("Etag %q, want %q", got, c.want)
			}
		})
	}
}

// TestAnswersShareNothing: what one answer is given stays what it is when the next one is sealed,
// and when handlers behind change or extend it.
func TestAnswersShareNothing(t *testing.T) {
	request := header("Sec-Fetch-Dest", "image")
	first, second := NewExchange(http.MethodGet, request, alice, false), NewExchange(http.MethodGet, request, bob, false)
	one, two := header("Etag", `"x"`), header("Etag", `"y"`)
	first.SealAnswer(one, http.StatusOK, false)
	second.SealAnswer(two, http.StatusOK, false)
	for name, lines := range two {
		lines[0] += "; changed"
		two.Add(name, "added")
	}
	checkHeader(t, one, header("Cache-Control", "private, no-cache", "Etag", `"ms~A~ex"`, "Vary", "Cookie"))
}
