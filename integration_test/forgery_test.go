package integration

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// forged is in every value that an attacker sends in these tests: no upstream may ever find it in a
// field that tells who somebody is.
const forged = "forged"

// What the upstream is to be told of alice, by preset.
var (
	nobody      = map[string]string{}
	remoteAlice = map[string]string{
		"REMOTE_USER": "alice", "REMOTE_EMAIL": "alice@example.com", "REMOTE_NAME": "Alice Example", "REMOTE_GROUPS": "admin,dev",
	}
	forwardedAlice = map[string]string{
		"X_FORWARDED_USER": "alice", "X_FORWARDED_EMAIL": "alice@example.com",
		"X_FORWARDED_PREFERRED_USERNAME": "alice", "X_FORWARDED_GROUPS": "admin,dev",
	}
	webauthAlice = map[string]string{
		"X_WEBAUTH_USER": "alice", "X_WEBAUTH_NAME": "Alice Example", "X_WEBAUTH_EMAIL": "alice@example.com", "X_WEBAUTH_GROUPS": "admin,dev",
	}
	customAlice = map[string]string{"X_DEPARTMENT": "research"}
)

// door is a way through the gateway to the upstream.
type door struct {
	name       string
	directives string
	path       string // below which all requests come to the upstream
	alice      map[string]string
	anonymous  map[string]string // nil where nobody may pass

	plain, secure string // addresses, once the gateway serves
}

// doors are all kinds of sites in one configuration, each of which sets other headers than its
// neighbours.
func doors() []*door {
	return []*door{
		{name: "remote", directives: "multi_session", path: "/x", alice: remoteAlice},
		{name: "forwarded", directives: "multi_session {\n identity_headers forwarded\n}", path: "/x", alice: forwardedAlice},
		{name: "webauth", directives: "multi_session {\n identity_headers webauth\n}", path: "/x", alice: webauthAlice},
		{
			name:       "custom",
			directives: "multi_session {\n identity_headers off\n header X-Department {http.auth.user.claim.department}\n}",
			path:       "/x", alice: customAlice,
		},
		{name: "off", directives: "multi_session {\n identity_headers off\n}", path: "/x", alice: nobody},
		{name: "optional", directives: "multi_session {\n optional\n}", path: "/x", alice: remoteAlice, anonymous: nobody},
		{name: "matched", directives: "multi_session /admin/*", path: "/admin/x", alice: remoteAlice},
		{name: "unmatched", directives: "multi_session /admin/*", path: "/x", alice: nobody, anonymous: nobody},
		{
			name:       "nested",
			directives: "multi_session {\n optional\n}\n handle /x* {\n multi_session {\n identity_headers forwarded\n}\n reverse_proxy {upstream}\n}",
			path:       "/x", alice: forwardedAlice,
		},
		{name: "in handle", directives: "handle {\n multi_session\n reverse_proxy {upstream}\n}", path: "/x", alice: remoteAlice},
		{name: "body buffered", directives: "handle {\n multi_session\n reverse_proxy {upstream} {\n request_buffers 64KiB\n}\n}", path: "/x", alice: remoteAlice},
		{name: "body limited", directives: "request_body {\n max_size 1MB\n}\n multi_session\n encode", path: "/x", alice: remoteAlice},
		{name: "rewritten", directives: "multi_session\n rewrite * /index.php{uri}", path: "/x", alice: remoteAlice},
	}
}

// openDoors starts a gateway with all the sites, each over HTTP and HTTPS. Global are further global
// options.
func openDoors(t *testing.T, up string, global string, all []*door) *gateway {
	t.Helper()
	users := strings.Replace(userOptions, "groups admin dev", "groups admin dev\n\t\tclaim department research", 1)
	config := fmt.Sprintf("{\n\tauto_https disable_redirects\n\t%s\n\tmulti_session {\n\t\tlogin password {\n\t\t\tthrottle off\n%s\n\t\t}\n\t}\n}\n", global, users)
	for _, d := range all {
		d.plain, d.secure = freeAddress(t), freeAddress(t)
		directives := strings.ReplaceAll(d.directives, "{upstream}", up)
		config += fmt.Sprintf("http://:%s, https://localhost:%s {\n\ttls internal\n\t%s\n\treverse_proxy %s\n}\n", port(d.plain), port(d.secure), directives, up)
	}
	g := startGateway(t, config)
	for _, d := range all {
		awaitTLS(t, d.secure, "localhost")
	}
	return g
}

