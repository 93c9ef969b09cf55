// Package cache keeps what a browser stored for one account from being shown to another. It
// rewrites validators, conditions and Cache-Control of requests and answers. It does not know
// accounts: what an account is shown is a View, and nothing that was stored under one view is used
// under another.
//
// Browsers must ask before they show a stored answer. No answer is fresh by itself, because the
// caches that a browser's renderer keeps in memory ignore Vary for cookies. What a browser asks
// with, the validators, names the view. The upstream is asked only about validators of the
// request's own view; without them it sends a whole answer. Browsers do not ask when somebody goes
// back in the history. There Vary and the cookie that names the view keep them from using what is
// another view's.
//
// A request that the upstream serves as nobody's has no view, and its validators pass unchanged:
//
//	request        stored as nobody's    stored under its view    stored under another view
//	of nobody      asked about           –                        dropped
//	of a view      dropped               asked about              dropped
//	public path    asked about           asked about              dropped
//
// A dropped validator costs a transfer and is never wrong. The two kinds cannot be confused,
// because every tag of a view begins with a mark that no other tag has, and a date of a view
// becomes a tag.
package cache

import "net/http"

// Exchange is a request and its answer, as far as caches are concerned. It is not safe for
// concurrent use, and it must not be copied after SealAnswer, which puts its values into the
// answer's header.
type Exchange struct {
	view     View
	public   bool
	read     bool // the method is one whose answers browsers store
	document bool // the answer is shown as a page of its own or in a frame
	unsure   bool // the browser does not say whether it is

	rangeTag []string  // If-Range as the browser sent it, where the upstream was asked
	values   [3]string // of Cache-Control, Etag and Vary in the answer, to save allocations
}

// NewExchange returns the exchange that a request begins. The view is the zero View if the upstream
// serves the request as nobody's: neither a gate nor the upstream's own cookies tie it to an
// account of the browser. Answers of a public path are the same for everybody and pass unchanged,
// unless they set cookies.
func NewExchange(method string, h http.Header, view View, public bool) Exchange {
	e := Exchange{view: view, public: public, read: method == http.MethodGet || method == http.MethodHead}
	dest := h.Get("Sec-Fetch-Dest")
	e.unsure = dest == ""
	switch dest {
	case "document", "iframe", "frame", "fencedframe", "embed", "object":
		e.document = true
	default:
		e.document = h.Get("Sec-Fetch-Mode") == "navigate"
	}
	return e
}

// acceptsPlain reports whether validators that are not sealed are those of this exchange.
func (e *Exchange) acceptsPlain() bool { return e.public || e.view.name == "" }
