package integration

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// field is a header or trailer field as it stands on the wire.
type field struct{ Name, Value string }

// wireRequest is a request as a wiretap received it: nothing is canonical, joined or left out.
type wireRequest struct {
	Line             string
	Fields, Trailers []field
	Body             string
}

// values returns the values of a header's fields, whatever the case of the name.
func (r wireRequest) values(name string) []string {
	var values []string
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// environment is what a CGI server makes of the fields of an identity, trailers included: some merge
// them. The variables are without "HTTP_".
func (r wireRequest) environment() map[string][]string {
	environment := make(map[string][]string)
	for _, f := range slices.Concat(r.Fields, r.Trailers) {
		if name := cgi(f.Name); slices.Contains(identityVariables, name) {
			environment[name] = append(environment[name], f.Value)
		}
	}
	return environment
}

// cgi is the variable that a CGI server makes of a field's name, in the way that loses the most: what
// is neither letter nor digit becomes an underscore (RFC 3875, section 4.1.18).
func cgi(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z':
			return c - 'a' + 'A'
		case 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			return c
		}
		return '_'
	}, name)
}

// identityNames are the header names of all presets, and those that the sites of these tests add.
var identityNames = []string{
	"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Forwarded-Groups",
	"X-WEBAUTH-USER", "X-WEBAUTH-NAME", "X-WEBAUTH-EMAIL", "X-WEBAUTH-GROUPS",
	"X-Department",
}

var identityVariables = func() []string {
	var variables []string
	for _, name := range identityNames {
		variables = append(variables, cgi(name))
	}
	return variables
}()

// wiretap is an upstream that reads requests from the socket itself, and answers each with what it
// received, as JSON. It keeps the connections open, so that a request smuggled inside another would
// be received as one of its own.
type wiretap struct {
	address  string
	requests atomic.Int64

	mu  sync.Mutex
	all []wireRequest
}

func newWiretap(t testing.TB) *wiretap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	w := &wiretap{address: listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go w.serve(conn)
		}
	}()
	return w
}

func (w *wiretap) serve(conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	for {
		request, err := readWire(br)
		if err != nil {
			return
		}
		w.requests.Add(1)
		w.mu.Lock()
		w.all = append(w.all, request)
		w.mu.Unlock()
		body, err := json.Marshal(request)
		if err != nil {
			return
		}
		if strings.HasPrefix(request.Line, "HEAD ") {
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
			continue
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
}

// received returns every request so far.
func (w *wiretap) received() []wireRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}

func readWire(br *bufio.Reader) (wireRequest, error) {
	var r wireRequest
	line, err := readWireLine(br)
	if err != nil {
		return r, err
	}
	r.Line = line
	if r.Fields, err = readWireFields(br); err != nil {
		return r, err
	}
	if slices.Contains(r.values("Transfer-Encoding"), "chunked") {
		return r, r.readChunks(br)
	}
	length := 0
	for _, value := range r.values("Content-Length") {
		if length, err = strconv.Atoi(value); err != nil {
			return r, err
		}
	}
	body := make([]byte, length)
	_, err = io.ReadFull(br, body)
	r.Body = string(body)
	return r, err
}

func (r *wireRequest) readChunks(br *bufio.Reader) error {
	for {
		line, err := readWireLine(br)
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(line, 16, 31)
		if err != nil {
			return err
		}
		if size == 0 {
			r.Trailers, err = readWireFields(br)
			return err
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(br, chunk); err != nil {
			return err
		}
		r.Body += string(chunk[:size])
	}
}

// readWireLine ends at every line feed, as lenient servers do.
func readWireLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadString('\n')
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), err
}

func readWireFields(br *bufio.Reader) ([]field, error) {
	var fields []field
	for {
		line, err := readWireLine(br)
		if err != nil || line == "" {
			return fields, err
		}
		// A bare carriage return ends a line to some.
		for part := range strings.SplitSeq(line, "\r") {
			name, value, _ := strings.Cut(part, ":")
			fields = append(fields, field{name, strings.Trim(value, " \t")})
		}
	}
}

// wire decodes what a wiretap received, and is false where the answer is not a wiretap's.
func (r reply) wire() (wireRequest, bool) { return wireIn(r.StatusCode == http.StatusOK, r.body) }

func wireIn(ok bool, body string) (wireRequest, bool) {
	var w wireRequest
	if !ok || json.Unmarshal([]byte(body), &w) != nil || w.Line == "" {
		return wireRequest{}, false
	}
	return w, true
}

