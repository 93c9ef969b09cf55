package gate

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestConditions: the upstream is asked with its own validators, as far as they are of this view.
func TestConditions(t *testing.T) {
	for name, test := range map[string]struct {
		etag    string // * is the view of the active account
		options func(*Options)
		want    string
	}{
		"of this view":         {`"ms~*~ev1"`, func(*Options) {}, `"v1"`},
		"of another view":      {`"ms~another~ev1"`, func(*Options) {}, ""},
		"of nobody's view":     {`"ms~0~ev1"`, func(*Options) {}, ""},
		"as upstreams write":   {`"v1"`, func(*Options) {}, ""},
		"of a public path":     {`"v1"`, func(o *Options) { o.Cache.Public = func(*http.Request) bool { return true } }, `"v1"`},
		"caches not apart":     {`"v1"`, func(o *Options) { o.Cache = nil }, `"v1"`},
		"caches not apart, ms": {`"ms~*~ev1"`, func(o *Options) { o.Cache = nil }, `"ms~*~ev1"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			o := isolating(t)
			test.options(o)
			in := func(text string) string { return strings.ReplaceAll(text, "*", w.last.View()) }
			var next upstream
			r := w.request("/page", "If-None-Match", in(test.etag))
			failed := errors.New("the upstream is down")
			next.answer = func(http.ResponseWriter, *http.Request) error { return failed }
			if err := w.Serve(httptest.NewRecorder(), r, o, &next); !errors.Is(err, failed) {
				t.Fatal(err)
			}
			next.answer = nil
			if err := w.ServeErrorRoute(httptest.NewRecorder(), r, &Options{ErrorRoute: true, Cache: new(CacheOptions)}, &next); err != nil {
				t.Fatal(err)
			}
			for i, sent := range next.requests { // the error route is sent the same
				if got := sent.Get("If-None-Match"); got != in(test.want) {
					t.Errorf("request %d has If-None-Match %s, want %s", i, got, in(test.want))
				}
			}
		})
	}
}

// TestStored: what a browser may store of an answer, and which view it is told that it has.
func TestStored(t *testing.T) {
	page := slices.Concat(navigation, nil)
	script := []string{"Sec-Fetch-Dest", "empty", "Sec-Fetch-Mode", "cors"}
	for name, test := range map[string]struct {
		header  []string
		view    string // the browser's cookie; * is the view of the active account
		shown   string // likewise
		options func(*Options)
		during  func(*world) // happens while the upstream works

		cacheControl string
		told         []string // names of cookies
	}{
		"of the browser's view":          {header: script, view: "*", cacheControl: "private, no-cache"},
		"of another view":                {header: script, view: "another", cacheControl: "no-store", told: []string{"multi_session_view"}},
		"the first after a sign-in":      {header: script, cacheControl: "no-store", told: []string{"multi_session_view"}},
		"after a switch meanwhile":       {header: script, view: "*", during: func(w *world) { w.signIn("bob") }, cacheControl: "no-store"},
		"of another view, and a switch":  {header: script, view: "another", during: func(w *world) { w.signIn("bob") }, cacheControl: "no-store"},
		"after a sign-out meanwhile":     {header: script, view: "*", during: func(w *world) { w.signOut("alice") }, cacheControl: "no-store"},
		"a store that fails meanwhile":   {header: script, view: "*", during: func(w *world) { w.Sessions = failingSessions{} }, cacheControl: "no-store"},
		"a page":                         {header: page, view: "*", shown: "*", cacheControl: "no-store"},
		"the first page of the host":     {header: page, view: "*", cacheControl: "no-store", told: []string{"multi_session_shown"}},
		"the first page, and a switch":   {header: page, view: "*", during: func(w *world) { w.signIn("bob") }, cacheControl: "no-store"},
		"a public path":                  {header: script, view: "another", options: func(o *Options) { o.Cache.Public = func(*http.Request) bool { return true } }, cacheControl: "max-age=60"},
		"with caches not kept apart":     {header: script, view: "another", options: func(o *Options) { o.Cache = nil }, cacheControl: "max-age=60"},
		"a page, caches not kept apart":  {header: page, view: "another", options: func(o *Options) { o.Cache = nil }, cacheControl: "max-age=60"},
		"a page without a reset page":    {header: page, view: "*", shown: "another", options: func(o *Options) { o.Cache.KeepOnSwitch = true }, cacheControl: "no-store", told: []string{"multi_session_shown"}},
		"a gate that is not for it, too": {header: script, view: "*", options: func(o *Options) { o.Applies = func(*http.Request) (bool, error) { return false, nil } }, cacheControl: "private, no-cache"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			o := isolating(t)
			o.Cookies = nil
			if test.options != nil {
				test.options(o)
			}
			view := w.last.View()
			var cookies []string
			if test.view != "" {
				cookies = append(cookies, "multi_session_view="+strings.ReplaceAll(test.view, "*", view))
			}
			if test.shown != "" {
				cookies = append(cookies, "multi_session_shown="+strings.ReplaceAll(test.shown, "*", view))
			}
			header := slices.Clone(test.header)
			if len(cookies) > 0 {
				header = append(header, "Cookie", strings.Join(cookies, "; "))
			}
			answer := w.serve(w.request("/page", header...), o, handler(func(rw http.ResponseWriter, _ *http.Request) error {
				if test.during != nil {
					test.during(w)
				}
				rw.Header().Set("Cache-Control", "max-age=60")
				_, err := io.WriteString(rw, "text")
				return err
			}))
			var told []string
			for _, line := range answer.Result().Cookies() {
				if told = append(told, line.Name); line.Value != view {
					t.Errorf("%s is %q", line.Name, line.Value)
				}
			}
			if got := answer.Header().Get("Cache-Control"); got != test.cacheControl || !slices.Equal(told, test.told) {
				t.Errorf("Cache-Control is %q, want %q; told are %q, want %q", got, test.cacheControl, told, test.told)
			}
		})
	}
}
