package integration

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// browser is an HTTP client that keeps cookies and sends what browsers send with a request. It does
// not follow redirects.
type browser struct {
	t      testing.TB
	base   string // origin, without a slash at its end
	client *http.Client
	portal string // prefix of the portal there, whose API is held against its description; "" for none
}

// defaultPrefix is where the portal is unless it is configured to be elsewhere.
const defaultPrefix = "/.auth"

func newBrowser(t testing.TB, base string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the certificates are the test's own
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, base: base, portal: defaultPrefix, client: &http.Client{
		Jar:           jar,
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// reply is an answer, read to its end.
type reply struct {
	*http.Response
	body string
}

// json decodes the answer's body.
func (r reply) json(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), into); err != nil {
		t.Fatalf("%s %s: %v in %q", r.Request.Method, r.Request.URL, err, r.body)
	}
}

// code returns the code of a JSON error.
func (r reply) code() string {
	var e struct{ Code string }
	_ = json.Unmarshal([]byte(r.body), &e)
	return e.Code
}

// do sends a request and reads the answer. One of the JSON API must be as its description says.
func (b *browser) do(request *http.Request) (reply, error) {
	response, err := b.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	answer := reply{response, string(body)}
	if err == nil {
		b.conforms(request, answer)
	}
	return answer, err
}

func (b *browser) must(request *http.Request) reply {
	b.t.Helper()
	answer, err := b.do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer
}

func (b *browser) request(method, path string, body io.Reader) *http.Request {
	b.t.Helper()
	request, err := http.NewRequest(method, b.base+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	return request
}

// open navigates to a path. The first page after a switch is preceded by one that leads to it.
func (b *browser) open(path string) reply {
	b.t.Helper()
	answer := b.openOnce(path)
	if precedes(answer) {
		if answer = b.openOnce(path); precedes(answer) {
			b.t.Fatalf("%s leads round and round", path)
		}
	}
	return answer
}

// precedes reports whether a page is the one that the gateway puts before the first page after a switch.
func precedes(answer reply) bool { return answer.Header.Get("Cross-Origin-Embedder-Policy") != "" }

func (b *browser) openOnce(path string) reply {
	b.t.Helper()
	request := b.request(http.MethodGet, path, nil)
	request.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	request.Header.Set("Sec-Fetch-Mode", "navigate")
	request.Header.Set("Sec-Fetch-Dest", "document")
	request.Header.Set("Sec-Fetch-Site", "none")
	return b.must(request)
}

// get fetches a path as a script of the site does.
func (b *browser) get(path string) reply {
	b.t.Helper()
	request := b.request(http.MethodGet, path, nil)
	request.Header.Set("Sec-Fetch-Mode", "cors")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.must(request)
}

// jsonRequest is what a script of the site sends to the JSON API.
func (b *browser) jsonRequest(path string, body any) *http.Request {
	b.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	request := b.request(http.MethodPost, path, bytes.NewReader(data))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Origin", b.base)
	request.Header.Set("Sec-Fetch-Mode", "cors")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	return request
}

// post calls the JSON API.
func (b *browser) post(path string, body any) reply {
	b.t.Helper()
	return b.must(b.jsonRequest(path, body))
}

// submit sends a form of a page.
func (b *browser) submit(path string, fields url.Values) reply {
	b.t.Helper()
	request := b.request(http.MethodPost, path, strings.NewReader(fields.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "text/html")
	request.Header.Set("Origin", b.base)
	request.Header.Set("Sec-Fetch-Mode", "navigate")
	request.Header.Set("Sec-Fetch-Dest", "document")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.must(request)
}

// entry is a session and its user, as the JSON API has them.
type entry struct {
	Session struct {
		ID, Token, UserID               string
		ExpiresAt, CreatedAt, UpdatedAt string
		IPAddress, UserAgent            *string
	}
	User struct {
		ID, Name, Email string
		EmailVerified   bool
	}
}

// signIn signs in as a user of userOptions, and returns the session's handle.
func (b *browser) signIn(user string) string {
	b.t.Helper()
	answer := b.post("/.auth/sign-in/username", map[string]any{"username": user, "password": password(user)})
	if answer.StatusCode != http.StatusOK {
		b.t.Fatalf("sign in as %s: %s: %s", user, answer.Status, answer.body)
	}
	var signedIn struct{ Token string }
	answer.json(b.t, &signedIn)
	return signedIn.Token
}

// active returns the user name that the gateway takes the browser for, or "" when signed out.
func (b *browser) active() string {
	b.t.Helper()
	answer := b.get("/.auth/get-session")
	if answer.StatusCode != http.StatusOK {
		b.t.Fatalf("get-session: %s: %s", answer.Status, answer.body)
	}
	var e *entry
	answer.json(b.t, &e)
	if e == nil {
		return ""
	}
	return strings.TrimPrefix(e.User.ID, "password:")
}

// accounts returns the user names of the browser's live sessions, in order.
func (b *browser) accounts() []string {
	b.t.Helper()
	answer := b.get("/.auth/multi-session/list-device-sessions")
	var entries []entry
	answer.json(b.t, &entries)
	names := []string{}
	for _, e := range entries {
		names = append(names, strings.TrimPrefix(e.User.ID, "password:"))
	}
	return names
}
