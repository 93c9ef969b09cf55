package session

import "testing"

func TestUnconfirmedJarIsNobodys(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob")
	confirmed := w.visit(token)
	v := confirmed.Unconfirmed()

	if v.Confirmed() || !confirmed.Confirmed() {
		t.Errorf("confirmed: %t after Unconfirmed, %t before", v.Confirmed(), confirmed.Confirmed())
	}
	if active, ok := v.Active(); ok {
		t.Errorf("%s is active", active.Identity.UserName)
	}
	if v.Slot() != "" {
		t.Error("the visit has a slot")
	}
	entries := v.Entries()
	if len(entries) != 2 {
		t.Fatalf("%d accounts can be chosen, want 2", len(entries))
	}
	for _, e := range entries {
		if live, ok := v.Live(e.ID); e.Active || !ok || live.Active {
			t.Errorf("%s: active %t, live %t", e.Identity.UserName, e.Active, ok)
		}
	}
	if e, ok := v.Suggested(); !ok || e.Handle != handles["bob"] || e.Active {
		t.Errorf("suggested is %+v, %t; want bob, who is not active", e, ok)
	}
	if _, ok := confirmed.Suggested(); ok {
		t.Error("a confirmed jar suggests an account")
	}
	if followed, err := w.Follow(ctx, v); err != nil || followed.Confirmed() {
		t.Errorf("the jar is confirmed by being followed, %v", err)
	}
	if v.JarID() != confirmed.JarID() {
		t.Error("the jar has another id")
	}
}

func TestUnconfirmedJarHasNoLapsedSession(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	w.clock.advance(DefaultIdleTimeout)
	v := w.visit(token)
	if _, ok := v.Lapsed(); !ok {
		t.Fatal("alice's session has not lapsed")
	}
	if e, ok := v.Unconfirmed().Lapsed(); ok {
		t.Errorf("an unconfirmed jar says that %s was signed in", e.Identity.UserName)
	}
	if e, ok := v.Unconfirmed().Suggested(); ok {
		t.Errorf("%s is suggested, whose session has lapsed", e.Identity.UserName)
	}
}

func TestNoJarIsConfirmed(t *testing.T) {
	if v := (Visit{}).Unconfirmed(); !v.Confirmed() {
		t.Error("a browser without a jar has something to confirm")
	}
}

func TestAsSeenFromAnotherVisit(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	v := w.visit(token)
	for name, other := range map[string]Visit{
		"confirmed":             v.At(wiki),
		"unconfirmed":           v.At(wiki).Unconfirmed(),
		"unconfirmed, all host": v.Unconfirmed(),
	} {
		if got := w.visit(token).As(other); got.Site() != other.Site() || got.Confirmed() != other.Confirmed() {
			t.Errorf("%s: at %q, confirmed %t; want %q, %t", name, got.Site(), got.Confirmed(), other.Site(), other.Confirmed())
		}
	}
	if got := (Visit{}).As(v.Unconfirmed()); !got.Confirmed() {
		t.Error("a browser whose jar is gone has something to confirm")
	}
}

// TestJarKeepsItsID: the id is what a host confirms, so it must outlive every change of the token.
func TestJarKeepsItsID(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob")
	id := w.visit(token).JarID()
	same := func(after string, token Token) {
		t.Helper()
		if got := w.visit(token).JarID(); got != id {
			t.Errorf("after %s the jar is %q, was %q", after, got, id)
		}
	}
	token = w.signIn(token, "carol").Token
	same("a sign-in", token)
	token = w.signIn(token, "carol").Token
	same("a second sign-in of the same account", token)
	if _, err := w.SetActive(ctx, token, handles["alice"]); err != nil {
		t.Fatal(err)
	}
	same("a switch", token)
	if _, err := w.Revoke(ctx, token, handles["alice"]); err != nil {
		t.Fatal(err)
	}
	same("a revocation", token)
	if fresh := w.signIn(Token{}, "mallory"); fresh.JarID == id {
		t.Error("another browser's jar has the same id")
	}
}
