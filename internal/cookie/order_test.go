package cookie

import (
	"fmt"
	"testing"
	"time"
)

// TestOrderTakesNoBrowserForAnother has many browsers be told of the same cookie in the slot that all of them
// have: none of it is about one that was told nothing.
func TestOrderTakesNoBrowserForAnother(t *testing.T) {
	o, now := NewOrder(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	about := subject{name: "csrf", path: "/"}
	for i := range 16 * len(o.cells) {
		o.tell(fmt.Sprint("browser ", i), Anonymous, "app.example.com", about, now)
	}
	for i := range 1000 {
		if o.told(fmt.Sprint("other ", i), Anonymous, "app.example.com", about, now) {
			t.Fatal("a browser counts as told that was told nothing")
		}
	}
	o.tell("browser", Anonymous, "app.example.com", about, now)
	if !o.told("browser", Anonymous, "app.example.com", about, now) || o.told("browser", tagOf("alice"), "app.example.com", about, now) {
		t.Error("the last that a browser was told is not known")
	}
}