// who asks at a door.
type who struct {
	cookie string            // the Cookie field's value, or ""
	want   map[string]string // nil where the answer has to be a refusal
}

// cast returns who asks at a door, by name: alice with her cookie, and nobody.
func (d *door) cast(aliceCookie string) map[string]who {
	return map[string]who{"alice": {aliceCookie, d.alice}, "nobody": {"", d.anonymous}}
}

// check holds what an upstream received against what it is to be told: exactly one field of each name,
// with the true value, and no other that could be taken for one.
func check(t *testing.T, got wireRequest, want map[string]string) {
	t.Helper()
	environment := got.environment()
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		if values := environment[name]; len(values) != 1 || values[0] != want[name] {
			t.Errorf("%s: %q, want %q\n%q\ntrailers %q", name, values, want[name], got.Fields, got.Trailers)
		}
	}
	for name := range want {
		if len(environment[name]) == 0 {
			t.Errorf("%s is missing\n%q", name, got.Fields)
		}
	}
	for _, f := range slices.Concat(got.Fields, got.Trailers) {
		if strings.Contains(f.Name+f.Value, "multi_session") {
			t.Errorf("the upstream sees the gateway's cookie: %q", f)
		}
	}
}

// checkAll holds all that ever came to the upstream against what must never.
func checkAll(t *testing.T, up *wiretap) {
	t.Helper()
	for _, r := range up.received() {
		if strings.Contains(r.Line, "/smuggled") {
			t.Errorf("received %q %q", r.Line, r.Fields)
		}
		for name, values := range r.environment() {
			if len(values) > 1 || strings.Contains(values[0], forged) {
				t.Errorf("%s received %s %q", r.Line, name, values)
			}
		}
	}
}

// spellings are the forms of a name that some server takes for it.
func spellings(name string) []string {
	all := []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ToLower(name[:1]) + strings.ToUpper(name[1:])}
	for _, c := range "_.!#$%&'*+^`|~" {
		all = append(all, strings.ReplaceAll(name, "-", string(c)))
	}
	if last := strings.LastIndexByte(name, '-'); last > 0 {
		all = append(all, name[:last]+"_"+name[last+1:], name[:last]+"."+strings.ToUpper(name[last+1:]))
	}
	return all
}

// every writes the format once for each spelling of each identity header.
func every(format string) string {
	var b strings.Builder
	for _, name := range identityNames {
		for _, spelling := range spellings(name) {
			fmt.Fprintf(&b, format, spelling)
		}
	}
	return b.String()
}

// few is every without what makes it longer than net/http takes a trailer.
func few(format string) string {
	all := every(format)[:3<<10]
	return all[:strings.LastIndexByte(all, '\n')+1]
}

// eachName writes the format once for each identity header.
func eachName(format string) string {
	var b strings.Builder
	for _, name := range identityNames {
		fmt.Fprintf(&b, format, name)
	}
	return b.String()
}