// cookieHeader is what the browser sends as Cookie to its origin.
func (b *browser) cookieHeader() string {
	b.t.Helper()
	site, err := url.Parse(b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	var pairs []string
	for _, c := range b.client.Jar.Cookies(site) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

// hangUp is how long a test waits for an answer that does not come: it says that something is broken.
const hangUp = time.Minute

// send writes bytes to an address and returns the answers to them, up to the end of the connection,
// which the bytes have to ask for.
func send(t testing.TB, address, raw string) []reply {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(hangUp)); err != nil {
		t.Fatal(err)
	}
	// A server that refuses the beginning may close before it has read the end.
	go func() { _, _ = io.WriteString(conn, raw) }()
	br := bufio.NewReader(conn)
	method, _, _ := strings.Cut(raw, " ") // a HEAD has no body in its answer
	var answers []reply
	for {
		response, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Fatalf("no answer, and no end of the connection, to %q", raw)
			}
			return answers
		}
		if response.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatalf("%s: %v", response.Status, err)
		}
		response.Body.Close()
		answers = append(answers, reply{response, string(body)})
	}
}

// frames is a client of HTTP/2 that sends whatever it is told, in frames of its own making.
type frames struct {
	t    testing.TB
	conn net.Conn
	*http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	stream  uint32
}

func newFrames(t testing.TB, address, host string) *frames {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, ServerName: host, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(hangUp)); err != nil {
		t.Fatal(err)
	}
	f := &frames{t: t, conn: conn, Framer: http2.NewFramer(conn, conn), stream: 1}
	f.encoder = hpack.NewEncoder(&f.block)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.AllowIllegalWrites = true
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *frames) headers(end bool, fields ...field) {
	f.t.Helper()
	f.block.Reset()
	for _, h := range fields {
		if err := f.encoder.WriteField(hpack.HeaderField{Name: h.Name, Value: h.Value}); err != nil {
			f.t.Fatal(err)
		}
	}
	// A frame takes 16 KiB; what is more goes on in others. The server may have hung up already.
	block := f.block.Bytes()
	first := block[:min(len(block), 16<<10)]
	block = block[len(first):]
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: first, EndStream: end, EndHeaders: len(block) == 0})
	for len(block) > 0 {
		next := block[:min(len(block), 16<<10)]
		block = block[len(next):]
		_ = f.WriteContinuation(f.stream, len(block) == 0, next)
	}
}

func (f *frames) data(end bool, text string) {
	_ = f.WriteData(f.stream, end, []byte(text))
}

// answered is an answer of HTTP/2. Its status is "" where the stream or the connection was ended
// without one.
type answered struct {
	status          string
	fields, trailer []hpack.HeaderField
	informational   [][]hpack.HeaderField
	body            string
}

// answer reads up to the end of the stream, and goes on to the next one.
func (f *frames) answer() answered {
	f.t.Helper()
	defer func() { f.stream += 2 }()
	var a answered
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				f.t.Fatal("no answer over HTTP/2")
			}
			f.t.Logf("the connection ended: %v", err)
			return answered{}
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = f.WritePing(true, frame.Data)
			}
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				return answered{}
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == f.stream && a.status == "" {
				return answered{}
			}
			if frame.StreamID == f.stream {
				return a
			}
		case *http2.MetaHeadersFrame:
			status := frame.PseudoValue("status")
			switch {
			case strings.HasPrefix(status, "1"):
				a.informational = append(a.informational, frame.RegularFields())
				continue
			case a.status == "":
				a.status, a.fields = status, frame.RegularFields()
			default:
				a.trailer = frame.RegularFields()
			}
			if frame.StreamEnded() {
				return a
			}
		case *http2.DataFrame:
			a.body += string(frame.Data())
			if n := uint32(len(frame.Data())); n > 0 {
				_ = f.WriteWindowUpdate(0, n)
				if !frame.StreamEnded() {
					_ = f.WriteWindowUpdate(f.stream, n)
				}
			}
			if frame.StreamEnded() {
				return a
			}
		}
	}
}

// wire decodes what a wiretap received, and is false where the answer is not a wiretap's.
func (a answered) wire() (wireRequest, bool) { return wireIn(a.status == "200", a.body) }

// canonicalFields makes a header of fields, for what is looked at as browsers do.
func canonicalFields(fields []hpack.HeaderField) http.Header {
	h := make(http.Header)
	for _, f := range fields {
		h.Add(textproto.CanonicalMIMEHeaderKey(f.Name), f.Value)
	}
	return h
}
