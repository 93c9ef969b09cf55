package integration

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// files is an app that serves one file as Go apps do by default, with a date and no ETag.
type files struct {
	*httptest.Server
	content  []byte
	kind     string // Content-Type
	modified time.Time

	mu    sync.Mutex
	asked []string // Range of each request for the file, "whole" if it has none
}

func newFiles(t testing.TB, kind string, content []byte) *files {
	t.Helper()
	app := &files{kind: kind, content: content, modified: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	app.Server = httptest.NewServer(app)
	t.Cleanup(app.Close)
	return app
}

func (app *files) address() string { return strings.TrimPrefix(app.URL, "http://") }

func (app *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/file") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><html lang=en><link rel=icon href=data:,><title>App</title><h1>" + r.Header.Get("Remote-User") + "</h1>"))
		return
	}
	bytesAsked := r.Header.Get("Range")
	if bytesAsked == "" {
		bytesAsked = "whole"
	}
	app.mu.Lock()
	app.asked = append(app.asked, bytesAsked)
	app.mu.Unlock()
	w.Header().Set("Content-Type", app.kind)
	http.ServeContent(w, r, "", app.modified, bytes.NewReader(app.content))
}

// take returns the ranges that the app was asked for since the last call.
func (app *files) take() []string {
	app.mu.Lock()
	defer app.mu.Unlock()
	asked := app.asked
	app.asked = nil
	return asked
}

// TestRangesOfAFileWithADate: a client continues what it has of a file with the validator that it
// was given, and is never sent more than it asks for.
func TestRangesOfAFileWithADate(t *testing.T) {
	app := newFiles(t, "application/octet-stream", bytes.Repeat([]byte("0123456789abcdef"), 1000))
	address := freeAddress(t)
	startGateway(t, site(address, app.address(), "", "@gated not path /open/*\n multi_session @gated"))
	alice, nobody := newBrowser(t, "http://"+address), newBrowser(t, "http://"+address)
	alice.signIn("alice")
	const date = "Wed, 01 Jan 2025 00:00:00 GMT"
	tag := alice.fetch(http.MethodGet, "/file", "Range", "bytes=0-999").Header.Get("Etag")
	if !strings.HasPrefix(tag, `W/"ms~`) {
		t.Fatalf("the first part has the tag %q", tag)
	}
	for name, c := range map[string]struct {
		who        *browser
		path       string
		conditions []string
		status     int
		size       int
	}{
		"the next part by the tag":             {alice, "/file", []string{"Range", "bytes=1000-1999", "If-Range", tag}, 206, 1000},
		"the next part without a condition":    {alice, "/file", []string{"Range", "bytes=1000-1999"}, 206, 1000},
		"a date is no view's":                  {alice, "/file", []string{"Range", "bytes=1000-1999", "If-Range", date}, 200, 16000},
		"still current by the tag":             {alice, "/file", []string{"If-None-Match", tag}, 304, 0},
		"still current by the date":            {alice, "/file", []string{"If-Modified-Since", date}, 200, 16000},
		"nobody, still current by the date":    {nobody, "/open/file", []string{"If-Modified-Since", date}, 304, 0},
		"nobody, the next part by the date":    {nobody, "/open/file", []string{"Range", "bytes=1000-1999", "If-Range", date}, 206, 1000},
		"nobody, what alice has":               {nobody, "/open/file", []string{"If-None-Match", tag, "If-Modified-Since", date}, 200, 16000},
		"nobody, the next part of what's hers": {nobody, "/open/file", []string{"Range", "bytes=1000-1999", "If-Range", tag}, 200, 16000},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.who.fetch(http.MethodGet, c.path, c.conditions...)
			if got.StatusCode != c.status || len(got.body) != c.size {
				t.Errorf("%s with %d bytes, want %d with %d", got.Status, len(got.body), c.status, c.size)
			}
		})
	}
	t.Run("nobody is given the app's own validators", func(t *testing.T) {
		got := nobody.fetch(http.MethodGet, "/open/file")
		if got.Header.Get("Etag") != "" || got.Header.Get("Last-Modified") != date || got.Header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%v", got.Header)
		}
	})
}

// TestWritesOnAConditionOfAnEarlierSession: whoever has signed out and in again still holds the
// tags of the session before. The app judges them.
func TestWritesOnAConditionOfAnEarlierSession(t *testing.T) {
	app := newTagged(t)
	address := freeAddress(t)
	startGateway(t, plain(address, app.Listener.Addr().String()))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	before := b.fetch(http.MethodGet, "/note").Header.Get("Etag")
	b.post("/.auth/sign-out", map[string]any{})
	b.signIn("alice")
	if now := b.fetch(http.MethodGet, "/note").Header.Get("Etag"); now == before {
		t.Fatalf("the tag is still %s", now)
	}
	if got := b.fetch(http.MethodPut, "/note", "If-Match", before); got.StatusCode != http.StatusOK {
		t.Errorf("the note is unchanged, and the app answers %s", got.Status)
	}
	if got := b.fetch(http.MethodPut, "/note", "If-Match", strings.Replace(before, `e1"`, `e2"`, 1)); got.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("the note has changed, and the app answers %s", got.Status)
	}
}
