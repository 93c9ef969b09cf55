package cache

import (
	"net/http"
	"strings"
	"testing"
)

func TestOpenRequest(t *testing.T) {
	for name, c := range map[string]struct {
		method   string // GET
		nobody   bool   // else alice
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
		"part of a weak tag":         {in: header("Range", "bytes=1-", "If-Range", `W/"ms~A~ex"`), want: header("Range", "bytes=1-", "If-Range", `W/"x"`)},
		"part of a date's tag":       {in: header("Range", "bytes=1-", "If-Range", stampA), want: header("Range", "bytes=1-", "If-Range", stamp)},
		"part of another's date":     {in: header("Range", "bytes=1-", "If-Range", strings.Replace(stampA, "A", "B", 1)), want: header()},
		"part of two tags":           {in: header("Range", "bytes=1-", "If-Range", `"ms~A~ex", "ms~A~ey"`), want: header()},
		"part of a plain tag":        {in: header("Range", "bytes=1-", "If-Range", `"x"`), want: header()},
		"part of the epoch":          {in: header("Range", "bytes=1-", "If-Range", `W/"ms~A~d0"`), want: header("Range", "bytes=1-", "If-Range", "Thu, 01 Jan 1970 00:00:00 GMT")},
		"part as of a date":          {in: header("Range", "bytes=1-", "If-Range", stamp), want: header()},
		"part":                       {in: header("Range", "bytes=1-"), want: header("Range", "bytes=1-")},
		"of HEAD":                    {method: "HEAD", in: header("If-None-Match", `"ms~B~ex"`), want: header()},
		"write to this view":         {method: "PUT", in: header("If-Match", `"ms~A~ex"`), want: header("If-Match", `"x"`)},
		"write to another view":      {method: "PUT", in: header("If-Match", `"ms~B~ex", W/"ms~C~ey"`), want: header("If-Match", `"x", W/"y"`)},
		"write as of a date's tag":   {method: "PUT", in: header("If-Match", stampA), want: header("If-Match", stampA)},
		"write of nobody":            {method: "PUT", nobody: true, in: header("If-Match", `"ms~B~ex"`), want: header("If-Match", `"x"`)},
		"write unless it is there":   {method: "PUT", in: header("If-None-Match", `"ms~B~ex"`), want: header("If-None-Match", `"x"`)},
		"read if of this view":       {in: header("If-Match", `"ms~A~ex"`), want: header("If-Match", `"x"`)},
		"read if of another view":    {in: header("If-Match", `"ms~B~ex"`), want: header("If-Match", `"ms~B~ex"`)},
		"nobody reads if of a view":  {nobody: true, in: header("If-Match", `"ms~B~ex"`), want: header("If-Match", `"ms~B~ex"`)},
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

		"nobody by tag":                   {nobody: true, in: header("If-None-Match", `"x"`, "If-Modified-Since", stamp), want: header("If-None-Match", `"x"`, "If-Modified-Since", stamp)},
		"nobody by date":                  {nobody: true, in: header("If-Modified-Since", stamp), want: header("If-Modified-Since", stamp)},
		"nobody, any":                     {nobody: true, in: header("If-None-Match", `*`), want: header("If-None-Match", `*`)},
		"nobody, malformed":               {nobody: true, in: header("If-None-Match", `x`), want: header("If-None-Match", `x`)},
		"nobody, part":                    {nobody: true, in: header("Range", "bytes=1-", "If-Range", `W/"x"`), want: header("Range", "bytes=1-", "If-Range", `W/"x"`)},
		"nobody, part by date":            {nobody: true, in: header("Range", "bytes=1-", "If-Range", stamp), want: header("Range", "bytes=1-", "If-Range", stamp)},
		"nobody, once somebody":           {nobody: true, in: header("If-None-Match", `"ms~B~ex"`, "If-Modified-Since", stamp), want: header()},
		"nobody, once somebody, by date":  {nobody: true, in: header("If-None-Match", stampA, "If-Modified-Since", stamp), want: header()},
		"nobody, of both":                 {nobody: true, in: header("If-None-Match", `"ms~B~ex", "x"`, "If-Modified-Since", stamp), want: header("If-None-Match", `"x"`)},
		"nobody, malformed, of a view":    {nobody: true, in: header("If-None-Match", `ms~B~ex`, "If-Modified-Since", stamp), want: header()},
		"nobody, part, once somebody":     {nobody: true, in: header("Range", "bytes=1-", "If-Range", `"ms~B~ex"`), want: header()},
		"nobody, date part of a view":     {nobody: true, in: header("Range", "bytes=1-", "If-Range", stampA), want: header()},
		"nobody, view with an empty name": {nobody: true, in: header("If-None-Match", `"ms~~ex"`), want: header()},
	} {
		t.Run(name, func(t *testing.T) {
			if c.method == "" {
				c.method = http.MethodGet
			}
			view := alice
			if c.nobody {
				view = nobody
			}
			e := NewExchange(c.method, c.in, view, c.public)
			e.OpenRequest(c.in)
			checkHeader(t, c.in, c.want)
		})
	}
}