// The attacks over HTTP/1.1. {path} and {host} are the door's, {cookie} is the Cookie field's line,
// {close} has the connection end. Where an attack is a request that no server should take, the
// gateway may refuse it instead.
var forgeries = map[string]string{
	"every spelling":    "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}" + every("%s: forged\r\n") + "{close}\r\n",
	"before everything": "GET {path} HTTP/1.1\r\n" + eachName("%s: forged\r\n") + "Host: {host}\r\n{cookie}{close}\r\n",
	"duplicates":        "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}" + strings.Repeat(eachName("%s: forged\r\n"), 3) + "{close}\r\n",
	"empty values":      "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}" + eachName("%s:\r\n") + "{close}\r\n",
	"empty and not":     "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}" + eachName("%[1]s: \r\n%[1]s: forged\r\n%[1]s:\t\r\n") + "{close}\r\n",
	"white space":       "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}" + eachName("%s:   \t forged \t \r\n") + "{close}\r\n",
	"long values":       "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Remote-User: " + strings.Repeat("forged,", 1500) + "\r\n{close}\r\n",

	"Connection names them":      "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}" + eachName("Connection: %s\r\n") + "\r\n",
	"Connection lists them":      "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Connection: " + strings.ToLower(strings.Join(identityNames, " , ")) + " ,,close\r\n\r\n",
	"Connection names and sends": "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Connection: remote-user,Remote_User,\tX-Forwarded-User\r\n" + eachName("%s: forged\r\n") + "\r\n",
	"Connection in quotes":       "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Connection: \"Remote-User\", Remote-User; x, Remote-User=1\r\n\r\n",
	"Connection continued":       "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Connection: x,\r\n Remote-User,\r\n\tRemote-Groups\r\n\r\n",
	"Proxy-Connection":           "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Proxy-Connection: Remote-User, Remote-Groups\r\nKeep-Alive: Remote-User\r\nTE: trailers, Remote-User\r\n\r\n",
	"Connection names Host":      "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Connection: Host, Cookie, X-Forwarded-For, Remote-User\r\n\r\n",

	"trailers announced":           "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Transfer-Encoding: chunked\r\n" + eachName("Trailer: %s\r\n") + "\r\n2\r\nhi\r\n0\r\n" + eachName("%s: forged\r\n") + "\r\n",
	"trailers not announced":       "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" + eachName("%s: forged\r\n") + "\r\n",
	"trailers in every spelling":   "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Transfer-Encoding: chunked\r\n" + "Trailer: X-Checksum, Remote_User, remote.groups\r\n" + "\r\n2\r\nhi\r\n0\r\nX-Checksum: 1\r\n" + few("%s: forged\r\n") + "\r\n",
	"trailers behind another":      "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n2\r\nhi\r\n0\r\nX-Checksum: 1\r\n" + eachName("%s: forged\r\n") + "\r\n",
	"trailers without a body":      "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Transfer-Encoding: chunked\r\nTrailer: Remote-User\r\n\r\n0\r\nRemote-User: forged\r\n\r\n",
	"trailers of a GET":            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n2\r\nhi\r\n0\r\nX-Checksum: 1\r\nRemote_User: forged\r\n\r\n",
	"trailers and a length":        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Content-Length: 2\r\nTrailer: Remote-User\r\n\r\nhi",
	"trailers after 100-continue":  "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Expect: 100-continue\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n2\r\nhi\r\n0\r\nRemote-User: forged\r\nX-Checksum: 1\r\n\r\n",
	"trailers continued on a line": "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n2\r\nhi\r\n0\r\nX-Checksum: 1\r\n Remote-User: forged\r\n\r\n",
	"a trailer names Connection":   "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Transfer-Encoding: chunked\r\nTrailer: Connection\r\n\r\n0\r\nConnection: Remote-User\r\n\r\n",

	"continuation of another":    "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}X-Folded: x\r\n Remote-User: forged\r\n\r\n",
	"continuation after a tab":   "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}X-Folded: x\r\n\tRemote-User: forged\r\n\r\n",
	"value on the next line":     "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote-User:\r\n forged\r\n\r\n",
	"white space in front":       "GET {path} HTTP/1.1\r\n Remote-User: forged\r\nHost: {host}\r\n{cookie}{close}\r\n",
	"white space before colon":   "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote-User : forged\r\n\r\n",
	"tab before colon":           "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote-User\t: forged\r\n\r\n",
	"no-break space before it":   "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote-User\u00a0: forged\r\n\r\n",
	"white space for the hyphen": "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote User: forged\r\n\r\n",
	"NUL in the name":            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote-User\x00: forged\r\n\r\n",
	"NUL in another's value":     "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}X-Other: x\x00\r\nRemote-User: forged\r\n\r\n",
	"bare line feeds":            "GET {path} HTTP/1.1\nHost: {host}\n{cookie}{close}X-Other: x\nRemote-User: forged\n\n",
	"bare carriage return":       "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}X-Other: x\rRemote-User: forged\r\n\r\n",
	"carriage return and more":   "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}X-Other: x\r\r\nRemote-User: forged\r\n\r\n",
	"letters beyond ASCII":       "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote\u2010User: forged\r\nRemote\uff0dUser: forged\r\n\r\n",
	"a name without a colon":     "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote-User\r\nX-Other: forged\r\n\r\n",
	"colons":                     "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}:Remote-User: forged\r\n\r\n",

	"absolute form":                 "GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote-User: forged\r\n\r\n",
	"absolute form, user in it":     "GET http://forged@{host}{path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote-User: forged\r\n\r\n",
	"absolute form, fields in it":   "GET http://{host}{path}?x=\tRemote-User:forged HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}\r\n",
	"absolute form, another's host": "GET http://{host}{path} HTTP/1.1\r\nHost: evil.example\r\n{cookie}{close}Remote-User: forged\r\n\r\n",
	"line break in the target":      "GET {path}?%0d%0aRemote-User:%20forged HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}\r\n",
	"HTTP/1.0":                      "GET {path} HTTP/1.0\r\nHost: {host}\r\n{cookie}" + eachName("%s: forged\r\n") + "\r\n",
	"HTTP/1.0 kept alive":           "GET {path} HTTP/1.0\r\nHost: {host}\r\n{cookie}Connection: keep-alive, Remote-User\r\nRemote-User: forged\r\n\r\n{next}",

	"smuggled by length":             "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Content-Length: {5 and smuggled}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}{next}",
	"smuggled by two lengths":        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Content-Length: 0\r\nContent-Length: {length of smuggled}\r\n\r\n{smuggled}{next}",
	"smuggled by a list of lengths":  "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Content-Length: 0, {length of smuggled}\r\n\r\n{smuggled}{next}",
	"smuggled by a signed length":    "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Content-Length: +0\r\n\r\n{smuggled}{next}",
	"smuggled by odd encoding":       "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}{next}",
	"smuggled by two encodings":      "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}{next}",
	"smuggled by encoding, HTTP/1.0": "POST {path} HTTP/1.0\r\nHost: {host}\r\n{cookie}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}{next}",
	"smuggled in a chunk's size":     "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n{smuggled}{next}",
	"smuggled in a chunk's comment":  "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Transfer-Encoding: chunked\r\n\r\n2;x=\"\r\nhi\r\n0;\n{smuggled}{next}",
	"smuggled behind a GET":          "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Content-Length: {length of smuggled}\r\n\r\n{smuggled}{next}",
	"smuggled by hop-by-hop length":  "POST {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Connection: Content-Length, Transfer-Encoding\r\nContent-Length: {length of smuggled}\r\n\r\n{smuggled}{next}",
	"pipelined":                      "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}\r\nGET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Remote_User: forged\r\nRemote-User: forged\r\n\r\n{next}",
	"upgrade refused, then more":     "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: x\r\nRemote-User: forged\r\n\r\nGET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Remote-User: forged\r\n\r\n{next}",
	"upgrade to h2c":                 "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Connection: Upgrade, HTTP2-Settings, Remote-User\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nRemote-User: forged\r\n\r\n{next}",
	"TRACE":                          "TRACE {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Remote-User: forged\r\n{close}\r\n",
}

