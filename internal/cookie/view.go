package cookie

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
)

// viewMark stands in the name of the view's cookie behind the name of the jar's. Where each host of a domain has
// a view of its own it is the other one: a cookie that is left of all hosts together must not be taken for it.
const (
	viewMark     = "_view"
	hostViewMark = "_host_view"
)

// view is the cookie that the view is in.
func (j Spec) view() Spec {
	if j.PerHost {
		return j.ofHost(hostViewMark)
	}
	j.Name += viewMark
	return j
}

// findView is find for it.
func (j Spec) findView(h http.Header) (view string, count int) {
	if j.PerHost {
		return find(h, j.hostName(), hostViewMark)
	}
	return find(h, j.Name, viewMark)
}

// View returns the name of what the session of a slot is shown, as caches are told it. It changes whenever
// the active session does, and does not tell the slot. An empty slot is that of nobody.
func View(slot string) string {
	if slot == "" || slot == Anonymous {
		return Anonymous
	}
	sum := sha256.Sum256([]byte("view:" + slot))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// ReadView returns the view that a request shows the browser to be at: Anonymous where there is no cookie,
// and empty where there are two, of which one may have been planted.
func (j Spec) ReadView(h http.Header) string {
	switch view, n := j.findView(h); n {
	case 0:
		return Anonymous
	case 1:
		return view
	}
	return ""
}

// SetView has the browser be at a view, wherever it has the jar. Nothing is decided by this cookie: it is
// there for browsers to tell by it what they have stored under another one, which Vary has them do. Nobody's
// view is none, so that browsers without accounts have no cookie.
func (j Spec) SetView(h http.Header, view string) {
	j = j.view()
	if view == Anonymous {
		j.Clear(h)
		return
	}
	c := j.cookie(view) // until the browser closes: then nothing that it has stored is shown unasked
	h.Add("Set-Cookie", c.String())
}
