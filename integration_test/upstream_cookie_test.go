package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// planted are Set-Cookie fields that a browser takes for one of the gateway's cookies, or could.
var planted = []string{
	"multi_session=planted",
	"multi_session=planted; Path=/; HttpOnly",
	"multi_session=; Max-Age=0",
	"multi_session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
	"multi_session=planted; Path=/deep/path",
	"multi_session=planted; Domain=localhost",
	"__Host-Http-multi_session=planted; Secure; Path=/; HttpOnly",
	"__Host-Http-multi_session=; Secure; Path=/; Max-Age=0",
	"__Secure-multi_session=planted; Secure; Path=/",
	"__Secure-multi_session=; Secure; Max-Age=0; Domain=example.com",
	"  multi_session=planted",
	"\tmulti_session=planted",
	"multi_session =planted",
	"multi_session\t= planted",
	"multi_session  =planted; Path=/",
	"multi_session",
	"multi_session; Path=/",
	"=multi_session=planted",
	" = multi_session=planted",
	"=multi_session",
	"=__Host-Http-multi_session=planted; Secure; Path=/",
	"multi_session==planted",
	"multi_session=\"planted\"",
	"multi_session=a; multi_session=b",
	"multi_session=planted;Path=/;SameSite=None;Partitioned",
}

// harmless are those that no browser takes for one.
var harmless = []string{
	"app=1; Path=/",
	"Multi_Session=1",
	"multi_session2=1",
	"xmulti_session=1",
	"app2=multi_session=x",
	"app3=1; Comment=multi_session=x",
	"__Host-multi_session=1; Secure; Path=/",
}

