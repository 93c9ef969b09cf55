package session

import (
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/storage"
)

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		record storage.Record // beside two browsers with three sessions
		jars   int
		want   string // of the one problem; empty for none
	}{
		"all in order":              {storage.Record{Key: "of another package", Value: []byte("x")}, 2, ""},
		"a jar of a later release":  {storage.Record{Key: NewToken().Key().storeKey(), Value: []byte(`{"v":99}`)}, 3, "version 99"},
		"a jar that is damaged":     {storage.Record{Key: NewToken().Key().storeKey(), Value: []byte(`{"v":2,`)}, 3, "not readable"},
		"a jar under no jar's key":  {storage.Record{Key: jarPrefix + "x", Value: []byte(`{"v":2,"id":"x","created_at":"2026-03-01T12:00:00Z","sessions":[]}`)}, 3, "not under the key"},
		"a roster that is damaged":  {storage.Record{Key: rosterKey, Value: []byte(`{`)}, 2, "roster"},
		"a roster that is too new":  {storage.Record{Key: rosterKey, Value: []byte(`{"v":99}`)}, 2, "version 99"},
		"a note in order":           {storage.Record{Key: noteKey("jti", "x"), Value: []byte("anything")}, 2, ""},
		"a note of no kind":         {storage.Record{Key: noteKey("", "x")}, 2, "not under the key"},
		"a note of no name":         {storage.Record{Key: notePrefix + "jti"}, 2, "not under the key"},
		"a note of a plain name":    {storage.Record{Key: notePrefix + "jti:secret"}, 2, "not under the key"},
		"a note that is found":      {storage.Record{Key: noteKey("jti", "x"), Terms: []string{"t"}}, 2, "index terms"},
		"a note that is too large":  {storage.Record{Key: noteKey("jti", "x"), Value: make([]byte, MaxNoteBytes+1)}, 2, "more than"},
		"a roster that is in order": {storage.Record{Key: rosterKey, Value: []byte(`{"v":1,"methods":{}}`)}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, defaults())
			w.browser("alice", "bob")
			w.browser("carol")
			tc.record.Expiry = noExpiry
			if _, err := w.store.CompareAndSwap(ctx, tc.record.Key, 0, tc.record); err != nil {
				t.Fatal(err)
			}
			var problems []string
			jars, sessions, err := w.jars.Check(ctx, func(problem string) { problems = append(problems, problem) })
			if err != nil || jars != tc.jars || sessions != 3 {
				t.Errorf("%d jars, %d sessions, %v, want %d and 3", jars, sessions, err, tc.jars)
			}
			if tc.want == "" && len(problems) > 0 || tc.want != "" && (len(problems) != 1 || !strings.Contains(problems[0], tc.want)) {
				t.Errorf("the problems are %q, want %q", problems, tc.want)
			}
		})
	}
}

// TestCheckFindsACopy is of a jar that is there twice, as nothing here makes it.
func TestCheckFindsACopy(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	record, _, err := w.store.Get(ctx, token.Key().storeKey())
	if err != nil {
		t.Fatal(err)
	}
	record.Key = NewToken().Key().storeKey()
	if _, err := w.store.CompareAndSwap(ctx, record.Key, 0, record); err != nil {
		t.Fatal(err)
	}
	var problems []string
	if _, _, err := w.jars.Check(ctx, func(problem string) { problems = append(problems, problem) }); err != nil || len(problems) != 1 {
		t.Errorf("the problems are %q, %v, want one", problems, err)
	}
}
