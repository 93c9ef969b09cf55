package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// throttled starts a gateway that lets three attempts fail, and that believes who is in front of it
// about the client's address: so one machine can be many clients.
func throttled(t *testing.T, password string) (*gateway, string) {
	t.Helper()
	address := freeAddress(t)
	g := startGateway(t, fmt.Sprintf(`{
	servers {
		trusted_proxies static 127.0.0.1/32
	}
	multi_session {
		login password {
			%s
			%s
		}
	}
}
http://%s {
	multi_session
	respond "in"
}
`, password, userOptions, address))
	return g, "http://" + address
}

// try signs in over the JSON API from a client's address.
func (b *browser) try(client, user, password string) reply {
	b.t.Helper()
	request := b.jsonRequest("/.auth/sign-in/username", map[string]any{"username": user, "password": password})
	request.Header.Set("X-Forwarded-For", client)
	return b.must(request)
}

// checkThrottled holds an answer against what a client is told who has to wait.
func checkThrottled(t *testing.T, answer reply) {
	t.Helper()
	if answer.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("%s: %s", answer.Status, answer.body)
	}
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if err != nil || seconds < 1 || seconds > 3600 {
		t.Errorf("Retry-After: %q", answer.Header.Get("Retry-After"))
	}
	if got := answer.Header.Get("X-Retry-After"); got != answer.Header.Get("Retry-After") {
		t.Errorf("X-Retry-After: %q", got)
	}
}

func TestGuessingIsThrottled(t *testing.T) {
	_, base := throttled(t, "throttle 3 1h")

	t.Run("the fourth failure of an address, on the API and on the page", func(t *testing.T) {
		b := newBrowser(t, base)
		for range 3 {
			if answer := b.try("192.0.2.1", "alice", "wrong"); answer.code() != "INVALID_USERNAME_OR_PASSWORD" {
				t.Fatalf("%s: %s", answer.Status, answer.body)
			}
		}
		answer := b.try("192.0.2.1", "alice", "wrong")
		checkThrottled(t, answer)
		if !strings.Contains(answer.body, `"message"`) {
			t.Errorf("body: %s", answer.body)
		}
		form := b.request(http.MethodPost, "/.auth/sign-in", strings.NewReader(url.Values{"identifier": {"alice"}, "password": {"wrong"}}.Encode()))
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		form.Header.Set("Origin", base)
		form.Header.Set("X-Forwarded-For", "192.0.2.1")
		page := b.must(form)
		if page.StatusCode != http.StatusTooManyRequests || page.Header.Get("Retry-After") == "" || !strings.Contains(page.body, `role="alert"`) {
			t.Errorf("page: %s, Retry-After %q\n%s", page.Status, page.Header.Get("Retry-After"), page.body)
		}
		// Nor does the right password come through from there, or guessing would be told apart from knowing.
		checkThrottled(t, b.try("192.0.2.1", "alice", password("alice")))
	})

	t.Run("the owner comes in from elsewhere meanwhile", func(t *testing.T) {
		if answer := newBrowser(t, base).try("192.0.2.2", "alice", password("alice")); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", answer.Status, answer.body)
		}
	})

	t.Run("an IPv6 customer is one client, whatever addresses it makes up", func(t *testing.T) {
		b := newBrowser(t, base)
		for i := range 3 {
			b.try(fmt.Sprintf("2001:db8:0:1::%d", i), "bob", "wrong")
		}
		checkThrottled(t, b.try("2001:db8:0:1:ffff::1", "bob", "wrong"))
		if answer := b.try("2001:db8:0:2::1", "bob", password("bob")); answer.StatusCode != http.StatusOK {
			t.Errorf("the neighbour: %s: %s", answer.Status, answer.body)
		}
	})

	t.Run("strangers at many addresses do not lock an owner out who has been here", func(t *testing.T) {
		b := newBrowser(t, base)
		if answer := b.try("192.0.2.50", "carol", password("carol")); answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", answer.Status, answer.body)
		}
		refused := false
		for i := range 60 {
			answer := b.try(fmt.Sprintf("198.51.100.%d", i), "carol", "wrong")
			refused = refused || answer.StatusCode == http.StatusTooManyRequests
		}
		if !refused {
			t.Error("60 guesses at one account from as many addresses were all looked at")
		}
		if answer := newBrowser(t, base).try("192.0.2.50", "carol", password("carol")); answer.StatusCode != http.StatusOK {
			t.Errorf("the owner: %s: %s", answer.Status, answer.body)
		}
	})

	t.Run("an address is not what the client says where nobody is trusted to say it", func(t *testing.T) {
		b := newBrowser(t, base)
		for range 3 {
			b.try("not an address, 203.0.113.9", "alice", "wrong")
		}
		// The last valid one counts or the proxy's own: either way all of these are one client.
		statuses := make(map[int]int)
		for range 3 {
			statuses[b.try("not an address, 203.0.113.9", "alice", "wrong").StatusCode]++
		}
		if statuses[http.StatusTooManyRequests] != 3 {
			t.Errorf("answers: %v", statuses)
		}
	})
}

func TestParallelGuessesAreNoMoreThanTheLimit(t *testing.T) {
	_, base := throttled(t, "throttle 3 1h")
	var mu sync.Mutex
	statuses := make(map[int]int)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			b := newBrowser(t, base)
			request := b.jsonRequest("/.auth/sign-in/username", map[string]any{"username": "alice", "password": "wrong"})
			request.Header.Set("X-Forwarded-For", "192.0.2.1")
			answer, err := b.do(request)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[answer.StatusCode]++
		})
	}
	group.Wait()
	if statuses[http.StatusUnauthorized] != 3 || statuses[http.StatusTooManyRequests] != 47 {
		t.Errorf("answers: %v, want 3 looked at and 47 refused", statuses)
	}
}

func TestThrottleSurvivesAReload(t *testing.T) {
	address := freeAddress(t)
	config := func(groups string) string {
		return strings.Replace(strings.Replace(plain(address, "127.0.0.1:1"), "throttle off", "throttle 3 1h", 1), "groups admin dev", groups, 1)
	}
	g := startGateway(t, config("groups admin"))
	b := newBrowser(t, "http://"+address)
	for range 3 {
		b.try("", "alice", "wrong")
	}
	if err := g.reload(config("groups dev")); err != nil {
		t.Fatal(err)
	}
	// A reload closes the connections that there are, as Caddy does it. To repeat is to be refused again.
	var answer reply
	await(t, "an answer", func() bool {
		b.client.CloseIdleConnections()
		var err error
		answer, err = b.do(b.jsonRequest("/.auth/sign-in/username", map[string]any{"username": "alice", "password": "wrong"}))
		return err == nil
	})
	checkThrottled(t, answer)
}

func TestAPasswordOfAMegabyteIsRefused(t *testing.T) {
	_, base := throttled(t, "throttle off")
	b := newBrowser(t, base)
	huge := strings.Repeat("a", 1<<20)
	if answer := b.try("192.0.2.1", "alice", huge); answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("API: %s: %s", answer.Status, answer.body)
	}
	if answer := b.submit("/.auth/sign-in", url.Values{"identifier": {"alice"}, "password": {huge}}); answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("page: %s", answer.Status)
	}
	// What fits into a body and is longer than any password could be.
	if answer := b.try("192.0.2.1", "alice", huge[:2000]); answer.StatusCode != http.StatusBadRequest || answer.code() != "PASSWORD_TOO_LONG" {
		t.Errorf("long: %s: %s", answer.Status, answer.body)
	}
}
