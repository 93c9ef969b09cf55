package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder is an app that answers as the request asks it to, and says which cookies it has really
// seen.
type recorder struct {
	mu   sync.Mutex
	held map[string]*heldRequest
}

// recorded is what the recorder has seen of a request.
type recorded struct{ User, Cookie string }

// order is what the recorder is asked to answer.
type order struct {
	Set   []string
	Clear bool // of the cookies, by Clear-Site-Data
}

// heldRequest is one that the recorder answers when it is told to.
type heldRequest struct {
	arrived chan recorded
	answer  chan order
}

// newRecorder starts a recorder, and returns where it listens.
func newRecorder(t testing.TB) (app *recorder, address string) {
	t.Helper()
	app = &recorder{held: make(map[string]*heldRequest)}
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	return app, server.Listener.Addr().String()
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := recorded{r.Header.Get("Remote-User"), strings.Join(r.Header["Cookie"], "; ")}
	var answer order
	if name := r.Header.Get("X-Hold"); name != "" {
		rec.mu.Lock()
		held := rec.held[name]
		delete(rec.held, name)
		rec.mu.Unlock()
		if held == nil { // clients send some requests again when their connection breaks
			http.Error(w, "the request was sent again", http.StatusConflict)
			return
		}
		held.arrived <- seen
		select {
		case answer = <-held.answer:
		case <-r.Context().Done():
			return
		}
	} else if err := json.Unmarshal([]byte(r.Header.Get("X-Answer")), &answer); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, line := range answer.Set {
		w.Header().Add("Set-Cookie", line)
	}
	if answer.Clear {
		w.Header().Set("Clear-Site-Data", `"cookies"`)
	}
	_ = json.NewEncoder(w).Encode(seen)
}

// pageAddress is where a page is.
type pageAddress struct{ host, path string }

// profile is a browser whose cookies a test reads and writes. Every host name leads to this
// machine.
type profile struct {
	app    *recorder
	client *http.Client
	port   string // of the site
	cookieStore
	told []string // every Set-Cookie field of the answers
}

// newProfileClient returns the client of profiles.
func newProfileClient(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port(address)))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// send sends a request as a script of the site does, unless the header says otherwise. It does not
// keep the answer's cookies.
func (p *profile) send(ctx context.Context, method string, at pageAddress, header http.Header, body any) (answer *http.Response, data []byte, err error) {
	var reader io.Reader
	kind := "application/json"
	if form, ok := body.(url.Values); ok {
		reader, kind = strings.NewReader(form.Encode()), "application/x-www-form-urlencoded"
	} else if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, nil, err
		}
		reader = bytes.NewReader(encoded)
	}
	origin := "http://" + at.host + ":" + p.port
	request, err := http.NewRequestWithContext(ctx, method, origin+at.path, reader)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	request.Header.Set("Sec-Fetch-Mode", "cors")
	if body != nil {
		request.Header.Set("Content-Type", kind)
		request.Header.Set("Origin", origin)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if field := cookieField(p.shown(at.host, at.path)); field != "" {
		request.Header.Set("Cookie", field)
	}
	answer, err = p.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	data, err = io.ReadAll(answer.Body)
	return answer, data, err
}

// keep does what an answer says to the cookies.
func (p *profile) keep(at pageAddress, answer *http.Response) {
	for _, line := range answer.Header["Set-Cookie"] {
		p.told = append(p.told, line)
		p.set(at.host, at.path, line)
	}
}

// portal calls the gateway's API from a page.
func (p *profile) portal(ctx context.Context, method, host, path string, body, into any) error {
	at := pageAddress{host, defaultPrefix + path}
	answer, data, err := p.send(ctx, method, at, nil, body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, answer.Status, data)
	}
	p.keep(at, answer)
	return json.Unmarshal(data, into)
}

// confirm continues with a session at a host that does not use the browser's jar yet.
func (p *profile) confirm(ctx context.Context, host, handle string) error {
	at := pageAddress{host, defaultPrefix + "/accounts"}
	answer, data, err := p.send(ctx, http.MethodPost, at, nil, url.Values{"action": {"switch"}, "session": {handle}})
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("continue at %s: %s: %s", host, answer.Status, data)
	}
	p.keep(at, answer)
	return nil
}

// ask makes a request that the app answers at once as it is told to, and keeps the cookies of the
// answer.
func (p *profile) ask(ctx context.Context, at pageAddress, header http.Header, answer order) (recorded, error) {
	encoded, err := json.Marshal(answer)
	if err != nil {
		return recorded{}, err
	}
	all := http.Header{"X-Answer": {string(encoded)}}
	for name, values := range header {
		all[name] = values
	}
	got, data, err := p.send(ctx, http.MethodGet, at, all, nil)
	if err != nil {
		return recorded{}, err
	}
	var seen recorded
	if err := json.Unmarshal(data, &seen); err != nil || got.StatusCode != http.StatusOK {
		return recorded{}, fmt.Errorf("%s: %s", got.Status, data)
	}
	p.keep(at, got)
	return seen, nil
}

// pending is a request that the app has not answered yet.
type pending struct {
	profile *profile
	at      pageAddress
	seen    recorded
	held    *heldRequest
	answer  *http.Response
	done    chan error
}

// hold makes a request with the cookies of now, and returns when the app has got it.
func (p *profile) hold(ctx context.Context, at pageAddress) (*pending, error) {
	w := &pending{profile: p, at: at, done: make(chan error, 1), held: &heldRequest{make(chan recorded, 1), make(chan order, 1)}}
	name := fmt.Sprintf("%p", w)
	p.app.mu.Lock()
	p.app.held[name] = w.held
	p.app.mu.Unlock()
	sent := &profile{client: p.client, port: p.port, cookieStore: cookieStore{cookies: slices.Clone(p.cookies)}}
	go func() {
		answer, _, err := sent.send(ctx, http.MethodGet, at, http.Header{"X-Hold": {name}}, nil)
		w.answer = answer
		w.done <- err
	}()
	select {
	case w.seen = <-w.held.arrived:
		return w, nil
	case err := <-w.done:
		return nil, fmt.Errorf("the app has not seen the request: %w", err)
	}
}

// release has the app answer, and keeps the cookies of the answer. It is an error if the app's answer
// does not arrive.
func (w *pending) release(answer order) error {
	w.held.answer <- answer
	if err := <-w.done; err != nil {
		return err
	}
	w.profile.keep(w.at, w.answer)
	if w.answer.StatusCode != http.StatusOK {
		return fmt.Errorf("a request that was held is answered %s", w.answer.Status)
	}
	return nil
}
