// Package identity tells an upstream who a request is made as, and makes sure that nobody else can:
// the header fields that carry identity are taken from the client's request, in every spelling that
// an upstream could take for them, before the true ones are set.
package identity

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Managed is the set of header fields that only the gateway may set. It is not changed once made.
type Managed struct {
	folded map[string]struct{}
}

// NewManaged returns the set of the names of every preset and of the given ones. All presets are
// in it whichever is in use, because an upstream may trust what this gateway does not send.
func NewManaged(names ...string) *Managed {
	m := &Managed{folded: make(map[string]struct{})}
	for _, preset := range presets {
		for _, field := range preset {
			m.folded[fold(field.Name)] = struct{}{}
		}
	}
	for _, name := range names {
		m.folded[fold(name)] = struct{}{}
	}
	return m
}

// maxStackName is how long a name can be to be looked up without allocating.
const maxStackName = 64

// fold maps a name to the one form of all its spellings. CGI, and what descends from it, upper-cases
// a field's name and turns what is neither letter nor digit into an underscore (RFC 3875, section
// 4.1.18, has "-"; servers do the same to "." and the rest), so Remote_User, remote.user and
// REMOTE-USER are one variable to such an upstream.
func fold(name string) string {
	return string(appendFolded(make([]byte, 0, maxStackName), name))
}

func appendFolded(dst []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			c = '-'
		}
		dst = append(dst, c)
	}
	return dst
}

// Has reports whether an upstream could take the name for a managed one.
func (m *Managed) Has(name string) bool {
	var buf [maxStackName]byte
	_, ok := m.folded[string(appendFolded(buf[:0], name))]
	return ok
}

// Strip deletes every managed field from the request: from its header, from the trailers it
// announces and those that arrive after its body, and from the names in Connection, by which a
// client could have a proxy after this one delete what the gateway sets (RFC 9110, section 7.6.1).
// It takes out of Upgrade what would let the client send further requests past the gateway. It must
// run before the body is read.
func (m *Managed) Strip(r *http.Request) {
	m.delete(r.Header)
	filterList(r.Header, "Connection", m.Has)
	filterList(r.Header, "Upgrade", carriesRequests)
	m.delete(r.Trailer)
	if r.Body != nil && r.Body != http.NoBody && (r.Trailer != nil || r.ContentLength < 0) {
		r.Body = &trailerFilter{ReadCloser: r.Body, request: r, managed: m}
	}
}

func (m *Managed) delete(h http.Header) {
	for name := range h {
		if m.Has(name) {
			delete(h, name)
		}
	}
}

// filterList takes the elements that gone selects out of a field that is a list.
func filterList(h http.Header, name string, gone func(string) bool) {
	lines, ok := h[name]
	if !ok || !slices.ContainsFunc(lines, func(line string) bool { return hasElement(line, gone) }) {
		return
	}
	var kept []string
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if element = textproto.TrimString(element); element != "" && !gone(element) {
				kept = append(kept, element)
			}
		}
	}
	if len(kept) == 0 {
		delete(h, name)
		return
	}
	h[name] = []string{strings.Join(kept, ", ")}
}

func hasElement(line string, is func(string) bool) bool {
	for element := range strings.SplitSeq(line, ",") {
		if is(textproto.TrimString(element)) {
			return true
		}
	}
	return false
}

// carriesRequests reports whether a protocol that a connection could be switched to is HTTP again, or
// TLS with HTTP in it. An upstream that agreed would take requests from the client with any identity
// in them, for a proxy hands on a switched connection unread. A request to switch may be ignored (RFC
// 9110, section 7.8), and clients that ask for HTTP/2 this way go on without it.
func carriesRequests(protocol string) bool {
	name, _, _ := strings.Cut(strings.ToLower(protocol), "/")
	return name == "http" || name == "tls" || strings.HasPrefix(name, "h2") || strings.HasPrefix(name, "h3")
}

// trailerFilter is a body whose trailers have no managed field by the time that its reader, having
// seen the end, looks at them. At the end net/http adds what arrived to the request's trailers,
// also what was not announced, in a map that copies of the request share; where nothing was
// announced it makes that map only then.
type trailerFilter struct {
	io.ReadCloser
	request *http.Request
	managed *Managed
}

func (f *trailerFilter) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		f.managed.delete(f.request.Trailer)
	}
	return n, err
}
