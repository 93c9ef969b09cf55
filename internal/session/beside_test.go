package session

import (
	"context"
	"errors"
	"testing"
)

// ids returns the ids of a browser's sessions by name.
func (w *world) ids(token Token) map[string]string {
	w.Helper()
	ids := make(map[string]string)
	for _, e := range w.visit(token).Entries() {
		ids[e.Identity.UserName] = e.ID
	}
	return ids
}

func TestBeside(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		token, _ := w.browser("alice", "bob", "carol")
		other, _ := w.browser("dave", "erin")
		ids, others := w.ids(token), w.ids(other)

		watch := w.Watch(token)
		defer watch.Stop()
		found, err := w.SetActiveBeside(ctx, ids["carol"], ids["alice"])
		if err != nil || found.ID != ids["alice"] || !found.Active || found.JarID != w.visit(token).JarID() {
			t.Fatalf("%+v, %v", found, err)
		}
		w.want(token, "alice* bob carol")
		select {
		case <-watch.Changed():
		default:
			t.Error("the browser's pages are not told")
		}

		done, jarID, err := w.RevokeBeside(ctx, ids["alice"], ids["alice"])
		if err != nil || done.Ended.ID != ids["alice"] || done.Promoted == nil || jarID != found.JarID {
			t.Fatalf("%+v in %s, %v", done, jarID, err)
		}
		w.want(token, "bob carol*")

		for name, ids := range map[string][2]string{
			"of another browser":         {ids["bob"], others["dave"]},
			"of another browser, by one": {others["dave"], ids["bob"]},
			"that has ended":             {ids["bob"], ids["alice"]},
			"beside one that has ended":  {ids["alice"], ids["bob"]},
			"unknown":                    {ids["bob"], "unknown"},
			"beside an unknown one":      {"unknown", ids["bob"]},
			"nameless":                   {"", ""},
		} {
			if _, err := w.SetActiveBeside(ctx, ids[0], ids[1]); !errors.Is(err, ErrUnknownHandle) {
				t.Errorf("SetActiveBeside of a session %s: %v", name, err)
			}
			if _, _, err := w.RevokeBeside(ctx, ids[0], ids[1]); !errors.Is(err, ErrUnknownHandle) {
				t.Errorf("RevokeBeside of a session %s: %v", name, err)
			}
		}
		w.want(token, "bob carol*")
		w.want(other, "dave erin*")

		w.people.setGone(true, person("carol").Account)
		if _, err := w.SetActiveBeside(ctx, ids["carol"], ids["bob"]); !errors.Is(err, ErrUnknownHandle) {
			t.Errorf("beside a session whose account is gone: %v", err)
		}
	})
}

func TestSetActiveBesideAtASite(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice", "bob")
	ids := w.ids(token)
	found, err := w.At("wiki.example.com").SetActiveBeside(ctx, ids["bob"], ids["alice"])
	if err != nil || len(found.Sites) != 1 || found.Sites[0] != "wiki.example.com" {
		t.Fatalf("%+v, %v", found, err)
	}
	for site, want := range map[Site]string{"wiki.example.com": "alice", "app.example.com": "bob"} {
		if active, ok := w.visit(token).At(site).Active(); !ok || active.Identity.UserName != want {
			t.Errorf("at %s %v is active", site, active.Identity)
		}
	}
}

// TestSetActiveBesideFollowsTheJar: a sign-in may move the jar between the search and the change.
func TestSetActiveBesideFollowsTheJar(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice", "bob")
	ids := w.ids(token)
	moved := false
	w.mem.before = func(_ context.Context, c call) error {
		if c.op == "swap" && !moved {
			moved = true
			token = w.signIn(token, "carol").Token
		}
		return nil
	}
	if _, err := w.SetActiveBeside(ctx, ids["bob"], ids["alice"]); err != nil {
		t.Fatal(err)
	}
	if !moved {
		t.Fatal("the jar has not moved")
	}
	w.want(token, "alice* bob carol")
}
