package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestScratch(t *testing.T) {
	open, gated := freeAddress(t), freeAddress(t)
	app := newApp(t)
	up := strings.TrimPrefix(app.URL, "http://")
	startGateway(t, site(gated, up, "", "multi_session")+fmt.Sprintf("http://%s {\nreverse_proxy %s\n}\n", open, up))
	for _, address := range []string{open, gated} {
		b := newBrowser(t, "http://"+address)
		if address == gated {
			b.signIn("alice")
		}
		b.client.Transport.(*http.Transport).ExpectContinueTimeout = 5 * time.Second
		slow := 0
		for range 400 {
			request := b.request(http.MethodPost, "/refuse", strings.NewReader("body"))
			request.Header.Set("Expect", "100-continue")
			start := time.Now()
			_, err := b.do(request)
			if time.Since(start) > 3*time.Second {
				slow++
				t.Log("SCRATCH", address == gated, time.Since(start), err)
			}
		}
		t.Log("SCRATCH gated", address == gated, "slow", slow)
	}
}
