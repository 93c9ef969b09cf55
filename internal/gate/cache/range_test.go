package cache

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// file serves bytes the way that most Go apps do, with a date and, where tag is not empty, an ETag.
func file(content []byte, modified time.Time, tag string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tag != "" {
			w.Header().Set("Etag", tag)
		}
		http.ServeContent(w, r, "f.bin", modified, bytes.NewReader(content))
	})
}

// behind puts the package in front of an upstream. The query names the view.
func behind(upstream http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var view View
		if name := r.URL.RawQuery; name != "" {
			view = NewView(name)
		}
		e := NewExchange(r.Method, r.Header, view, false)
		e.OpenRequest(r.Header)
		upstream.ServeHTTP(&sealer{ResponseWriter: w, exchange: &e}, r)
	})
}

type sealer struct {
	http.ResponseWriter
	exchange *Exchange
}

func (s *sealer) WriteHeader(status int) {
	s.exchange.SealAnswer(s.Header(), status, false)
	s.ResponseWriter.WriteHeader(status)
}

// TestRanges: a browser that has part of a file asks for another part, with the validator that it
// was given for the first one.
func TestRanges(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	modified := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	changed := append([]byte("new "), content...)
	dated, tagged, weak := file(content, modified, ""), file(content, modified, `"x"`), file(content, modified, `W/"x"`)
	bare := file(content, time.Time{}, "")
	const part, rest = "bytes=0-999", "bytes=1000-1999"
	for name, c := range map[string]struct {
		first, then reading // the first one asks for part without a condition
		status      int
	}{
		"date, same view":       {reading{dated, "A", part}, reading{dated, "A", rest}, 206},
		"date, changed":         {reading{dated, "A", part}, reading{file(changed, modified.Add(time.Second), ""), "A", rest}, 200},
		"date, older one":       {reading{dated, "A", part}, reading{file(changed, modified.Add(-time.Second), ""), "A", rest}, 200},
		"date, another view":    {reading{dated, "A", part}, reading{dated, "B", rest}, 200},
		"date, signed out":      {reading{dated, "A", part}, reading{dated, "", rest}, 200},
		"date, signed in":       {reading{dated, "", part}, reading{dated, "A", rest}, 200},
		"date, nobody":          {reading{dated, "", part}, reading{dated, "", rest}, 206},
		"tag, same view":        {reading{tagged, "A", part}, reading{tagged, "A", rest}, 206},
		"tag, changed":          {reading{tagged, "A", part}, reading{file(changed, modified, `"y"`), "A", rest}, 200},
		"tag, another view":     {reading{tagged, "A", part}, reading{tagged, "B", rest}, 200},
		"tag, signed out":       {reading{tagged, "A", part}, reading{tagged, "", rest}, 200},
		"tag, nobody":           {reading{tagged, "", part}, reading{tagged, "", rest}, 206},
		"tag in place of date":  {reading{dated, "A", part}, reading{tagged, "A", rest}, 206},
		"weak tag, as upstream": {reading{weak, "A", part}, reading{weak, "A", rest}, 200},
		"no validator":          {reading{bare, "A", part}, reading{bare, "A", rest}, 206},
	} {
		t.Run(name, func(t *testing.T) {
			first := c.first.do("", nil)
			if first.StatusCode != http.StatusPartialContent {
				t.Fatalf("first part: %d", first.StatusCode)
			}
			validator := first.Header.Get("Etag")
			if validator == "" {
				validator = first.Header.Get("Last-Modified")
			}
			then := c.then.do("If-Range", []string{validator})
			if then.StatusCode != c.status {
				t.Errorf("If-Range %q: %d, want %d", validator, then.StatusCode, c.status)
			}
			body, err := io.ReadAll(then.Body)
			if err != nil {
				t.Fatal(err)
			}
			if c.status == http.StatusPartialContent && !bytes.Equal(body, content[1000:2000]) {
				t.Errorf("%d bytes, not those that were asked for", len(body))
			}
			if c.status == http.StatusPartialContent && c.then.view == c.first.view && then.Header.Get("Etag") == "" && first.Header.Get("Etag") != "" {
				t.Error("the second part has lost the tag")
			}
		})
	}
}

// TestRevalidation: a browser that has the whole asks whether it is still current.
func TestRevalidation(t *testing.T) {
	modified := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tag := range []string{"", `"x"`, `W/"x"`} {
		upstream := file([]byte("hello"), modified, tag)
		for _, c := range []struct {
			first, then string // views
			status      int
		}{
			{"A", "A", 304},
			{"A", "B", 200},
			{"A", "", 200},
			{"", "A", 200},
			{"", "", 304},
		} {
			t.Run(strings.Join([]string{tag, c.first, c.then}, ">"), func(t *testing.T) {
				first := reading{upstream, c.first, ""}.do("", nil)
				second := httptest.NewRequest(http.MethodGet, "/?"+c.then, nil)
				second.Header.Set("Sec-Fetch-Dest", "image")
				for condition, validator := range map[string]string{"If-None-Match": "Etag", "If-Modified-Since": "Last-Modified"} {
					if value := first.Header.Get(validator); value != "" {
						second.Header.Set(condition, value)
					}
				}
				w := httptest.NewRecorder()
				behind(upstream).ServeHTTP(w, second)
				if w.Code != c.status {
					t.Errorf("%q: %d, want %d", second.Header, w.Code, c.status)
				}
				if got := w.Header().Get("Etag"); c.status == http.StatusNotModified && got != first.Header.Get("Etag") {
					t.Errorf("304 has the tag %q, the answer had %q", got, first.Header.Get("Etag"))
				}
			})
		}
	}
}

// reading is a read of part of an upstream's file under a view.
type reading struct {
	upstream    http.Handler
	view, bytes string
}

func (q reading) do(condition string, value []string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "/?"+q.view, nil)
	r.Header.Set("Sec-Fetch-Dest", "audio")
	if q.bytes != "" {
		r.Header.Set("Range", q.bytes)
	}
	if len(value) > 0 && value[0] != "" {
		r.Header[condition] = value
	}
	w := httptest.NewRecorder()
	behind(q.upstream).ServeHTTP(w, r)
	return w.Result()
}
