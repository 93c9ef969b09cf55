package cache

import (
	"maps"
	"net/http"
	"testing"
)

// BenchmarkExchange is what a request and its answer cost without and with a condition.
func BenchmarkExchange(b *testing.B) {
	plain := header("Accept", "*/*", "Accept-Encoding", "gzip, br", "Accept-Language", "en", "Cookie", "a=b", "Referer", "https://example.test/",
		"Sec-Fetch-Dest", "image", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Site", "same-origin", "User-Agent", "Mozilla/5.0")
	conditional := maps.Clone(plain)
	conditional.Set("If-None-Match", alice.sealTag(tag{opaque: "x"}))
	answered := header("Cache-Control", "max-age=3600", "Content-Length", "5", "Content-Type", "image/png", "Date", stamp, "Etag", `"x"`, "Last-Modified", stamp, "Server", "Caddy")
	for _, c := range []struct {
		name    string
		view    View
		request http.Header
	}{
		{"nobody", nobody, plain},
		{"view", alice, plain},
		{"view, revalidated", alice, conditional},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request, answer := maps.Clone(c.request), maps.Clone(answered)
				e := NewExchange(http.MethodGet, request, c.view, false)
				e.OpenRequest(request)
				e.SealAnswer(answer, http.StatusOK, !e.Storable(answer, http.StatusOK))
			}
		})
	}
	b.Run("clones alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = maps.Clone(plain), maps.Clone(answered)
		}
	})
}
