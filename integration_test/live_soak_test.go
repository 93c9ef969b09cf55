package integration

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
)

// figures are what a process has, garbage aside.
type figures struct{ goroutines, heap int }

var (
	goroutinesLine = regexp.MustCompile(`(?m)^goroutine profile: total (\d+)$`)
	heapLine       = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)
)

// figures asks the process.
func (g *gateway) figures() figures {
	g.t.Helper()
	// What finalizers let go of is garbage for the next collection.
	g.profile("heap?gc=1&debug=1", heapLine)
	return figures{g.profile("goroutine?debug=1", goroutinesLine), g.profile("heap?gc=1&debug=1", heapLine)}
}

func (g *gateway) profile(query string, line *regexp.Regexp) int {
	g.t.Helper()
	response, err := http.Get("http://" + g.admin + "/debug/pprof/" + query)
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	found := line.FindSubmatch(text)
	if found == nil {
		g.t.Fatalf("%s has no line %s", query, line)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// TestNothingIsLeftOfLiveConnections has sessions come and go with all that is live under them, some ended
// by the gateway and some by their clients, and the process come back to what it was.
func TestNothingIsLeftOfLiveConnections(t *testing.T) {
	s := newLiveSite(t, "", "multi_session")
	late := watchLag(t)
	browsers := make([]*browser, 12)
	for i := range browsers {
		browsers[i] = s.browser(t, protocols[i%len(protocols)])
	}
	const rounds = 4
	// round opens some 180 lines in all, and ends them.
	round := func(n int) {
		t.Helper()
		var ended []*line
		for i, b := range browsers {
			handle := b.signIn("alice")
			byClient := (i+n)%4 == 0
			for range 3 {
				for _, l := range b.lines(t, s.app) {
					if byClient {
						l.hangUp()
					} else {
						ended = append(ended, l)
					}
				}
			}
			b.expectOK(b.post(revokePath, object{"sessionToken": handle}))
		}
		over := late.now()
		for _, l := range ended {
			l.ended(over, late)
			l.hangUp() // a web socket has a connection of its own, also on HTTP/2
		}
		for _, b := range browsers {
			b.client.CloseIdleConnections()
		}
	}
	round(0)
	round(1)
	before := s.figures()
	for n := range rounds {
		round(2 + n)
	}
	// One thing left of each connection would be hundreds of goroutines, or with its buffers some 4 KiB each.
	const lines = rounds * 180
	var after figures
	t.Cleanup(func() { t.Logf("before %+v, after %d connections %+v", before, lines, after) })
	await(t, fmt.Sprintf("the process to have no more than %+v", before), func() bool {
		after = s.figures()
		return after.goroutines <= before.goroutines+lines/20 && after.heap <= before.heap+lines*1024
	})
	s.calm(t)
}