// smuggled is a request that is to come to an upstream behind the back of the gateway.
const smuggled = "GET /smuggled HTTP/1.1\r\nRemote-User: forged\r\n\r\n"

// fill makes an attack a request at a door.
func fill(attack, host, path, cookie string) string {
	if cookie != "" {
		cookie = "Cookie: " + cookie + "\r\n"
	}
	filled := strings.NewReplacer(
		"{next}", "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}\r\n",
		"{smuggled}", smuggled,
		"{length of smuggled}", strconv.Itoa(len(smuggled)),
		"{5 and smuggled}", strconv.Itoa(5+len(smuggled)),
	).Replace(attack)
	return strings.NewReplacer("{path}", path, "{host}", host, "{cookie}", cookie, "{close}", "Connection: close\r\n").Replace(filled)
}

// signedIn returns the Cookie field of a browser that is signed in as alice at an origin, with a
// cookie of an app's beside it.
func signedIn(t *testing.T, origin string) string {
	t.Helper()
	b := newBrowser(t, origin)
	b.signIn("alice")
	return b.cookieHeader() + "; app=1"
}

// TestForgedIdentity has every attack at every door, as alice and as nobody, over HTTP/1.1.
func TestForgedIdentity(t *testing.T) {
	up := newWiretap(t)
	all := doors()
	openDoors(t, up.address, "", all)
	cookie := signedIn(t, "http://"+all[0].plain)

	for _, d := range all {
		for name, asked := range d.cast(cookie) {
			t.Run(d.name+" as "+name, func(t *testing.T) {
				honest := send(t, d.plain, fill("GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}\r\n", d.plain, d.path, asked.cookie))
				if len(honest) != 1 || asked.want != nil && honest[0].StatusCode != http.StatusOK || asked.want == nil && honest[0].StatusCode != http.StatusUnauthorized {
					t.Fatalf("without an attack: %v", honest)
				}
				for attack, raw := range forgeries {
					t.Run(attack, func(t *testing.T) {
						for _, answer := range send(t, d.plain, fill(raw, d.plain, d.path, asked.cookie)) {
							got, ok := answer.wire()
							if !ok {
								continue
							}
							if asked.want == nil {
								t.Fatalf("%s", answer.body)
							}
							check(t, got, asked.want)
						}
					})
				}
			})
		}
	}
	checkAll(t, up)
}

