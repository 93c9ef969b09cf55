package integration

import (
	"bytes"
	"net/http"
	"slices"
	"testing"
)

// openFiles opens an app that serves one file, as alice.
func openFiles(b *tab, app *files) {
	b.t.Helper()
	address := freeAddress(b.t)
	startGateway(b.t, plain(address, app.address()))
	b.open("http://" + address + "/.auth/sign-in?return_to=/")
	b.signIn(http.StatusOK, "alice", password("alice"))
}

// TestChromiumContinuesAPart: a script fetches part of a file and then one that overlaps it.
// Chromium puts the second together from its cache and from the app, and cuts it short without an
// error if the gateway answers the second half with the whole file.
func TestChromiumContinuesAPart(t *testing.T) {
	app := newFiles(t, "application/octet-stream", bytes.Repeat([]byte("0123456789abcdef"), 1000))
	b := newTab(t)
	openFiles(b, app)
	type part struct {
		Status int
		Range  string
		Text   string
	}
	fetch := func(bytes string) part {
		t.Helper()
		return evaluate[part](b, `(async () => {
			const answer = await fetch("/file", {headers: {Range: "bytes=`+bytes+`"}});
			return {Status: answer.status, Range: answer.headers.get("Content-Range"), Text: await answer.text()};
		})()`)
	}
	for _, c := range []struct {
		bytes       string
		first, last int
	}{{"0-999", 0, 999}, {"500-1999", 500, 1999}, {"1500-3999", 1500, 3999}, {"8000-15999", 8000, 15999}, {"100-15999", 100, 15999}} {
		got := fetch(c.bytes)
		if want := string(app.content[c.first : c.last+1]); got.Status != http.StatusPartialContent || got.Text != want {
			t.Errorf("bytes %s: %d, %s, %d bytes, want %d", c.bytes, got.Status, got.Range, len(got.Text), len(want))
		}
	}
	if asked := app.take(); slices.Contains(asked, "whole") {
		t.Errorf("the app was asked for %q", asked)
	}
}

// TestChromiumSeeks: somebody listens to a recording and jumps in it. No jump makes the app send
// the whole file.
func TestChromiumSeeks(t *testing.T) {
	app := newFiles(t, "audio/wav", recording(5*60))
	b := newFaultyTab(t) // a jump gives up the request before it
	openFiles(b, app)
	evaluate[bool](b, `(async () => {
		const audio = document.createElement("audio");
		audio.preload = "metadata";
		audio.src = "/file";
		document.body.append(audio);
		await new Promise((loaded, failed) => { audio.onloadedmetadata = loaded; audio.onerror = () => failed(audio.error.message); });
		return true;
	})()`)
	if asked := app.take(); len(asked) == 0 || slices.Contains(asked, "whole") {
		t.Errorf("for its beginning the app was asked for %q", asked)
	}
	for _, second := range []string{"280", "100", "200", "1"} {
		at := evaluate[float64](b, `(async () => {
			const audio = document.querySelector("audio");
			await new Promise((sought, failed) => { audio.onseeked = sought; audio.onerror = () => failed(audio.error.message); audio.currentTime = `+second+`; });
			return audio.currentTime;
		})()`)
		if asked := app.take(); slices.Contains(asked, "whole") || at < 1 {
			t.Errorf("second %s: at %v, and the app was asked for %q", second, at, asked)
		}
	}
}

// recording returns a sound of so many seconds that nobody hears, as a WAV file with 16 bits, two
// channels and 48,000 samples a second.
func recording(seconds int) []byte {
	const rate, channels, width = 48_000, 2, 2
	size := seconds * rate * channels * width
	var b bytes.Buffer
	number := func(bytes, value int) { // little-endian
		for range bytes {
			b.WriteByte(byte(value))
			value >>= 8
		}
	}
	b.WriteString("RIFF")
	number(4, 36+size)
	b.WriteString("WAVEfmt ")
	number(4, 16)
	number(2, 1) // PCM
	number(2, channels)
	number(4, rate)
	number(4, rate*channels*width)
	number(2, channels*width)
	number(2, 8*width)
	b.WriteString("data")
	number(4, size)
	return append(b.Bytes(), make([]byte, size)...)
}
