package integration

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkProxy compares, in one process, requests that are proxied with and without the gate. What
// counts is cpu-µs/req: the processor time that the gateway's process spent on a request, which the
// clients and the upstream beside it on the same machine do not blur as they do the elapsed time.
// The process is one for all, so both see the same heap and the same connections.
func BenchmarkProxy(b *testing.B) {
	up := newEcho(b)
	gated, open := freeAddress(b), freeAddress(b)
	g := startGateway(b, plain(gated, up.address())+fmt.Sprintf("http://%s {\n\treverse_proxy %s\n}\n", open, up.address()))
	client := newBrowser(b, "http://"+gated)
	client.signIn("alice")
	client.get("/") // the gateway makes a note of whose the plain cookies are, once
	cookies := client.client.Jar.Cookies(client.request(http.MethodGet, "/", nil).URL)

	for _, variant := range []struct{ name, address string }{{"without", open}, {"gated", gated}, {"without again", open}} {
		b.Run(variant.name, func(b *testing.B) {
			transport := &http.Transport{MaxIdleConnsPerHost: 64}
			defer transport.CloseIdleConnections()
			before := processorMicroseconds(b, g.cmd.Process.Pid)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					request, err := http.NewRequest(http.MethodGet, "http://"+variant.address+"/", nil)
					if err != nil {
						b.Error(err)
						return
					}
					for _, c := range cookies {
						request.AddCookie(c)
					}
					response, err := transport.RoundTrip(request)
					if err != nil {
						b.Error(err)
						return
					}
					response.Body.Close()
					if response.StatusCode != http.StatusOK {
						b.Errorf("%s", response.Status)
						return
					}
				}
			})
			spent := processorMicroseconds(b, g.cmd.Process.Pid) - before
			b.ReportMetric(spent/float64(b.N), "cpu-µs/req")
		})
	}
}

// processorMicroseconds is the processor time that a process has used, by Linux's proc(5).
func processorMicroseconds(b *testing.B, pid int) float64 {
	b.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		b.Fatal("unexpected /proc/<pid>/stat")
	}
	const microsecondsPerTick = 10_000 // USER_HZ is 100 on every Linux that Go runs on
	return (user + system) * microsecondsPerTick
}
