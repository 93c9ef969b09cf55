package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
)

// The parts of bbolt's file format that say how pages hang together. Integers are in the order of
// the machine that wrote them, and positions are counted from the element that has them.
//
//	page     id u64, kind u16, count u16, pages that it goes on over u32; then its elements
//	branch   position of the key u32, its length u32, id of the page below u64
//	leaf     flags u32, position of the key u32, its length u32, length of the value behind it u32
//	bucket   a leaf's value: id of its root page u64, sequence u64; where the id is zero, a page follows
//	header   a page: magic u32, version u32, page size u32, flags u32, root bucket, id of the free
//	         list u64, end of the pages u64, transaction u64, checksum u64
//	free     a page: ids u64; where the count is 65535, the first one is the count
const (
	pageHeaderBytes = 16
	elementBytes    = 16
	bucketBytes     = 16

	kindBranch = 1
	kindLeaf   = 2
	kindFree   = 16

	leafIsBucket = 1

	headerPageSize = pageHeaderBytes + 8
	headerRoot     = pageHeaderBytes + 16
	headerFreeList = pageHeaderBytes + 32
	headerEnd      = pageHeaderBytes + 40
	headerLength   = pageHeaderBytes + 64

	noFreeList = 1<<64 - 1
)

var order = binary.NativeEndian

// pages are the pages of the file that one read transaction sees. They are read from the file, not
// from bbolt's memory map, so that no damage makes a fault; nothing writes to them until the
// transaction ends.
//
// This is what bbolt's own check looks at. That one compares the pages of a transaction with the free
// list of the latest, so that it finds fault with whatever is written meanwhile, and it reads the map
// in a goroutine where a fault cannot be contained.
type pages struct {
	file  io.ReaderAt
	size  uint64 // of one, in bytes
	use   []use  // of each, by its id
	found *findings
}

// use is what a page was met as.
type use byte

const (
	unmet use = iota
	used
	free
)

// checkPages reports what is wrong with the pages. When the trees that they make are not whole, what
// is in them cannot be told, and a cursor on them may never come to an end.
func checkPages(ctx context.Context, tx *bbolt.Tx, file io.ReaderAt, found *findings) (whole bool, err error) {
	header, err := headerOf(tx)
	if err != nil {
		return false, err
	}
	p := &pages{
		file:  file,
		size:  uint64(order.Uint32(header[headerPageSize:])),
		use:   make([]use, order.Uint64(header[headerEnd:])),
		found: found,
	}
	p.use[0], p.use[1] = used, used // the headers, of which one is the transaction's
	before := found.count()
	if err := p.tree(ctx, order.Uint64(header[headerRoot:]), nil, nil); err != nil {
		return false, err
	}
	if found.count() > before {
		return false, nil
	}
	if list := order.Uint64(header[headerFreeList:]); list != noFreeList {
		p.freeList(list)
	}
	return true, nil
}

// headerOf returns the header of a transaction. A backup begins with it, and there is no other way to
// learn of the free list.
func headerOf(tx *bbolt.Tx) ([]byte, error) {
	var first firstWrite
	_, err := tx.WriteTo(&first)
	if len(first.b) < headerLength {
		return nil, fmt.Errorf("header of the database: %w", err)
	}
	return first.b, nil
}

// firstWrite keeps what is written to it first, and refuses the rest.
type firstWrite struct{ b []byte }

var errEnough = errors.New("that is enough")

func (w *firstWrite) Write(b []byte) (int, error) {
	if w.b == nil {
		w.b = bytes.Clone(b)
	}
	return 0, errEnough
}

// page is one page, with those it goes on over.
type page struct {
	kind, count int
	b           []byte
}

// read returns a page that nothing else has as its own. Where it cannot, it reports why.
func (p *pages) read(id uint64) (pg page, ok bool) {
	end := uint64(len(p.use))
	if id >= end {
		p.found.add("page %d: is beyond the end of the database", id)
		return page{}, false
	}
	var head [pageHeaderBytes]byte
	if _, err := p.file.ReadAt(head[:], int64(id*p.size)); err != nil {
		p.found.add("page %d: %w", id, err)
		return page{}, false
	}
	more := uint64(order.Uint32(head[12:]))
	if order.Uint64(head[:]) != id || more >= end-id {
		p.found.add("page %d: is damaged", id)
		return page{}, false
	}
	for i := id; i <= id+more; i++ {
		if p.use[i] != unmet {
			p.found.add("page %d: is used twice", i)
			return page{}, false
		}
		p.use[i] = used
	}
	pg = page{
		kind:  int(order.Uint16(head[8:])),
		count: int(order.Uint16(head[10:])),
		b:     make([]byte, (1+more)*p.size),
	}
	if _, err := p.file.ReadAt(pg.b, int64(id*p.size)); err != nil {
		p.found.add("page %d: %w", id, err)
		return page{}, false
	}
	return pg, true
}

