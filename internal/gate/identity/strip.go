// Package identity tells an upstream who a request is made as, and makes sure that nobody else can.
// It deletes the header fields that carry identity from the client's request, in every spelling
// that an upstream could read as one of them. Then it sets the true ones.
package identity

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strings"
)

// Managed is the set of header fields that only the gateway may set. It is immutable and safe for
// concurrent use.
type Managed struct {
	folded map[string]struct{}
	long   bool // a name is longer than maxStackName

	// initials has the first characters of the names of each length, to pass over most others quickly.
	initials [maxStackName + 1]initials
}

// initials is a set of characters. Characters whose last five bits are the same count as one.
type initials uint32

func (s *initials) add(c byte)     { *s |= 1 << (c & 31) }
func (s initials) has(c byte) bool { return s&(1<<(c&31)) != 0 }

// NewManaged returns a set of the given names and of those of every preset. It includes presets
// that are not in use, because an upstream may trust a field that this gateway does not send.
func NewManaged(names ...string) *Managed {
	m := &Managed{folded: make(map[string]struct{})}
	for _, preset := range presets {
		for _, field := range preset {
			m.add(field.Name)
		}
	}
	for _, name := range names {
		m.add(name)
	}
	return m
}

func (m *Managed) add(name string) {
	if name == "" {
		return // no field is called so
	}
	m.folded[fold(name)] = struct{}{}
	if len(name) > maxStackName {
		m.long = true
		return
	}
	m.initials[len(name)].add(foldByte(name[0]))
}

// maxStackName is the length in bytes up to which a name is looked up without allocating.
const maxStackName = 64

// fold maps all spellings of a name to one. CGI and its descendants upper-case a field's name and
// replace "-" by "_" (RFC 3875, section 4.1.18), and servers do the same to "." and other
// characters. So Remote_User, remote.user and REMOTE-USER are one variable to such an upstream.
// Folding keeps the length of a name.
func fold(name string) string {
	return string(appendFolded(make([]byte, 0, maxStackName), name))
}

func appendFolded(dst []byte, name string) []byte {
	for i := range len(name) {
		dst = append(dst, foldByte(name[i]))
	}
	return dst
}

func foldByte(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// Has reports whether an upstream could read the name as a managed one.
func (m *Managed) Has(name string) bool {
	switch {
	case name == "":
		return false
	case len(name) > maxStackName:
		if !m.long {
			return false
		}
	case !m.initials[len(name)].has(foldByte(name[0])):
		return false
	}
	var buf [maxStackName]byte
	_, ok := m.folded[string(appendFolded(buf[:0], name))]
	return ok
}

// Strip deletes every managed field from the request: from its header, from the trailers that it
// announces, and from those that arrive after its body. It deletes managed names from Connection,
// by which a client could make a later proxy delete what the gateway sets (RFC 9110, section
// 7.6.1). It deletes protocols from Upgrade that would let the client send further requests past
// the gateway. Strip must run before the body is read.
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

// filterList deletes the elements that match from a field that is a list.
func filterList(h http.Header, name string, match func(string) bool) {
	lines, ok := h[name]
	if !ok || !hasElement(lines, match) {
		return
	}
	var kept []string
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if element = textproto.TrimString(element); element != "" && !match(element) {
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

func hasElement(lines []string, match func(string) bool) bool {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if match(textproto.TrimString(element)) {
				return true
			}
		}
	}
	return false
}

// carriesRequests reports whether a protocol in Upgrade is HTTP, or TLS, which may carry HTTP. A
// proxy does not read a connection that has been switched, so an upstream that agreed would accept
// further requests from the client, with any identity in them. Servers may ignore Upgrade (RFC
// 9110, section 7.8), and clients that ask for HTTP/2 this way go on without it.
func carriesRequests(protocol string) bool {
	name, _, _ := strings.Cut(strings.ToLower(protocol), "/")
	return name == "http" || name == "tls" || strings.HasPrefix(name, "h2") || strings.HasPrefix(name, "h3")
}

// trailerFilter deletes managed fields from the trailers of a request when its body has been read.
// At the end of the body net/http adds the trailers that arrived to Request.Trailer, also those
// that were not announced. Copies of the request share that map. If no trailer was announced,
// net/http makes the map only then.
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