// TestForgedIdentityPastServerOptions is about names with underscores and dots, of which Caddy lets
// none through by itself, where it was told to.
func TestForgedIdentityPastServerOptions(t *testing.T) {
	up := newWiretap(t)
	all := doors()
	openDoors(t, up.address, "servers {\n\t\texpected_underscore_headers Remote_* X_* Other_*\n\t\texpected_dot_headers Remote.* X.* Other.*\n\t}", all)
	cookie := signedIn(t, "http://"+all[0].plain)
	for _, d := range all {
		for name, asked := range d.cast(cookie) {
			if asked.want == nil {
				continue
			}
			t.Run(d.name+" as "+name, func(t *testing.T) {
				raw := "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Other_Header: 1\r\nOther.Header: 1\r\n" + every("%s: forged\r\n") + "{close}\r\n"
				answers := send(t, d.plain, fill(raw, d.plain, d.path, asked.cookie))
				if len(answers) != 1 {
					t.Fatalf("%v", answers)
				}
				got, _ := answers[0].wire()
				check(t, got, asked.want)
				if len(got.values("Other_Header")) != 1 || len(got.values("Other.Header")) != 1 {
					t.Errorf("the option does not work, so nothing was tested: %q", got.Fields)
				}
			})
		}
	}
	checkAll(t, up)
}

