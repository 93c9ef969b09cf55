package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// Jars is the jars of one store. It keeps the jars in use decoded in memory, which is sound only
// while every write to the store goes through this one Jars: all users of the store share it,
// across reloads of the configuration. Its methods may be called concurrently.
type Jars struct {
	clock   steadyClock // of all managers
	store   storage.Store
	shards  [jarShards]jarShard
	changes sync.RWMutex // see change

	reading sync.Mutex // held while endings is read from the store
	endings atomic.Pointer[endings]
}

// Limits of the memory. Most jars have a few KiB, so it holds some 16,000 active browsers.
// Providers with large tokens make jars far larger, so the bytes of the jars are bounded too, to
// 256 MiB in total. A shard with a jar larger than its share holds no other. Other jars are read from
// the store again.
const (
	jarShards    = 64
	jarsByShard  = 256
	bytesByShard = 4 << 20
)

// jarShard is a part of the memory. A full shard drops random jars: random replacement needs no
// bookkeeping for reads, so readers share the lock.
type jarShard struct {
	mu    sync.RWMutex
	kept  map[Key]storedJar
	bytes int    // of the kept jars
	epoch uint64 // number of writes that ended

	watched map[Key][]*Watch
}

// storedJar is a jar in the store, with its revision and about how many bytes it takes in memory.
type storedJar struct {
	*Jar
	revision storage.Revision
	bytes    int
}

// bytesInMemory returns about how many bytes the jar of a record takes when it is decoded.
func bytesInMemory(record []byte) int { return len(record) * 5 / 2 }

// errNoJar reports that no jar has the key.
var errNoJar = errors.New("no such jar")

// NewJars returns the jars of a store, to which nothing else may write jars from then on, neither
// in this process nor in another.
func NewJars(store storage.Store) *Jars {
	j := &Jars{store: store}
	for i := range j.shards {
		j.shards[i].kept = make(map[Key]storedJar)
	}
	return j
}

func (j *Jars) shard(key Key) *jarShard { return &j.shards[key[0]%jarShards] }

// load returns the jar under key at a time, from memory if it is there. Its sessions may be dead,
// which the caller checks. Errors are errNoJar, ErrUnreadable, or of the store.
func (j *Jars) load(ctx context.Context, key Key, at time.Time) (storedJar, error) {
	shard := j.shard(key)
	shard.mu.RLock()
	jar, ok := shard.kept[key]
	epoch := shard.epoch
	shard.mu.RUnlock()
	if ok {
		return jar, nil
	}
	record, revision, err := j.store.Get(ctx, key.storeKey())
	if errors.Is(err, storage.ErrNotFound) {
		return storedJar{}, errNoJar
	}
	if err != nil {
		return storedJar{}, fmt.Errorf("load jar: %w", err)
	}
	decoded, err := decodeJarOf(key, record.Value)
	if err != nil {
		return storedJar{}, err
	}
	decoded.clamp(at)
	jar = storedJar{decoded, revision, bytesInMemory(record.Value)}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	// A write that ended since may have changed or removed the jar.
	if shard.epoch == epoch {
		shard.keep(key, jar)
	}
	return jar, nil
}

// decodeJarOf returns the jar of a record under a key, with all its names.
func decodeJarOf(key Key, value []byte) (*Jar, error) {
	jar, err := decodeJar(value)
	if err != nil {
		return nil, err
	}
	jar.nameSlots(key)
	return jar, nil
}

// keep adds a jar to the memory. The caller holds the lock.
func (s *jarShard) keep(key Key, jar storedJar) {
	s.drop(key)
	for other := range s.kept {
		if len(s.kept) < jarsByShard && s.bytes+jar.bytes <= bytesByShard {
			break
		}
		s.drop(other)
	}
	s.kept[key] = jar
	s.bytes += jar.bytes
}

// drop removes a jar from the memory, if it is there. The caller holds the lock.
func (s *jarShard) drop(key Key) {
	s.bytes -= s.kept[key].bytes
	delete(s.kept, key)
}

// written ends a write to the jar under key that began at the given epoch. It replaces the jar in
// memory, or removes it if jar is nil. Writes that overlap may end in another order than the store
// made them, so only the first one to end is kept in memory.
func (s *jarShard) written(key Key, jar *storedJar, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(key)
	if jar != nil && s.epoch == epoch {
		s.keep(key, *jar)
	}
	s.epoch++
	s.wake(key)
}

