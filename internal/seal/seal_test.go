package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func key(letter string) []byte { return []byte(strings.Repeat(letter, MinKeyBytes)) }

func box(t testing.TB, keys ...[]byte) *Box {
	t.Helper()
	b, err := NewBox(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNewBox(t *testing.T) {
	for name, c := range map[string]struct {
		keys [][]byte
		want string // of the error; empty: none
	}{
		"one key":              {[][]byte{key("a")}, ""},
		"a long key":           {[][]byte{bytes.Repeat(key("a"), 100)}, ""},
		"several keys":         {[][]byte{key("a"), key("b"), key("c")}, ""},
		"no key":               {nil, "there is none"},
		"an empty key":         {[][]byte{{}}, "secret key 1 of 1: has 0 bytes"},
		"a short key":          {[][]byte{key("a")[1:]}, "secret key 1 of 1: has 31 bytes, must have 32"},
		"a short one among it": {[][]byte{key("a"), key("b"), []byte("hunter2")}, "secret key 3 of 3: has 7 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := NewBox(c.keys...)
			if c.want == "" {
				if err != nil || b == nil {
					t.Fatalf("NewBox: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("NewBox: %v, want %q", err, c.want)
			}
			for _, k := range c.keys {
				if len(k) > 0 && strings.Contains(err.Error(), string(k)) {
					t.Errorf("the error quotes a key: %v", err)
				}
			}
		})
	}
}

func TestOpensWhatItSealed(t *testing.T) {
	s := box(t, key("a")).Sealer("test")
	for name, c := range map[string]struct{ plain, context []byte }{
		"text":             {[]byte("plain"), []byte("context")},
		"no context":       {[]byte("plain"), nil},
		"nothing":          {nil, []byte("context")},
		"nothing anywhere": {nil, nil},
		"much":             {bytes.Repeat([]byte("plain"), 100_000), []byte("context")},
	} {
		t.Run(name, func(t *testing.T) {
			sealed := s.Seal(c.plain, c.context)
			if len(sealed) != len(c.plain)+Overhead {
				t.Errorf("%d bytes became %d, want %d more", len(c.plain), len(sealed), Overhead)
			}
			if len(c.plain) > 0 && bytes.Contains(sealed, c.plain) {
				t.Error("the plain text is in the sealed one")
			}
			plain, err := s.Open(sealed, c.context)
			if err != nil || !bytes.Equal(plain, c.plain) {
				t.Errorf("Open: %q, %v", plain, err)
			}
		})
	}
}

func TestSealsDifferentlyEachTime(t *testing.T) {
	s := box(t, key("a")).Sealer("test")
	if bytes.Equal(s.Seal([]byte("plain"), nil), s.Seal([]byte("plain"), nil)) {
		t.Error("two sealed texts are equal")
	}
}

func TestDoesNotOpen(t *testing.T) {
	b := box(t, key("a"))
	s := b.Sealer("test")
	sealed := s.Seal([]byte("plain"), []byte("context"))
	for name, open := range map[string]func() ([]byte, error){
		"in another context":        func() ([]byte, error) { return s.Open(sealed, []byte("other")) },
		"in no context":             func() ([]byte, error) { return s.Open(sealed, nil) },
		"in a context that is more": func() ([]byte, error) { return s.Open(sealed, []byte("context.")) },
		"for another purpose":       func() ([]byte, error) { return b.Sealer("other").Open(sealed, []byte("context")) },
		"for no purpose":            func() ([]byte, error) { return b.Sealer("").Open(sealed, []byte("context")) },
		"with another key":          func() ([]byte, error) { return box(t, key("b")).Sealer("test").Open(sealed, []byte("context")) },
		"nothing":                   func() ([]byte, error) { return s.Open(nil, []byte("context")) },
		"zeros":                     func() ([]byte, error) { return s.Open(make([]byte, 100), []byte("context")) },
		"with more behind it":       func() ([]byte, error) { return s.Open(append(bytes.Clone(sealed), 0), []byte("context")) },
		"with more before it":       func() ([]byte, error) { return s.Open(append([]byte{0}, sealed...), []byte("context")) },
	} {
		t.Run(name, func(t *testing.T) {
			if plain, err := open(); !errors.Is(err, ErrSealed) || plain != nil {
				t.Errorf("Open: %q, %v, want ErrSealed", plain, err)
			}
		})
	}
	for i := range sealed {
		if _, err := s.Open(sealed[:i], []byte("context")); !errors.Is(err, ErrSealed) {
			t.Errorf("the first %d bytes: %v, want ErrSealed", i, err)
		}
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := s.Open(changed, []byte("context")); !errors.Is(err, ErrSealed) {
			t.Errorf("with bit 0 of byte %d turned: %v, want ErrSealed", i, err)
		}
	}
}

// TestKeysAreReplaced goes through what an operator does who replaces a key.
func TestKeysAreReplaced(t *testing.T) {
	before := box(t, key("a")).Sealer("test")
	during := box(t, key("b"), key("a")).Sealer("test")
	after := box(t, key("b")).Sealer("test")
	old, young := before.Seal([]byte("old"), nil), during.Seal([]byte("young"), nil)
	for name, c := range map[string]struct {
		sealer *Sealer
		sealed []byte
		opens  bool
	}{
		"old before":   {before, old, true},
		"old during":   {during, old, true},
		"young during": {during, young, true},
		"young after":  {after, young, true},
		"old after":    {after, old, false},
		"young before": {before, young, false},
	} {
		if _, err := c.sealer.Open(c.sealed, nil); (err == nil) != c.opens {
			t.Errorf("%s: %v, opens should be %v", name, err, c.opens)
		}
	}
}

// sealedBefore is "sealed once" in the context "context".
var sealedBefore, _ = hex.DecodeString("26b98d306c873b0446f28c55aa1b8ed1e38313309a543dc8fed" +
	"4d775e7d8438a768943f252935125196971e66984d54ff449a9")

// TestSealedTextOfBefore pins the derivation and the form: what a release before has sealed opens in
// the next one.
func TestSealedTextOfBefore(t *testing.T) {
	plain, err := box(t, key("k")).Sealer("pinned").Open(sealedBefore, []byte("context"))
	if err != nil || string(plain) != "sealed once" {
		t.Errorf("Open: %q, %v", plain, err)
	}
}

func TestKeysStayOutOfLogs(t *testing.T) {
	b := box(t, key("k"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, printed := range []string{fmt.Sprintf(verb, b), fmt.Sprintf(verb, b.Sealer("test"))} {
			if !strings.HasPrefix(printed, "[secret key") {
				t.Errorf("%s prints %s", verb, printed)
			}
		}
	}
}

func TestConcurrently(t *testing.T) {
	s := box(t, key("a"), key("b")).Sealer("test")
	failed := make(chan error)
	for i := range 20 {
		go func() {
			plain := bytes.Repeat([]byte{byte(i)}, 1000)
			opened, err := s.Open(s.Seal(plain, nil), nil)
			if err == nil && !bytes.Equal(opened, plain) {
				err = errors.New("another text came back")
			}
			failed <- err
		}()
	}
	for range 20 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s := box(f, key("a"), key("b")).Sealer("test")
	f.Add([]byte(nil), []byte(nil))
	f.Add(make([]byte, Overhead), []byte("context"))
	f.Add(sealedBefore, []byte("context"))
	f.Fuzz(func(t *testing.T, sealed, context []byte) {
		if plain, err := s.Open(sealed, context); !errors.Is(err, ErrSealed) {
			t.Fatalf("Open: %q, %v: foreign bytes opened", plain, err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	s := box(b, key("a")).Sealer("test")
	sealed := s.Seal(make([]byte, 6<<10), []byte("context"))
	b.SetBytes(6 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Open(sealed, []byte("context")); err != nil {
			b.Fatal(err)
		}
	}
}
