package storagetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// seedVariable names the environment variable that repeats a failed random history.
const seedVariable = "STORAGETEST_SEED"

var historyTests = []test{
	{"a random history goes as in a map", testRandomHistory},
}

func testRandomHistory(f *fixture) {
	const steps = 800
	seed := rand.Uint64()
	if s := os.Getenv(seedVariable); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			f.Fatalf("%s: %v", seedVariable, err)
		}
	}
	f.Logf("%s=%d repeats this history", seedVariable, seed)

	h := &history{
		fixture: f,
		rand:    rand.New(rand.NewPCG(seed, 0)),
		stored:  map[string]stored{},
		given:   map[string][]storage.Revision{},
	}
	for step := range steps {
		h.step()
		if step%50 == 0 || step == steps-1 {
			h.compare()
		}
		if f.Failed() {
			f.Fatalf("failed at step %d", step)
		}
	}
}

// Few names, so that they meet often, and such that are prefixes of one another.
var (
	historyKeys  = []string{"a", "a\x01", "\x01a", "aa", "ab", "b", "\xff"}
	historyTerms = []string{"t", "t\x01", "ta", "taa", "u", "\xff"}
)

// history holds a store against a model of it: a map.
type history struct {
	*fixture
	rand   *rand.Rand
	stored map[string]stored
	given  map[string][]storage.Revision // all revisions that a key ever had
}

type stored struct {
	record   storage.Record
	revision storage.Revision
}

// live returns the model's record, and the zero revision where there is none.
func (h *history) live(key string) stored {
	s, ok := h.stored[key]
	if !ok || !h.clock.Now().Before(s.record.Expiry) {
		return stored{}
	}
	return s
}

func (h *history) step() {
	switch n := h.rand.IntN(100); {
	case n < 45:
		key := h.key()
		h.swap(key, h.revision(key), h.randomRecord(key))
	case n < 60:
		key := h.key()
		if rev := h.revision(key); rev != 0 {
			h.swap(key, rev, h.randomRecord(h.key()))
		}
	case n < 70:
		key := h.key()
		h.delete(key, h.revision(key))
	case n < 80:
		h.get(h.key())
	case n < 83:
		h.walk(h.pick(slices.Concat(historyKeys, []string{"", "a\x01\x01", "\xff\xff"})))
	case n < 85:
		h.replace()
	case n < 92:
		h.find(h.pick(historyTerms), h.pick(slices.Concat(historyKeys, []string{"", "0", "a\x01\x01"})), 1+h.rand.IntN(len(historyKeys)+1))
	default:
		h.clock.Advance(time.Duration(h.rand.IntN(4000)) * time.Millisecond)
	}
}

func (h *history) pick(from []string) string { return from[h.rand.IntN(len(from))] }
func (h *history) key() string               { return h.pick(historyKeys) }

// revision returns the one that key is at mostly, and else an older one, or none.
func (h *history) revision(key string) storage.Revision {
	given := h.given[key]
	switch n := h.rand.IntN(10); {
	case n == 0:
		return 0
	case n <= 2 && len(given) > 0:
		return given[h.rand.IntN(len(given))]
	}
	return h.live(key).revision
}

func (h *history) randomRecord(key string) storage.Record {
	r := storage.Record{
		Key:    key,
		Value:  make([]byte, h.rand.IntN(200)),
		Expiry: h.clock.Now().Add(time.Duration(h.rand.IntN(60_000)-2000) * time.Millisecond),
	}
	for i := range r.Value {
		r.Value[i] = byte(h.rand.Uint32())
	}
	for _, i := range h.rand.Perm(len(historyTerms))[:h.rand.IntN(len(historyTerms)+1)] {
		r.Terms = append(r.Terms, historyTerms[i])
	}
	return r
}

func (h *history) swap(key string, rev storage.Revision, next storage.Record) {
	var want error
	if h.live(key).revision != rev || next.Key != key && h.live(next.Key).revision != 0 {
		want = storage.ErrConflict
	}
	got, err := h.store.CompareAndSwap(h.Context(), key, rev, next)
	h.expect(fmt.Sprintf("CompareAndSwap(%q, %d, %q)", key, rev, next.Key), err, want)
	if err != nil {
		return
	}
	if got == 0 || got == rev || slices.Contains(h.given[next.Key], got) {
		h.Errorf("CompareAndSwap(%q, %d, %q) gave revision %d, which was there before", key, rev, next.Key, got)
	}
	delete(h.stored, key)
	h.stored[next.Key] = stored{next, got}
	h.given[next.Key] = append(h.given[next.Key], got)
}

func (h *history) delete(key string, rev storage.Revision) {
	var want error
	if rev == 0 || h.live(key).revision != rev {
		want = storage.ErrConflict
	}
	err := h.store.Delete(h.Context(), key, rev)
	h.expect(fmt.Sprintf("Delete(%q, %d)", key, rev), err, want)
	if err == nil {
		delete(h.stored, key)
	}
}

func (h *history) expect(call string, got, want error) {
	if !errors.Is(got, want) {
		h.Errorf("%s = %v, want %v", call, got, want)
	}
}

func (h *history) get(key string) {
	if s := h.live(key); s.revision != 0 {
		h.has(s.record, s.revision)
	} else {
		h.lacks(key)
	}
}

func (h *history) find(term, after string, limit int) {
	var want []string
	for _, key := range slices.Sorted(slices.Values(historyKeys)) {
		if key > after && slices.Contains(h.live(key).record.Terms, term) && len(want) < limit {
			want = append(want, key)
		}
	}
	h.findsPage(term, after, limit, want...)
}

func (h *history) walk(prefix string) {
	var want []string
	for _, key := range slices.Sorted(slices.Values(historyKeys)) {
		if strings.HasPrefix(key, prefix) && h.live(key).revision != 0 {
			want = append(want, key)
		}
	}
	var got []string
	for _, r := range h.fixture.walk(prefix) {
		got = append(got, r.Key)
		if slices.Contains(want, r.Key) {
			h.same(r, h.live(r.Key).record)
		}
	}
	if !slices.Equal(got, want) {
		h.Errorf("Walk(%q) met %q, want %q", prefix, got, want)
	}
}

// replace puts random records in the place of all, where the store can, and learns their revisions.
func (h *history) replace() {
	replacer, ok := h.store.(storage.Replacer)
	if !ok {
		return
	}
	var records []storage.Record
	for _, i := range h.rand.Perm(len(historyKeys))[:h.rand.IntN(len(historyKeys)+1)] {
		records = append(records, h.randomRecord(historyKeys[i]))
	}
	h.expect("Replace", replacer.Replace(h.Context(), sequence(records)), nil)
	clear(h.stored)
	for _, r := range records {
		if !h.clock.Now().Before(r.Expiry) {
			continue
		}
		_, rev, err := h.store.Get(h.Context(), r.Key)
		if err != nil || slices.Contains(h.given[r.Key], rev) {
			h.Errorf("after Replace, Get(%q) has revision %d, which must be new, and error %v", r.Key, rev, err)
		}
		h.stored[r.Key] = stored{r, rev}
		h.given[r.Key] = append(h.given[r.Key], rev)
	}
}

// compare holds all of the store against all of the model.
func (h *history) compare() {
	for _, key := range historyKeys {
		h.get(key)
	}
	for _, term := range historyTerms {
		h.find(term, "", len(historyKeys)+1)
	}
	h.walk("")
}