// planting is an upstream that answers with what it is told by the path, byte for byte.
func newPlanting(t testing.TB) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				br := bufio.NewReader(conn)
				for {
					request, err := readWire(br)
					if err != nil {
						return
					}
					_, _ = io.WriteString(conn, plant(request))
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// plantedFields are the fields that set and clear cookies.
var plantedFields = func() string {
	var b strings.Builder
	for i := range max(len(planted), len(harmless)) {
		if i < len(planted) {
			fmt.Fprintf(&b, "Set-Cookie: %s\r\n", planted[i])
		}
		if i < len(harmless) {
			fmt.Fprintf(&b, "set-cookie: %s\r\n", harmless[i])
		}
	}
	b.WriteString("Clear-Site-Data: \"cache\", \"cookies\" , \"storage\"\r\nclear-site-data: \"*\"\r\nClear-Site-Data:\"COOKIES\",cookies, *,\"executionContexts\"\r\n")
	return b.String()
}()

// plant is the answer that a path asks for; a rewrite may have put more in front of it.
func plant(r wireRequest) string {
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
	target := strings.Fields(r.Line)[1]
	switch target[strings.LastIndexByte(target, '/'):] {
	case "/final":
		return ok + plantedFields + "Content-Length: 2\r\n\r\nok"
	case "/empty":
		return "HTTP/1.1 204 No Content\r\n" + plantedFields + "\r\n"
	case "/unmodified":
		return "HTTP/1.1 304 Not Modified\r\n" + plantedFields + "\r\n"
	case "/redirect":
		return "HTTP/1.1 302 Found\r\nLocation: /x\r\n" + plantedFields + "Content-Length: 0\r\n\r\n"
	case "/failure":
		return "HTTP/1.1 500 Internal Server Error\r\n" + plantedFields + "Content-Length: 2\r\n\r\nno"
	case "/refusal":
		return "HTTP/1.1 401 Unauthorized\r\n" + plantedFields + "Content-Length: 2\r\n\r\nno"
	case "/early":
		return "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n" + plantedFields + "\r\n" + ok + "Content-Length: 2\r\n\r\nok"
	case "/processing":
		return strings.Repeat("HTTP/1.1 102 Processing\r\n"+plantedFields+"\r\n", 2) + ok + plantedFields + "Content-Length: 2\r\n\r\nok"
	case "/continue":
		return "HTTP/1.1 100 Continue\r\n" + plantedFields + "\r\n" + ok + "Content-Length: 2\r\n\r\nok"
	case "/chunked":
		return ok + plantedFields + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
	case "/stream":
		return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + plantedFields + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
	case "/trailer":
		return ok + "Trailer: Set-Cookie, Clear-Site-Data, X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Checksum: 1\r\n" + plantedFields + "\r\n"
	case "/late-trailer":
		return ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Checksum: 1\r\n" + plantedFields + "\r\n"
	case "/switch":
		return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + plantedFields + "\r\n"
	}
	return ok + "Content-Length: 2\r\n\r\nok"
}

var plantingPaths = []string{
	"/final", "/empty", "/unmodified", "/redirect", "/failure", "/refusal", "/early", "/processing", "/continue",
	"/chunked", "/stream", "/trailer", "/late-trailer",
}

// plantingSites are ways for an upstream's answer to come through the gateway.
var plantingSites = []struct{ name, directives, prefix string }{
	{"gated", "multi_session\n reverse_proxy {up}", ""},
	{"optional", "multi_session {\n optional\n}\n reverse_proxy {up}", ""},
	{"unmatched", "multi_session /admin/*\n reverse_proxy {up}", ""},
	{"nested", "multi_session {\n optional\n}\n handle {\n multi_session\n reverse_proxy {up}\n}", ""},
	{"flushed at once", "multi_session\n reverse_proxy {up} {\n flush_interval -1\n}", ""},
	{"buffered by the proxy", "multi_session\n reverse_proxy {up} {\n response_buffers 64KiB\n}", ""},
	{"compressed", "multi_session\n encode {\n minimum_length 1\n}\n reverse_proxy {up}", ""},
	{"buffered behind the gate", "multi_session\n templates\n reverse_proxy {up}", ""},
	{"buffered in front of the gate", "route {\n templates\n multi_session\n reverse_proxy {up}\n}", ""},
	{"compressed in front of the gate", "route {\n encode {\n minimum_length 1\n}\n multi_session\n reverse_proxy {up}\n}", ""},
	{"intercepted", "multi_session\n intercept {\n @ok status 200\n replace_status @ok 203\n}\n reverse_proxy {up}", ""},
	{"handled response", "multi_session\n reverse_proxy {up} {\n @all status 2xx 3xx 4xx 5xx\n handle_response @all {\n copy_response_headers\n copy_response\n}\n}", ""},
	{"set again by the site", "multi_session\n header +Set-Cookie site=1\n reverse_proxy {up} {\n header_down +Set-Cookie multi_session=planted\n}", ""},
	{"error before the gate", "route {\n error 500\n multi_session\n}\n handle_errors {\n reverse_proxy {up}\n}", ""},
	{"error behind the gate", "multi_session\n error /late/* 500\n handle_errors {\n reverse_proxy {up}\n}", "/late"},
	{"upstream down behind the gate", "multi_session\n handle_errors {\n reverse_proxy {up}\n}\n reverse_proxy /late/* {down}", "/late"},
	{"upstream down behind an optional gate", "multi_session {\n optional\n}\n handle_errors {\n reverse_proxy {up}\n}\n reverse_proxy /late/* {down}", "/late"},
	{"gate in the error routes", "multi_session\n error /late/* 500\n handle_errors {\n multi_session\n reverse_proxy {up}\n}", "/late"},
}

// serialized is what a browser sends back of a Set-Cookie field (RFC 6265bis, sections 5.6 and 5.8.3).
func serialized(line string) string {
	pair, _, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		name, value = "", pair
	}
	name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
	if name == "" {
		return value
	}
	return name + "=" + value
}

// checkPlanted looks at all lines of an answer on the wire, whichever part of it they are in.
func checkPlanted(t *testing.T, lines []field) (kept int) {
	t.Helper()
	var bad []field
	for _, f := range lines {
		switch strings.ToLower(f.Name) {
		case "set-cookie":
			name, _, _ := strings.Cut(serialized(f.Value), "=")
			if slices.Contains([]string{"multi_session", "__Host-Http-multi_session", "__Secure-multi_session"}, strings.Trim(name, " \t")) {
				bad = append(bad, f)
			}
			kept++
		case "clear-site-data":
			if lower := strings.ToLower(f.Value); strings.Contains(lower, "cookies") || strings.Contains(lower, "*") {
				bad = append(bad, f)
			}
		}
	}
	if bad != nil {
		t.Errorf("comes to the browser: %q", bad)
	}
	return kept
}

