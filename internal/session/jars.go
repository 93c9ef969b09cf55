package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// Jars is the jars of one store. It keeps the jars in use decoded in memory, which is sound only while
// every write to the store goes through this one Jars: all users of the store share it, across
// reloads of the configuration. Its methods may be called concurrently.
type Jars struct {
	store  storage.Store
	shards [jarShards]jarShard
}

// The jars kept in memory, a few KiB each: some 16,000 browsers active at a time. Where providers give
// large tokens a jar can have far more, so that the bytes of their records are bounded too, to 256 MiB
// and for a shard to what any one jar fits in. What does not fit is read from the store again.
const (
	jarShards    = 64
	jarsByShard  = 256
	bytesByShard = storage.MaxValueBytes
)

// jarShard is a part of the memory. On a full shard any others make room: random replacement
// needs no bookkeeping on the way of a request, so readers share the lock.
type jarShard struct {
	mu    sync.RWMutex
	kept  map[Key]storedJar
	bytes int    // of the records of the kept ones
	epoch uint64 // counts the writes that ended

	watched map[Key][]*Watch
}

// storedJar is a jar as it is in the store, and the revision and the length that it has there.
type storedJar struct {
	*Jar
	revision storage.Revision
	bytes    int
}

// errNoJar reports that no jar has the key.
var errNoJar = errors.New("no such jar")

// NewJars returns the jars of a store, to which nothing else may write jars from then on, neither in
// this process nor in another.
func NewJars(store storage.Store) *Jars {
	j := &Jars{store: store}
	for i := range j.shards {
		j.shards[i].kept = make(map[Key]storedJar)
	}
	return j
}

func (j *Jars) shard(key Key) *jarShard { return &j.shards[key[0]%jarShards] }

// load returns the jar under key, from memory where it is there. Its sessions may be dead; judging
// them is the caller's. Errors are errNoJar, ErrUnreadable, or the store's.
func (j *Jars) load(ctx context.Context, key Key) (storedJar, error) {
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
	decoded, err := decodeJar(record.Value)
	if err != nil {
		return storedJar{}, err
	}
	decoded.nameSlots(key)
	jar = storedJar{decoded, revision, len(record.Value)}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	// A write that ended since may have changed or removed what was read.
	if shard.epoch == epoch {
		shard.keep(key, jar)
	}
	return jar, nil
}

// keep puts a jar into memory. The caller holds the lock.
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

// drop takes a jar out of memory, if it is there. The caller holds the lock.
func (s *jarShard) drop(key Key) {
	s.bytes -= s.kept[key].bytes
	delete(s.kept, key)
}

// written ends a write to the jar under key that was begun at the given epoch: what memory has is
// replaced by jar, or forgotten where jar is nil. Of several writes that overlapped, the one that
// ended last need not be the one that the store took last, so none but the first to end is kept.
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

// swap stores next under nextKey in place of the jar under key, and keeps it until expiry. A jar
// that was not at its revision any more is storage.ErrConflict. For a new jar key and nextKey are
// equal and old is the zero storedJar.
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

	// Also where the store failed, so that it is not known what came of it, memory is in doubt.
	var kept *storedJar
	if err == nil {
		kept = &storedJar{next, revision, len(value)}
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

// delete removes the jar under key. A jar that was not at its revision any more is storage.ErrConflict.
func (j *Jars) delete(ctx context.Context, key Key, old storedJar) error {
	err := j.store.Delete(ctx, key.storeKey(), old.revision)
	j.shard(key).written(key, nil, 0)
	if err != nil {
		return fmt.Errorf("delete jar: %w", err)
	}
	return nil
}

// findPage is how many keys are asked of the store at a time.
const findPage = 256

// find calls visit with the key of every jar that carries the term, until it returns an error.
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

// all calls visit with the key of every jar, until it returns an error. The keys are those of one
// instant, and no transaction of the store lasts while visit works.
func (j *Jars) all(ctx context.Context, visit func(Key) error) error {
	var keys []Key
	err := j.store.Walk(ctx, jarPrefix, func(record storage.Record) error {
		key, err := parseStoreKey(record.Key)
		keys = append(keys, key)
		return err
	})
	if err != nil {
		return fmt.Errorf("walk jars: %w", err)
	}
	for _, key := range keys {
		if err := visit(key); err != nil {
			return err
		}
	}
	return nil
}

// Forget empties the memory, after all of the store was replaced.
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
