package boltstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// A record is stored under its key as, with integers in network byte order:
//
//	byte 0     encodingVersion
//	bytes 1-8  revision, not zero
//	bytes 9-16 expiry in milliseconds of Unix time, signed
//	2 bytes    number of terms, then each as 2 bytes of length and the term, ascending
//	the rest   value
//
// Every record has exactly one encoding, so that a changed byte has little room to go unnoticed.
const (
	encodingVersion = 1
	revisionOffset  = 1
	expiryOffset    = revisionOffset + 8
	termsOffset     = expiryOffset + 8
	headerBytes     = termsOffset + 2
)

var errCorrupt = errors.New("corrupt record")

// draft is an encoded record that lacks but its revision.
type draft struct {
	encoded []byte
	terms   []string // ascending
	expiry  int64
}

// newDraft encodes a record that is within the limits. It keeps nothing of the record's memory.
func newDraft(r storage.Record) draft {
	d := draft{terms: slices.Sorted(slices.Values(r.Terms)), expiry: r.Expiry.UnixMilli()}
	size := headerBytes + len(r.Value)
	for _, term := range d.terms {
		size += 2 + len(term)
	}
	b := make([]byte, 0, size)
	b = append(b, encodingVersion)
	b = binary.BigEndian.AppendUint64(b, 0) // stamp sets it
	b = binary.BigEndian.AppendUint64(b, uint64(d.expiry))
	b = binary.BigEndian.AppendUint16(b, uint16(len(d.terms)))
	for _, term := range d.terms {
		b = binary.BigEndian.AppendUint16(b, uint16(len(term)))
		b = append(b, term...)
	}
	d.encoded = append(b, r.Value...)
	return d
}

func (d draft) stamp(rev storage.Revision) {
	binary.BigEndian.PutUint64(d.encoded[revisionOffset:], uint64(rev))
}

// entry is a stored record, read in place: it is valid as long as the transaction it comes from.
type entry struct {
	size     int // encoded
	revision storage.Revision
	expiry   int64  // milliseconds of Unix time
	count    int    // of terms
	terms    []byte // encoded
	value    []byte
}

// decodeEntry reads what newDraft wrote and nothing else. It copies and allocates nothing.
func decodeEntry(b []byte) (entry, error) {
	if len(b) < headerBytes || b[0] != encodingVersion {
		return entry{}, errCorrupt
	}
	e := entry{
		size:     len(b),
		revision: storage.Revision(binary.BigEndian.Uint64(b[revisionOffset:])),
		expiry:   int64(binary.BigEndian.Uint64(b[expiryOffset:])),
		count:    int(binary.BigEndian.Uint16(b[termsOffset:])),
	}
	if e.revision == 0 || e.count > storage.MaxTerms {
		return entry{}, errCorrupt
	}
	rest := b[headerBytes:]
	var previous []byte
	for range e.count {
		term, after, ok := cutTerm(rest)
		if !ok || bytes.Compare(previous, term) >= 0 {
			return entry{}, errCorrupt
		}
		previous, rest = term, after
	}
	if len(rest) > storage.MaxValueBytes {
		return entry{}, errCorrupt
	}
	e.terms = b[headerBytes : len(b)-len(rest)]
	e.value = rest
	return e, nil
}

// decodeNamed is decodeEntry with an error that tells which record it is.
func decodeNamed[Key string | []byte](key Key, encoded []byte) (entry, error) {
	e, err := decodeEntry(encoded)
	if err != nil {
		// A key may be a secret; its hash tells an operator which record it is all the same.
		return entry{}, fmt.Errorf("record with key of sha-256 %.8x: %w", sha256.Sum256([]byte(key)), err)
	}
	return e, nil
}

func cutTerm(b []byte) (term, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if n > storage.MaxTermBytes || n > len(b)-2 {
		return nil, nil, false
	}
	term, rest = b[2:2+n], b[2+n:]
	return term, rest, bytes.IndexByte(term, 0) < 0
}

// expired reports whether the entry is absent at now.
func (e entry) expired(now time.Time) bool {
	return !now.Before(time.UnixMilli(e.expiry))
}

// termList returns a copy of the terms, ascending; nil where there are none.
func (e entry) termList() []string {
	if e.count == 0 {
		return nil
	}
	terms := make([]string, 0, e.count)
	for rest := e.terms; len(rest) > 0; {
		var term []byte
		term, rest, _ = cutTerm(rest)
		terms = append(terms, string(term))
	}
	return terms
}

// record returns a copy of the entry that outlives the transaction.
func (e entry) record(key string) storage.Record {
	return storage.Record{
		Key:    key,
		Value:  bytes.Clone(e.value),
		Expiry: time.UnixMilli(e.expiry).UTC(),
		Terms:  e.termList(),
	}
}