// TestUpstreamPlantsCookie has an upstream try to give the browser a jar of its own, to take it the one
// it has, or to sign it out, in every part of an answer that has fields.
func TestUpstreamPlantsCookie(t *testing.T) {
	up, down := newPlanting(t), freeAddress(t)
	config := fmt.Sprintf("{\n\tauto_https disable_redirects\n\tmulti_session {\n\t\tlogin password {\n\t\t\tthrottle off\n%s\n\t\t}\n\t}\n}\n", userOptions)
	plain, secure := make([]string, len(plantingSites)), make([]string, len(plantingSites))
	for i, site := range plantingSites {
		plain[i], secure[i] = freeAddress(t), freeAddress(t)
		config += fmt.Sprintf("http://:%s, https://localhost:%s {\n\ttls internal\n\t%s\n}\n", port(plain[i]), port(secure[i]), strings.NewReplacer("{up}", up, "{down}", down).Replace(site.directives))
	}
	startGateway(t, config)
	for _, address := range secure {
		awaitTLS(t, address, "localhost")
	}
	signedInBrowser := newBrowser(t, "http://"+plain[0])
	signedInBrowser.signIn("alice")
	cookie, secureCookie := signedInBrowser.cookieHeader(), signedIn(t, "https://localhost:"+port(secure[0]))

	for i, site := range plantingSites {
		t.Run(site.name, func(t *testing.T) {
			for _, path := range plantingPaths {
				path = site.prefix + path
				t.Run(path, func(t *testing.T) {
					raw := fill("GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}TE: trailers\r\nAccept-Encoding: gzip\r\n{close}\r\n", plain[i], path, cookie)
					conn, err := net.Dial("tcp", plain[i])
					if err != nil {
						t.Fatal(err)
					}
					text, lines := everything(t, conn, raw)
					kept := checkPlanted(t, lines)
					if !strings.HasPrefix(text, "HTTP/1.1 ") {
						t.Fatalf("%q", text)
					}
					if kept < len(harmless) && !strings.Contains(path, "trailer") && path != "/continue" && !strings.HasSuffix(path, "/continue") {
						t.Errorf("harmless cookies are missing: %d of %d\n%s", kept, len(harmless), text)
					}

					f := newFrames(t, secure[i], "localhost")
					f.headers(true, field{":method", "GET"}, field{":scheme", "https"}, field{":path", path}, field{":authority", "localhost:" + port(secure[i])}, field{"te", "trailers"}, field{"cookie", secureCookie})
					answer := f.answer()
					if answer.status == "" {
						t.Fatal("no answer over HTTP/2")
					}
					lines = nil
					for _, part := range slices.Concat(answer.informational, [][]hpack.HeaderField{answer.fields, answer.trailer}) {
						for _, h := range part {
							lines = append(lines, field{h.Name, h.Value})
						}
					}
					checkPlanted(t, lines)
				})
			}
			if site.name == "buffered by the proxy" {
				return // reverse_proxy cannot switch and buffer
			}
			t.Run("/switch", func(t *testing.T) {
				answer := first(t, plain[i], fill("GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", plain[i], site.prefix+"/switch", cookie))
				var lines []field
				for name, values := range answer.Header {
					for _, value := range values {
						lines = append(lines, field{name, value})
					}
				}
				if answer.StatusCode != http.StatusSwitchingProtocols {
					t.Fatalf("%s", answer.Status)
				}
				if kept := checkPlanted(t, lines); kept < len(harmless) {
					t.Errorf("harmless cookies are missing: %v", answer.Header)
				}
			})
		})
	}
	if got := signedInBrowser.active(); got != "alice" {
		t.Errorf("afterwards the browser is %q", got)
	}
}

// everything writes bytes to a connection, and returns all that comes back to its end, and the lines of
// it that are fields.
func everything(t *testing.T, conn net.Conn, raw string) (text string, lines []field) {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(hangUp)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(data), "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			lines = append(lines, field{name, strings.TrimSpace(value)})
		}
	}
	return string(data), lines
}