// TestForgedIdentityHTTP2 sends frames that no honest client makes.
func TestForgedIdentityHTTP2(t *testing.T) {
	up := newWiretap(t)
	all := doors()
	openDoors(t, up.address, "", all)
	cookie := signedIn(t, "https://localhost:"+port(all[0].secure))

	identity := func(value string) (fields []field) {
		for _, name := range identityNames {
			for _, spelling := range spellings(name) {
				fields = append(fields, field{strings.ToLower(spelling), value})
			}
		}
		return fields
	}
	repeated := func(fields []field, more ...field) []field { return slices.Concat(fields, fields, more) }

	attacks := []struct {
		name            string
		method          string
		fields          []field
		body            string
		trailers        []field
		before, instead []field // of the usual pseudo-headers
	}{
		{name: "every spelling", fields: identity(forged)},
		{name: "duplicates", fields: repeated(identity(forged)[:40])},
		{name: "empty values", fields: repeated(identity("")[:40], field{"remote-user", forged})},
		{name: "upper case", fields: []field{{"Remote-User", forged}}},
		{name: "upper case in part", fields: []field{{"remote-User", forged}}},
		{name: "Connection", fields: []field{{"connection", "remote-user"}, {"remote-user", forged}}},
		{name: "Proxy-Connection", fields: []field{{"proxy-connection", "remote-user"}}},
		{name: "TE", fields: []field{{"te", "trailers, remote-user"}}},
		{name: "Keep-Alive", fields: []field{{"keep-alive", "remote-user"}}},
		{name: "Transfer-Encoding", method: "POST", fields: []field{{"transfer-encoding", "chunked"}}, body: "0\r\n\r\n" + smuggled},
		{name: "line break in a value", fields: []field{{"x-other", "x\r\nRemote-User: forged"}}},
		{name: "line feed in a value", fields: []field{{"x-other", "x\nRemote-User: forged"}}},
		{name: "carriage return in a value", fields: []field{{"x-other", "x\rRemote-User: forged"}}},
		{name: "NUL in a value", fields: []field{{"x-other", "x\x00"}, {"remote-user", forged}}},
		{name: "line break in a name", fields: []field{{"x-other: x\r\nremote-user", forged}}},
		{name: "colon in a name", fields: []field{{"remote-user:x", forged}}},
		{name: "space in a name", fields: []field{{"remote-user ", forged}, {" remote-user", forged}}},
		{name: "NUL in a name", fields: []field{{"remote-user\x00", forged}}},
		{name: "empty name", fields: []field{{"", forged}}},
		{name: "unknown pseudo-header", fields: nil, before: []field{{":remote-user", forged}}},
		{name: "pseudo-header at the end", fields: []field{{"remote-user", forged}, {":path", "/x"}}},
		{name: "line break in the path", instead: []field{{":method", "GET"}, {":scheme", "https"}, {":path", "{path} HTTP/1.1\r\nRemote-User: forged\r\nX: "}, {":authority", "{host}"}}},
		{name: "line break in the authority", instead: []field{{":method", "GET"}, {":scheme", "https"}, {":path", "{path}"}, {":authority", "{host}\r\nRemote-User: forged"}}},
		{name: "line break in the method", instead: []field{{":method", "GET / HTTP/1.1\r\nRemote-User: forged\r\nX: "}, {":scheme", "https"}, {":path", "{path}"}, {":authority", "{host}"}}},
		{name: "line break in the scheme", instead: []field{{":method", "GET"}, {":scheme", "https\r\nRemote-User: forged"}, {":path", "{path}"}, {":authority", "{host}"}}},
		{name: "Host beside the authority", fields: []field{{"host", "forged.example"}, {"remote-user", forged}}},
		{name: "Host and no authority", instead: []field{{":method", "GET"}, {":scheme", "https"}, {":path", "{path}"}}, fields: []field{{"host", "{host}"}, {"remote-user", forged}}},
		{name: "absolute path", instead: []field{{":method", "GET"}, {":scheme", "https"}, {":path", "https://{host}{path}"}, {":authority", "{host}"}}, fields: []field{{"remote-user", forged}}},
		{name: "CONNECT to WebSocket", instead: []field{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "{path}"}, {":authority", "{host}"}}, fields: []field{{"remote-user", forged}}},
		{name: "trailers announced", method: "POST", fields: []field{{"trailer", "remote-user, remote_user, x-checksum"}}, body: "hi", trailers: []field{{"remote-user", forged}, {"remote_user", forged}, {"x-checksum", "1"}}},
		{name: "trailers not announced", method: "POST", body: "hi", trailers: identity(forged)},
		{name: "trailers behind another", method: "POST", fields: []field{{"trailer", "x-checksum"}}, body: "hi", trailers: append(identity(forged), field{"x-checksum", "1"})},
		{name: "trailers and a length", method: "POST", fields: []field{{"trailer", "remote-user"}, {"content-length", "2"}}, body: "hi", trailers: []field{{"remote-user", forged}}},
		{name: "trailers in upper case", method: "POST", body: "hi", trailers: []field{{"Remote-User", forged}}},
		{name: "trailers with a pseudo-header", method: "POST", body: "hi", trailers: []field{{":path", "/y"}, {"remote-user", forged}}},
		{name: "a body longer than its length", method: "POST", fields: []field{{"content-length", "0"}}, body: smuggled},
		{name: "two lengths", method: "POST", fields: []field{{"content-length", "2"}, {"content-length", "0"}}, body: "hi"},
	}
	for _, d := range all {
		for name, asked := range d.cast(cookie) {
			t.Run(d.name+" as "+name, func(t *testing.T) {
				host := "localhost:" + port(d.secure)
				for _, attack := range attacks {
					t.Run(attack.name, func(t *testing.T) {
						pseudo := attack.instead
						if pseudo == nil {
							method := attack.method
							if method == "" {
								method = "GET"
							}
							pseudo = append(slices.Clone(attack.before), field{":method", method}, field{":scheme", "https"}, field{":path", "{path}"}, field{":authority", "{host}"})
						}
						fields := slices.Concat(pseudo, attack.fields)
						for i, f := range fields {
							fields[i].Value = strings.NewReplacer("{path}", d.path, "{host}", host).Replace(f.Value)
						}
						if asked.cookie != "" {
							// As crumbs, each in a field of its own (RFC 9113, section 8.2.3).
							for crumb := range strings.SplitSeq(asked.cookie, "; ") {
								fields = append(fields, field{"cookie", crumb})
							}
						}
						f := newFrames(t, d.secure, "localhost")
						f.headers(attack.body == "" && attack.trailers == nil, fields...)
						if attack.body != "" {
							f.data(attack.trailers == nil, attack.body)
						}
						if attack.trailers != nil {
							f.headers(true, attack.trailers...)
						}
						answer := f.answer()
						// A stream that was cut off may leave a request on its way, so requests are not counted
						// here: whatever arrives, checkAll looks at below.
						got, ok := answer.wire()
						switch {
						case ok && asked.want != nil:
							check(t, got, asked.want)
						case asked.want == nil && answer.status == "200":
							t.Errorf("came through: %s", answer.body)
						}
					})
				}
			})
		}
	}
	checkAll(t, up)
}

