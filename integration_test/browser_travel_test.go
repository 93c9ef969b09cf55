package integration

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// visit goes to an address of any origin, as a link of another site leads there.
func (b *browser) visit(address string) reply {
	b.t.Helper()
	return b.must(b.navigation(http.MethodGet, address, nil))
}

// navigation is the request of one to an address of any origin.
func (b *browser) navigation(method, address string, fields url.Values) *http.Request {
	b.t.Helper()
	request, err := http.NewRequest(method, address, strings.NewReader(fields.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	request.Header.Set("Sec-Fetch-Mode", "navigate")
	request.Header.Set("Sec-Fetch-Dest", "document")
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", request.URL.Scheme+"://"+request.URL.Host)
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return request
}

// travel goes on from an answer as browsers do by themselves: redirects, refreshes, and forms that
// scripts send. It ends at a page that waits for somebody, or where the next address begins with stop.
func (b *browser) travel(at reply, stop string) reply {
	b.t.Helper()
	for range 20 {
		next, ok := b.onward(at)
		if !ok || stop != "" && strings.HasPrefix(next.URL.String(), stop) {
			return at
		}
		at = b.must(next)
	}
	b.t.Fatalf("no end of the way, at %s", at.Request.URL)
	return reply{}
}

// onward is the request that a browser makes of an answer without being told to.
func (b *browser) onward(at reply) (*http.Request, bool) {
	b.t.Helper()
	if location, err := at.Location(); err == nil && at.StatusCode/100 == 3 {
		return b.navigation(http.MethodGet, location.String(), nil), true
	}
	p := b.parse(at)
	switch {
	case precedes(at):
		return b.navigation(http.MethodGet, at.Request.URL.String(), nil), true
	case p.refresh != "":
		return b.navigation(http.MethodGet, p.resolve(p.refresh), nil), true
	case p.sent && len(p.forms) == 1:
		return b.navigation(p.forms[0].method, p.resolve(p.forms[0].action), p.forms[0].fields), true
	}
	return nil, false
}

// fill sends the first form of a page that has all the fields, with these values in them, and travels on.
func (b *browser) fill(at reply, fields url.Values, stop string) reply {
	b.t.Helper()
	p := b.parse(at)
	for _, f := range p.forms {
		if !f.takes(fields) {
			continue
		}
		for name, values := range fields {
			f.fields[name] = values
		}
		return b.travel(b.must(b.navigation(f.method, p.resolve(f.action), f.fields)), stop)
	}
	b.t.Fatalf("no form of %s (%s) takes %v:\n%s", at.Request.URL, at.Status, fields, at.body)
	return reply{}
}

// webpage is what there is to do on a page.
type webpage struct {
	*url.URL
	refresh string // where the page sends the browser at once
	sent    bool   // by a script
	forms   []form
}

// form is one of a page, with the values that its fields have.
type form struct {
	method, action string
	fields         url.Values
	buttons        url.Values // which take part only where they are pressed
}

// takes reports whether somebody can send the fields by the form.
func (f form) takes(fields url.Values) bool {
	for name, values := range fields {
		_, field := f.fields[name]
		_, button := f.buttons[name]
		if !field && !(button && f.buttons.Get(name) == values[0]) {
			return false
		}
	}
	return true
}

// resolve is the address that a reference on the page means.
func (p webpage) resolve(reference string) string {
	u, err := p.Parse(reference)
	if err != nil {
		return reference
	}
	return u.String()
}

// parse reads a page.
func (b *browser) parse(at reply) webpage {
	b.t.Helper()
	p := webpage{URL: at.Request.URL}
	if !strings.HasPrefix(at.Header.Get("Content-Type"), "text/html") {
		return p
	}
	document, err := html.Parse(strings.NewReader(at.body))
	if err != nil {
		b.t.Fatal(err)
	}
	for n := range document.Descendants() {
		p.read(n)
	}
	return p
}

func (p *webpage) read(n *html.Node) {
	if n.Type != html.ElementNode {
		return
	}
	switch n.Data {
	case "meta":
		if strings.EqualFold(attribute(n, "http-equiv"), "refresh") {
			_, p.refresh, _ = strings.Cut(attribute(n, "content"), "url=")
		}
	case "script":
		p.sent = p.sent || n.FirstChild != nil && strings.Contains(n.FirstChild.Data, ".submit()")
	case "form":
		method := http.MethodGet
		if strings.EqualFold(attribute(n, "method"), "post") {
			method = http.MethodPost
		}
		p.forms = append(p.forms, form{method, attribute(n, "action"), url.Values{}, url.Values{}})
	case "input", "button":
		if len(p.forms) == 0 || attribute(n, "name") == "" {
			return
		}
		f := p.forms[len(p.forms)-1]
		if n.Data == "button" {
			f.buttons.Add(attribute(n, "name"), attribute(n, "value"))
		} else {
			f.fields.Add(attribute(n, "name"), attribute(n, "value"))
		}
	}
}

// attribute is one of an element, or empty.
func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
