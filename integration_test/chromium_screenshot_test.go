package integration

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestChromiumScreenshot draws the README's picture of the chooser. It is written only when asked for:
//
//	UPDATE_SCREENSHOT=1 go test -run Screenshot ./integration_test/
func TestChromiumScreenshot(t *testing.T) {
	const (
		width, height, scale = 720, 700, 2
		maxBytes             = 150 << 10
	)
	startFront(t, "", "multi_session")
	b := newTab(t)
	b.resize(width, height, scale)
	b.scheme("light")
	b.signInAs(frontOrigin+"/.auth", "alice", "bob", "carol")
	b.open(frontOrigin + "/.auth/accounts")
	b.follow("button", "Switch to Alice Example alice@example.com")
	b.open(frontOrigin + "/.auth/accounts")
	// Of the stylesheet's fonts Arial, or its metric twin, is what every machine that runs this has in
	// common with those that people read on.
	evaluate[bool](b, `document.body.style.fontFamily = "Arial, sans-serif", true`)
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); size != image.Pt(width*scale, height*scale) {
		t.Fatalf("the picture's size is %v", size)
	}
	if n := len(evaluate[[]string](b, `[...document.querySelectorAll("li")].filter(e => e.getBoundingClientRect().bottom <= innerHeight).map(e => e.innerText)`)); n != 3 {
		t.Fatalf("%d accounts are in the picture", n)
	}
	if !evaluate[bool](b, `document.querySelector("main").getBoundingClientRect().bottom < innerHeight`) {
		t.Fatal("the picture cuts the page off")
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, picture); err != nil {
		t.Fatal(err)
	}
	if small.Len() > maxBytes {
		t.Fatalf("the picture has %d bytes, at most %d are wanted", small.Len(), maxBytes)
	}
	if os.Getenv("UPDATE_SCREENSHOT") == "" {
		return
	}
	path := filepath.Join("..", "docs", "chooser.png")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, small.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes", path, small.Len())
}
