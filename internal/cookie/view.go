package cookie

import "net/http"

// ReadView returns the view that the browser's cookie names. It is Anonymous if there is no cookie,
// and empty if there are two, of which one may have been planted.
func (c *Cookies) ReadView() string {
	switch c.View.Count {
	case 0:
		return Anonymous
	case 1:
		return c.View.Last
	}
	return ""
}

// SetView sets the cookie that names the browser's view, for all hosts of the jar or with PerHost
// for this one. The gateway decides nothing by it. Because answers vary by cookies, a browser does
// not use what it stored under another view. Nobody's view has no cookie, so browsers without
// accounts get none. The cookie lasts until the browser closes, and afterwards browsers show
// nothing stored without asking.
func (j Spec) SetView(h http.Header, view string) {
	if j.PerHost {
		// A cookie of all hosts together may still be there, and must not be taken for this one.
		j = j.ofHost(hostViewMark)
	} else {
		j.Name += viewMark
	}
	if view == Anonymous {
		j.Clear(h)
		return
	}
	c := j.cookie(view)
	h.Add("Set-Cookie", c.String())
}

// ReadShown returns the views that a request's cookies of SetShown name. A browser has one such
// cookie; if there are more, one may have been planted.
func (j Spec) ReadShown(h http.Header) (views []string) {
	for _, line := range h["Cookie"] {
		for part := range pairs(line) {
			name, value := Split(part)
			if base, mark, ok := cutBase(name); ok && base == j.hostName() && mark == shownMark {
				views = append(views, value)
			}
		}
	}
	return views
}

// SetShown says that the host's pages are shown under a view from now on.
func (j Spec) SetShown(h http.Header, view string) {
	c := j.ofHost(shownMark).cookie(view)
	h.Add("Set-Cookie", c.String())
}
