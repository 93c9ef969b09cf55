package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

func encode(r storage.Record, rev storage.Revision) []byte {
	d := newDraft(r)
	d.stamp(rev)
	return d.encoded
}

func TestEncodingIsPinned(t *testing.T) {
	r := storage.Record{Key: "k", Value: []byte("value"), Expiry: time.UnixMilli(0x0102), Terms: []string{"tt", "s"}}
	want := "\x01" + "\x00\x00\x00\x00\x00\x00\x00\x07" + "\x00\x00\x00\x00\x00\x00\x01\x02" +
		"\x00\x02" + "\x00\x01s" + "\x00\x02tt" + "value"
	if got := encode(r, 7); string(got) != want {
		t.Errorf("record is encoded as %q, want %q", got, want)
	}
}

func TestDecodeReturnsWhatWasEncoded(t *testing.T) {
	var manyTerms []string
	for i := range storage.MaxTerms {
		manyTerms = append(manyTerms, fmt.Sprintf("%0*d", storage.MaxTermBytes, i))
	}
	for name, want := range map[string]storage.Record{
		"bare":           {Key: "k", Expiry: time.UnixMilli(1)},
		"before 1970":    {Key: "k", Expiry: time.UnixMilli(-1), Value: []byte{0}},
		"terms":          {Key: "k", Expiry: time.UnixMilli(1 << 42), Terms: []string{"a", "b"}},
		"all at maximum": {Key: "k", Expiry: time.UnixMilli(1<<63 - 1), Terms: manyTerms, Value: make([]byte, storage.MaxValueBytes)},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := decodeEntry(encode(want, 1<<64-1))
			if err != nil {
				t.Fatal(err)
			}
			got := e.record("k")
			if e.revision != 1<<64-1 || !got.Expiry.Equal(want.Expiry) || !bytes.Equal(got.Value, want.Value) || !slices.Equal(got.Terms, want.Terms) {
				t.Errorf("decoded %+v at revision %d", got, e.revision)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := func() []byte {
		return encode(storage.Record{Key: "k", Value: []byte("v"), Expiry: time.UnixMilli(1), Terms: []string{"aa", "bb"}}, 1)
	}
	edit := func(fn func(b []byte)) []byte {
		b := good()
		fn(b)
		return b
	}
	const firstTerm = headerBytes + 2
	for name, b := range map[string][]byte{
		"nothing":               nil,
		"a short header":        good()[:headerBytes-1],
		"an unknown version":    edit(func(b []byte) { b[0]++ }),
		"the zero revision":     edit(func(b []byte) { clear(b[revisionOffset:expiryOffset]) }),
		"a missing term":        good()[:headerBytes+4],
		"a cut term":            good()[:firstTerm+1],
		"a cut length":          good()[:headerBytes+1],
		"an empty term":         edit(func(b []byte) { b[headerBytes+1] = 0 }),
		"a NUL in a term":       edit(func(b []byte) { b[firstTerm] = 0 }),
		"terms out of order":    edit(func(b []byte) { b[firstTerm] = 'c' }),
		"a term twice":          edit(func(b []byte) { copy(b[firstTerm:], "bb") }),
		"a term beyond the end": edit(func(b []byte) { b[headerBytes+1] = 200 }),
		"too many terms":        edit(func(b []byte) { binary.BigEndian.PutUint16(b[termsOffset:], storage.MaxTerms+1) }),
		"a value too long":      append(good(), strings.Repeat("v", storage.MaxValueBytes)...),
	} {
		t.Run(name, func(t *testing.T) {
			if e, err := decodeEntry(b); !errors.Is(err, errCorrupt) {
				t.Errorf("decodeEntry = %+v, %v; want %q", e, err, errCorrupt)
			}
		})
	}
}

// FuzzDecodeEntry checks that whatever decodes has exactly one encoding, the one it came from.
func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(encode(storage.Record{Key: "k", Expiry: time.UnixMilli(-1)}, 1))
	f.Add(encode(storage.Record{Key: "k", Value: []byte("value"), Expiry: time.UnixMilli(1), Terms: []string{"a", "bb", "c\xff"}}, 1<<63))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		e, err := decodeEntry(b)
		if !bytes.Equal(b, before) {
			t.Fatal("decoding changed its input")
		}
		if err != nil {
			return
		}
		r := e.record("k")
		if err := checkTerms(r.Terms); err != nil {
			t.Fatalf("decoded invalid terms: %v", err)
		}
		if again := encode(r, e.revision); !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to what is encoded as %x", b, again)
		}
	})
}

func TestExpiryEntriesSortByTime(t *testing.T) {
	instants := []int64{-1 << 63, -1000, -1, 0, 1, 1000, 1<<63 - 1}
	for i, ms := range instants {
		entry := expiryEntry(ms, "key")
		if got, key, ok := parseExpiryEntry(entry); got != ms || key != "key" || !ok {
			t.Errorf("entry of %d parses as %d, %q, %v", ms, got, key, ok)
		}
		if i > 0 && bytes.Compare(expiryEntry(instants[i-1], "\xff"), entry) >= 0 {
			t.Errorf("%d does not sort after %d", ms, instants[i-1])
		}
	}
}