// TestTrueIdentityHTTP2 makes sure that the attacks above are refused for what they are and not
// because nothing comes through.
func TestTrueIdentityHTTP2(t *testing.T) {
	up := newWiretap(t)
	all := doors()
	openDoors(t, up.address, "", all)
	cookie := signedIn(t, "https://localhost:"+port(all[0].secure))
	for _, d := range all {
		for name, asked := range d.cast(cookie) {
			f := newFrames(t, d.secure, "localhost")
			fields := []field{{":method", "POST"}, {":scheme", "https"}, {":path", d.path}, {":authority", "localhost:" + port(d.secure)}, {"trailer", "x-checksum"}, {"remote-user", forged}}
			if asked.cookie != "" {
				fields = append(fields, field{"cookie", asked.cookie})
			}
			f.headers(false, fields...)
			f.data(false, "hi")
			f.headers(true, field{"x-checksum", "1"}, field{"remote-user", forged})
			answer := f.answer()
			got, passed := answer.wire()
			if asked.want == nil {
				if passed || answer.status != strconv.Itoa(http.StatusUnauthorized) {
					t.Errorf("%s as %s: %s %s", d.name, name, answer.status, answer.body)
				}
				continue
			}
			if !passed || got.Body != "hi" || !slices.Equal(got.Trailers, []field{{"X-Checksum", "1"}}) {
				t.Errorf("%s as %s: %s %s", d.name, name, answer.status, answer.body)
				continue
			}
			check(t, got, asked.want)
		}
	}
}
