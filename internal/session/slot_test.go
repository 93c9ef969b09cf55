package session

import (
	"bytes"
	"context"
	"regexp"
	"testing"
)

func slots(v Visit) map[string]string {
	tags := make(map[string]string)
	for _, e := range v.Entries() {
		tags[e.Identity.UserName] = e.Slot
	}
	return tags
}

func TestSlotEndsWithItsSession(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob")
	v := w.visit(token)
	was := slots(v)
	if was["alice"] == was["bob"] || !isName(was["alice"]) || !isName(was["bob"]) {
		t.Fatalf("slots %v", was)
	}
	if v.Slot() != was["bob"] || !v.HasSlot(was["alice"]) || !v.HasSlot(was["bob"]) {
		t.Errorf("active %q of %v", v.Slot(), was)
	}
	for _, foreign := range []string{"", "0", "x", newName()} {
		if v.HasSlot(foreign) {
			t.Errorf("slot %q is one of the jar's", foreign)
		}
	}
	if (&Visit{}).HasSlot("") || (Visit{}).Slot() != "" {
		t.Error("a browser without a jar has a slot")
	}
	if _, err := w.SetActive(context.Background(), token, handles["alice"]); err != nil {
		t.Fatal(err)
	}
	if v = w.visit(token); v.Slot() != was["alice"] || slots(v)["bob"] != was["bob"] {
		t.Errorf("after a switch the slots are %v, were %v", slots(v), was)
	}

	done := w.signIn(token, "bob")
	if v = w.visit(done.Token); v.HasSlot(was["bob"]) || !v.HasSlot(was["alice"]) {
		t.Errorf("after bob has signed in again the slots are %v, were %v", slots(v), was)
	}
	if _, err := w.Revoke(context.Background(), done.Token, handles["alice"]); err != nil {
		t.Fatal(err)
	}
	if v = w.visit(done.Token); v.HasSlot(was["alice"]) {
		t.Error("alice's slot is there after she was signed out")
	}
	last := v.Slot()
	w.clock.advance(w.options.IdleTimeout)
	if v = w.visit(done.Token); v.HasSlot(last) || v.Slot() != "" {
		t.Error("bob's slot is there after his session has expired")
	}
}

// TestSlotsOfOlderRecords reads a record without slots again and again: the tags must stay, also once it is written.
func TestSlotsOfOlderRecords(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob")
	other, _ := w.browser("alice")
	strip := func(token Token) {
		record, revision, err := w.store.Get(ctx, token.Key().storeKey())
		if err != nil {
			t.Fatal(err)
		}
		record.Value = regexp.MustCompile(`,"slot":"[^"]*"`).ReplaceAll(record.Value, nil)
		if bytes.Contains(record.Value, []byte("slot")) {
			t.Fatalf("%s", record.Value)
		}
		if _, err := w.store.CompareAndSwap(ctx, token.Key().storeKey(), revision, record); err != nil {
			t.Fatal(err)
		}
	}
	strip(token)
	strip(other)
	w.restart(defaults())
	was := slots(w.visit(token))
	if was["alice"] == was["bob"] || !isName(was["alice"]) || slots(w.visit(other))["alice"] == was["alice"] {
		t.Fatalf("slots %v", was)
	}
	w.restart(defaults())
	if again := slots(w.visit(token)); again["alice"] != was["alice"] || again["bob"] != was["bob"] {
		t.Errorf("read again the slots are %v, were %v", again, was)
	}
	if _, err := w.SetActive(ctx, token, handles["alice"]); err != nil {
		t.Fatal(err)
	}
	moved := w.signIn(token, "carol")
	w.restart(defaults())
	if again := slots(w.visit(moved.Token)); again["alice"] != was["alice"] || again["bob"] != was["bob"] {
		t.Errorf("written the slots are %v, were %v", again, was)
	}
	for _, public := range handles {
		if was["alice"] == public {
			t.Error("a slot's tag is a session's handle")
		}
	}
}

func TestSlotLookupDoesNotAllocate(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice", "bob")
	v := w.visit(token)
	tag := v.Slot()
	if n := testing.AllocsPerRun(100, func() { _ = v.HasSlot(tag) && v.Slot() == tag }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