// swap stores next under nextKey in place of the jar under key, until expiry. It returns
// storage.ErrConflict if the jar is no longer at its revision. For a new jar, key equals nextKey
// and old is the zero storedJar.
func (j *Jars) swap(ctx context.Context, key Key, old storedJar, nextKey Key, next *Jar, expiry time.Time) error {
	value, err := encodeJar(next)
	if err != nil {
		return err
	}
	record := storage.Record{Key: nextKey.storeKey(), Value: value, Expiry: expiry, Terms: indexTerms(next)}
	shard := j.shard(nextKey)
	shard.mu.RLock()
	epoch := shard.epoch
	shard.mu.RUnlock()

	revision, err := j.store.CompareAndSwap(ctx, key.storeKey(), old.revision, record)

	// A failed write may have happened all the same, so the memory drops the jar then too.
	var kept *storedJar
	if err == nil {
		kept = &storedJar{next, revision, bytesInMemory(value)}
	}
	shard.written(nextKey, kept, epoch)
	if nextKey != key {
		j.shard(key).written(key, nil, 0)
	}
	if err != nil {
		return fmt.Errorf("store jar: %w", err)
	}
	return nil
}

// delete removes the jar under key. It returns storage.ErrConflict if the jar is no longer at its
// revision.
func (j *Jars) delete(ctx context.Context, key Key, old storedJar) error {
	err := j.store.Delete(ctx, key.storeKey(), old.revision)
	j.shard(key).written(key, nil, 0)
	if err != nil {
		return fmt.Errorf("delete jar: %w", err)
	}
	return nil
}

// findPage is how many keys one request to the store returns at most.
const findPage = 256

// find calls visit with the key of every jar that has the term, until visit returns an error.
func (j *Jars) find(ctx context.Context, term string, visit func(Key) error) error {
	after := ""
	for {
		page, err := j.store.Find(ctx, term, after, findPage)
		if err != nil {
			return fmt.Errorf("find jars: %w", err)
		}
		for _, name := range page {
			key, err := parseStoreKey(name)
			if err != nil {
				return err
			}
			if err := visit(key); err != nil {
				return err
			}
		}
		if len(page) < findPage {
			return nil
		}
		after = page[len(page)-1]
	}
}

// first returns the first jar that has a term, and its key. It returns errNoJar if there is none.
func (j *Jars) first(ctx context.Context, term string, at time.Time) (Key, storedJar, error) {
	page, err := j.store.Find(ctx, term, "", 1)
	if err != nil {
		return Key{}, storedJar{}, fmt.Errorf("find jar: %w", err)
	}
	if len(page) == 0 {
		return Key{}, storedJar{}, errNoJar
	}
	key, err := parseStoreKey(page[0])
	if err != nil {
		return Key{}, storedJar{}, err
	}
	jar, err := j.load(ctx, key, at)
	return key, jar, err
}

// all calls visit with the key of every jar, until visit returns an error. A jar that moves meanwhile
// may be missed.
func (j *Jars) all(ctx context.Context, visit func(Key) error) error {
	return j.walk(ctx, func(key Key, _ storage.Record) error { return visit(key) })
}

// walk calls visit with the record of every jar, until visit returns an error. A jar that moves
// meanwhile may be missed. What it comes by does not go into the memory: that is for browsers in use.
func (j *Jars) walk(ctx context.Context, visit func(Key, storage.Record) error) error {
	err := j.store.Walk(ctx, jarPrefix, func(record storage.Record) error {
		key, err := parseStoreKey(record.Key)
		if err != nil {
			return err
		}
		return visit(key, record)
	})
	if err != nil {
		return fmt.Errorf("walk jars: %w", err)
	}
	return nil
}

// Forget empties the memory, after the whole store was replaced.
func (j *Jars) Forget() {
	for i := range j.shards {
		shard := &j.shards[i]
		shard.mu.Lock()
		clear(shard.kept)
		shard.bytes = 0
		shard.epoch++
		for key := range shard.watched {
			shard.wake(key)
		}
		shard.mu.Unlock()
	}
}

func parseStoreKey(name string) (Key, error) {
	var key Key
	text, ok := strings.CutPrefix(name, jarPrefix)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) != len(key) {
		return Key{}, errors.New("find jars: a record is not under the key of one")
	}
	copy(key[:], raw)
	return key, nil
}