// element is one of a branch or a leaf.
type element struct {
	key    []byte
	below  uint64 // of a branch: the page
	bucket []byte // of a leaf: the value, where it is a bucket
}

// elements returns what is on a branch or leaf page, unless it is damaged.
func (pg page) elements() (all []element, ok bool) {
	if pg.kind != kindBranch && pg.kind != kindLeaf || pageHeaderBytes+pg.count*elementBytes > len(pg.b) {
		return nil, false
	}
	all = make([]element, pg.count)
	for i := range all {
		b := pg.b[pageHeaderBytes+i*elementBytes:]
		var position, keyLength, valueLength uint64
		if pg.kind == kindBranch {
			position, keyLength = uint64(order.Uint32(b)), uint64(order.Uint32(b[4:]))
			all[i].below = order.Uint64(b[8:])
		} else {
			position, keyLength = uint64(order.Uint32(b[4:])), uint64(order.Uint32(b[8:]))
			valueLength = uint64(order.Uint32(b[12:]))
		}
		if position+keyLength+valueLength > uint64(len(b)) {
			return nil, false
		}
		all[i].key = b[position:][:keyLength]
		if pg.kind == kindLeaf && order.Uint32(b)&leafIsBucket != 0 {
			if valueLength < bucketBytes {
				return nil, false
			}
			all[i].bucket = b[position+keyLength:][:valueLength]
		}
	}
	return all, true
}

// tree checks a page and all pages below it. Where low and high are not nil, its keys are to be no
// less than low and less than high.
func (p *pages) tree(ctx context.Context, id uint64, low, high []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	pg, ok := p.read(id)
	if !ok {
		return nil
	}
	all, ok := pg.elements()
	if !ok || pg.kind == kindBranch && len(all) == 0 {
		p.found.add("page %d: is damaged", id)
		return nil
	}
	if !ascend(all, low, high) {
		p.found.add("page %d: a key is not in its place", id)
		return nil
	}
	for i, e := range all {
		var err error
		switch {
		case pg.kind == kindBranch:
			next := high
			if i+1 < len(all) {
				next = all[i+1].key
			}
			err = p.tree(ctx, e.below, e.key, next)
		case e.bucket != nil:
			err = p.bucket(ctx, id, e.bucket)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket checks what is in a bucket, of which the value is on page id.
func (p *pages) bucket(ctx context.Context, id uint64, value []byte) error {
	if root := order.Uint64(value); root != 0 {
		return p.tree(ctx, root, nil, nil)
	}
	inline := value[bucketBytes:]
	if len(inline) < pageHeaderBytes {
		p.found.add("page %d: is damaged", id)
		return nil
	}
	pg := page{kind: int(order.Uint16(inline[8:])), count: int(order.Uint16(inline[10:])), b: inline}
	all, ok := pg.elements()
	if !ok || pg.kind != kindLeaf {
		p.found.add("page %d: is damaged", id)
	} else if !ascend(all, nil, nil) {
		p.found.add("page %d: a key is not in its place", id)
	}
	return nil
}

func ascend(all []element, low, high []byte) bool {
	for i, e := range all {
		switch {
		case i > 0 && bytes.Compare(all[i-1].key, e.key) >= 0,
			low != nil && bytes.Compare(e.key, low) < 0,
			high != nil && bytes.Compare(e.key, high) >= 0:
			return false
		}
	}
	return true
}

// freeList checks that every page that no tree has met is free, once, and no other is: one that is
// used and free will be written over.
func (p *pages) freeList(id uint64) {
	pg, ok := p.read(id)
	if !ok {
		return
	}
	ids, count := pg.b[pageHeaderBytes:], uint64(pg.count)
	if pg.count == 1<<16-1 {
		count = order.Uint64(ids)
		ids = ids[8:]
	}
	if pg.kind != kindFree || count > uint64(len(ids)/8) {
		p.found.add("page %d: is damaged", id)
		return
	}
	for i := range count {
		switch id := order.Uint64(ids[8*i:]); {
		case id >= uint64(len(p.use)):
			p.found.add("page %d: is free, but beyond the end of the database", id)
		case p.use[id] == used:
			p.found.add("page %d: is used, and free too", id)
		case p.use[id] == free:
			p.found.add("page %d: is free twice", id)
		default:
			p.use[id] = free
		}
	}
	for id, use := range p.use {
		if use == unmet {
			p.found.add("page %d: is neither used nor free", id)
		}
	}
}
