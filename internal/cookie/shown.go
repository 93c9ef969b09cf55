package cookie

import "net/http"

// shownMark stands in the name of the cookie that says which view a host's pages were last shown under. It is
// of one host, also where the jar is of a domain: each host has shown its own.
const shownMark = "_shown"

// ReadShown returns the view that the host's pages were last shown under, as the request says. It is empty where it
// says none, or several.
func (j Spec) ReadShown(h http.Header) string {
	view, n := find(h, j.hostName(), shownMark)
	if n != 1 {
		return ""
	}
	return view
}

// SetShown says that the host's pages are shown under a view from now on.
func (j Spec) SetShown(h http.Header, view string) {
	c := j.ofHost(shownMark).cookie(view)
	h.Add("Set-Cookie", c.String())
}
