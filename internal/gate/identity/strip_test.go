package identity

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// cgi returns the variable that a CGI server makes of a header field (RFC 3875, section 4.1.18). It
// models the server that loses most: every character but letters and digits becomes an underscore.
func cgi(name string) string {
	return "HTTP_" + strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// spellings returns names that an upstream could read as the given one.
func spellings(name string) []string {
	all := []string{name, strings.ToLower(name), strings.ToUpper(name), http.CanonicalHeaderKey(name)}
	for _, c := range []string{"_", ".", "~", "*", "+", "'", "!", "#", "$", "%", "&", "^", "`", "|"} {
		all = append(all, strings.ReplaceAll(name, "-", c), strings.ToLower(strings.ReplaceAll(name, "-", c)))
	}
	if i := strings.LastIndex(name, "-"); i >= 0 {
		all = append(all, strings.ReplaceAll(name[:i], "-", "_")+"-"+name[i+1:], name[:i]+"_"+name[i+1:], name[:i]+"."+strings.ToUpper(name[i+1:]))
	}
	return all
}

func TestHas(t *testing.T) {
	long := "X-" + strings.Repeat("Very-", 40) + "Long"
	m := NewManaged("X-App-Role", "x_under", long)
	managed := []string{"X-App-Role", "X-Under", long}
	for _, fields := range presets {
		for _, f := range fields {
			managed = append(managed, f.Name)
		}
	}
	for _, name := range managed {
		for _, spelling := range spellings(name) {
			if !m.Has(spelling) {
				t.Errorf("Has(%q) = false; it can be taken for %s", spelling, name)
			}
		}
	}
	for _, name := range []string{
		"", "-", "Accept", "Authorization", "Cookie", "Remote", "User", "Remote-Users", "X-Remote-User", "RemoteUser",
		"Remote--User", "Remote-User-", "-Remote-User", "Remote-Use", "X-Forwarded-For", "X-Forwarded-Proto", "X-App-Rolé",
		long + "x", long[:len(long)-1], long[:maxStackName], strings.Repeat("x", 10000),
	} {
		if m.Has(name) {
			t.Errorf("Has(%q) = true", name)
		}
	}
}

// Fields that are not managed pass.
func TestPresetsAreManagedWhicheverIsInUse(t *testing.T) {
	m := NewManaged()
	for name, fields := range presets {
		for _, f := range fields {
			if !m.Has(f.Name) {
				t.Errorf("%s of preset %s is not managed", f.Name, name)
			}
		}
	}
	if m.Has("X-App-Role") || !NewManaged("X-App-Role").Has("X-App-Role") {
		t.Error("a name is managed where it is given, and nowhere else")
	}
}

func TestStripHeader(t *testing.T) {
	m := NewManaged("X-App-Role")
	h := http.Header{}
	for _, name := range spellings("Remote-User") {
		h[name] = []string{"admin", "root"} // also keys that are not canonical, and two values
	}
	for _, name := range spellings("X-App-Role") {
		h[name] = []string{"admin"}
	}
	h["x-webauth_USER"] = nil
	kept := http.Header{"Accept": {"*/*"}, "Authorization": {"Basic x"}, "X-Forwarded-For": {"192.0.2.1"}, "weird key": {"1"}}
	maps.Copy(h, kept)
	m.Strip(&http.Request{Header: h})
	if len(h) != len(kept) {
		t.Errorf("left are %v, want %v", h, kept)
	}
	for name := range kept {
		if _, ok := h[name]; !ok {
			t.Errorf("%q was deleted", name)
		}
	}
	m.Strip(&http.Request{}) // and no panic where there is nothing
}

func TestStripConnection(t *testing.T) {
	m := NewManaged("X-App-Role")
	for _, c := range []struct {
		name        string
		lines, want []string
	}{
		{"none", nil, nil},
		{"left alone", []string{"keep-alive , Upgrade", "x"}, []string{"keep-alive , Upgrade", "x"}},
		{"a managed one alone", []string{"Remote-User"}, nil},
		{"among others", []string{"close, Remote-User"}, []string{"close"}},
		{"upgrade is kept", []string{"Upgrade, remote_user, HTTP2-Settings"}, []string{"Upgrade, HTTP2-Settings"}},
		{"several lines", []string{"Upgrade", "x-app-role", "keep-alive"}, []string{"Upgrade, keep-alive"}},
		{"several managed", []string{"Remote-User,Remote-Groups", "X.App.Role"}, nil},
		{"spaces and tabs", []string{" \tremote-user\t , close"}, []string{"close"}},
		{"empty elements", []string{",, Remote-User,, close,"}, []string{"close"}},
		{"twice", []string{"Remote-User, close, Remote-User"}, []string{"close"}},
		{"of another name", []string{"X-Remote-User"}, []string{"X-Remote-User"}},
	} {
		h := http.Header{}
		if c.lines != nil {
			h["Connection"] = slices.Clone(c.lines)
		}
		m.Strip(&http.Request{Header: h})
		got, ok := h["Connection"]
		if !slices.Equal(got, c.want) || ok != (c.want != nil) {
			t.Errorf("%s: Connection is %q, want %q", c.name, got, c.want)
		}
	}
}

// A client that switches the connection to another HTTP has passed the gateway, with any identity.
func TestStripUpgrade(t *testing.T) {
	m := NewManaged()
	for _, test := range []struct {
		name       string
		lines      []string
		want       []string
		connection string
	}{
		{"WebSocket", []string{"websocket"}, []string{"websocket"}, "Upgrade"},
		{"others", []string{"tcp", "SPDY/3.1 , DERP"}, []string{"tcp", "SPDY/3.1 , DERP"}, "Upgrade"},
		{"HTTP/2 in the clear", []string{"h2c"}, nil, "Upgrade, HTTP2-Settings"},
		{"case", []string{"H2C"}, nil, "Upgrade"},
		{"drafts", []string{"h2c-14", "h2-16", "h2", "h3"}, nil, "Upgrade"},
		{"HTTP by its name", []string{"HTTP/2.0, http/1.1", "HTTP"}, nil, "Upgrade"},
		{"TLS with HTTP in it", []string{"TLS/1.0, HTTP/1.1"}, nil, "Upgrade"},
		{"beside WebSocket", []string{" h2c,websocket", "\th2c\t"}, []string{"websocket"}, "Upgrade"},
		{"names that begin alike", []string{"httpx, tlsx"}, []string{"httpx, tlsx"}, "Upgrade"},
		{"none", nil, nil, "Upgrade"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{"Connection": {test.connection}}
			if test.lines != nil {
				h["Upgrade"] = test.lines
			}
			m.Strip(&http.Request{Header: h})
			if got := h["Upgrade"]; !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// Strip does not wrap an empty body or one of known length, because transports look at its type.
func TestStripWrapsBodiesOnlyWhereTrailersCanFollow(t *testing.T) {
	body := io.NopCloser(strings.NewReader("x"))
	for _, c := range []struct {
		name    string
		request http.Request
		wrapped bool
	}{
		{"no body", http.Request{}, false},
		{"no body, trailers announced", http.Request{Trailer: http.Header{"X": nil}}, false},
		{"http.NoBody, trailers announced", http.Request{Body: http.NoBody, Trailer: http.Header{"X": nil}}, false},
		{"length", http.Request{Body: body, ContentLength: 1}, false},
		{"length, trailers announced", http.Request{Body: body, ContentLength: 1, Trailer: http.Header{"X": nil}}, true},
		{"no length", http.Request{Body: body, ContentLength: -1}, true},
	} {
		before := c.request.Body
		NewManaged().Strip(&c.request)
		if got := c.request.Body != before; got != c.wrapped {
			t.Errorf("%s: the body is another one: %t, want %t", c.name, got, c.wrapped)
		}
	}
}

func TestTrailerFilterHandsErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	r := &http.Request{Body: io.NopCloser(io.MultiReader(strings.NewReader("abc"), failing{broken})), ContentLength: -1}
	NewManaged().Strip(r)
	got, err := io.ReadAll(r.Body)
	if string(got) != "abc" || !errors.Is(err, broken) {
		t.Errorf("read %q, %v", got, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// seen is what a handler finds in a request after Strip.
type seen struct {
	proto    string
	body     string
	announce []string
	header   http.Header
	trailer  http.Header
	ofCopy   http.Header // the trailers of a copy that was made before the body was read
}

// trailerServer is a real server whose handler strips, reads the body and reports what it saw.
func trailerServer(t *testing.T) (*httptest.Server, <-chan seen) {
	t.Helper()
	m := NewManaged("X-App-Role")
	out := make(chan seen, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		m.Strip(r)
		m.Strip(r) // gates may be in a row
		s := seen{proto: r.Proto, header: r.Header.Clone(), announce: slices.Sorted(maps.Keys(r.Trailer))}
		copied := r.WithContext(r.Context())
		body, err := io.ReadAll(copied.Body)
		if err != nil {
			t.Errorf("read body: %v", err)
		}
		s.body, s.trailer, s.ofCopy = string(body), r.Trailer.Clone(), copied.Trailer.Clone()
		out <- s
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, out
}

func (s seen) check(t *testing.T, m *Managed, want http.Header) {
	t.Helper()
	for name, h := range map[string]http.Header{"header": s.header, "trailer": s.trailer, "trailer of the copy": s.ofCopy} {
		for key, values := range h {
			if m.Has(key) {
				t.Errorf("%s: %s has %s: %q", s.proto, name, key, values)
			}
		}
	}
	for _, key := range s.announce {
		if m.Has(key) {
			t.Errorf("%s: %s is announced", s.proto, key)
		}
	}
	for key, values := range want {
		if !slices.Equal(s.trailer[key], values) {
			t.Errorf("%s: trailer %s is %q, want %q", s.proto, key, s.trailer[key], values)
		}
	}
	if s.body != "abc" {
		t.Errorf("%s: body is %q", s.proto, s.body)
	}
}

// TestTrailersHTTP1 writes requests by hand, because net/http refuses to send some of them.
func TestTrailersHTTP1(t *testing.T) {
	server, out := trailerServer(t)
	m := NewManaged("X-App-Role")
	const forged = "Remote-User: admin\r\nremote_groups: admin\r\nX.App.Role: admin\r\nREMOTE-EMAIL: a@b.c\r\n"
	for _, c := range []struct {
		name, announced, sent string
		want                  http.Header
	}{
		{"announced and sent", "Remote-User, X-App-Role, X-Sum", forged + "X-Sum: 1\r\n", http.Header{"X-Sum": {"1"}}},
		{"others announced", "X-Sum", forged + "X-Sum: 1\r\n", http.Header{"X-Sum": {"1"}}},
		{"nothing announced", "", forged, nil},
		{"announced in another spelling", "remote_user, x.app.role", forged, nil},
		{"announced and not sent", "Remote-User", "", nil},
		{"nothing managed", "X-Sum", "X-Sum: 1\r\n", http.Header{"X-Sum": {"1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com", NextProtos: []string{"http/1.1"}})
			if err != nil {
				t.Fatal(err)
			}
			defer closing(t, conn)
			trailer := ""
			if c.announced != "" {
				trailer = "Trailer: " + c.announced + "\r\n"
			}
			_, err = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: example.com\r\nRemote_User: admin\r\nTransfer-Encoding: chunked\r\n%s\r\n3\r\nabc\r\n0\r\n%s\r\n", trailer, c.sent)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer closing(t, response.Body)
			if response.StatusCode != http.StatusOK {
				t.Fatalf("answered %s", response.Status)
			}
			s := <-out
			if s.proto != "HTTP/1.1" {
				t.Errorf("protocol is %s", s.proto)
			}
			s.check(t, m, c.want)
		})
	}
}

func TestTrailersHTTP2(t *testing.T) {
	server, out := trailerServer(t)
	m := NewManaged("X-App-Role")
	for _, c := range []struct {
		name          string
		trailer, late http.Header
		want          http.Header
	}{
		{"announced", http.Header{"Remote-User": {"admin"}, "X-App-Role": {"admin"}, "X-Sum": {"1"}}, nil, http.Header{"X-Sum": {"1"}}},
		{"set late", http.Header{"Remote-User": nil, "X-Sum": nil}, http.Header{"Remote-User": {"admin"}, "X-Sum": {"1"}}, http.Header{"X-Sum": {"1"}}},
		{"other spelling", http.Header{"remote_user": {"admin"}, "X_app_role": {"admin"}, "X-Sum": {"1"}}, nil, http.Header{"X-Sum": {"1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodPost, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = -1
			r.Header.Set("Remote-Groups", "admin")
			r.Trailer = c.trailer
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("abc"), atEnd(func() { maps.Copy(r.Trailer, c.late) })))
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer closing(t, response.Body)
			s := <-out
			if s.proto != "HTTP/2.0" {
				t.Errorf("protocol is %s", s.proto)
			}
			s.check(t, m, c.want)
		})
	}
}

// atEnd is an empty reader that calls a function when it is read.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

func closing(t *testing.T, c io.Closer) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// FuzzStrip sends a field of any name. Strip deletes it exactly if a server could read it as a
// managed one.
func FuzzStrip(f *testing.F) {
	m := NewManaged("X-App-Role", "X-"+strings.Repeat("Long-", 30)+"Name")
	variables := make(map[string]bool)
	for folded := range m.folded {
		variables[cgi(folded)] = true
	}
	for _, name := range []string{"Remote-User", "remote_user", "REMOTE.USER", "Accept", "X_App-Role", "X~Webauth*Groups", "x-long_" + strings.Repeat("long-", 29) + "name"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		managed := variables[cgi(name)]
		ascii := !strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 })
		if got := m.Has(name); got != managed && ascii {
			t.Fatalf("Has(%q) = %t, and its variable is %s", name, got, cgi(name))
		}
		for _, key := range []string{name, http.CanonicalHeaderKey(name), textproto.CanonicalMIMEHeaderKey(strings.ToLower(name))} {
			h := http.Header{key: {"forged"}, "Connection": {"close, " + name}}
			m.Strip(&http.Request{Header: h})
			if _, there := h[key]; there && variables[cgi(key)] {
				t.Fatalf("%q survived", key)
			}
			for _, line := range h["Connection"] {
				for element := range strings.SplitSeq(line, ",") {
					if variables[cgi(textproto.TrimString(element))] {
						t.Fatalf("Connection still names %q", element)
					}
				}
			}
		}
	})
}

func typicalHeader() http.Header {
	return http.Header{
		"Accept":                    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		"Accept-Encoding":           {"gzip, deflate, br, zstd"},
		"Accept-Language":           {"en-US,en;q=0.5"},
		"Cache-Control":             {"no-cache"},
		"Connection":                {"keep-alive"},
		"Cookie":                    {"grafana_session=0123456789abcdef; theme=dark"},
		"Dnt":                       {"1"},
		"Priority":                  {"u=0, i"},
		"Referer":                   {"https://app.example.com/dashboards"},
		"Sec-Fetch-Dest":            {"document"},
		"Sec-Fetch-Mode":            {"navigate"},
		"Sec-Fetch-Site":            {"same-origin"},
		"Sec-Fetch-User":            {"?1"},
		"Upgrade-Insecure-Requests": {"1"},
		"User-Agent":                {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	}
}

func TestStripDoesNotAllocate(t *testing.T) {
	m := NewManaged("X-App-Role")
	r := &http.Request{Header: typicalHeader(), Body: http.NoBody}
	if n := testing.AllocsPerRun(100, func() { m.Strip(r) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkStrip(b *testing.B) {
	m := NewManaged("X-App-Role")
	r := &http.Request{Header: typicalHeader(), Body: http.NoBody}
	b.ReportAllocs()
	for b.Loop() {
		m.Strip(r)
	}
}
