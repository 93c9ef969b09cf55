package boltstore

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"
)

// bbolt writes the list of all free pages with each commit. After many records were deleted the list
// has megabytes, and as it needs pages in a row, which are rare then, the file grows by it too. So the
// list of many free pages is kept in memory alone, and written when the store is closed. Only after a
// crash is it then missing, and Open has to look at every page for it.

// maxSyncedPages is how many free pages the list that each commit writes has at most: 64 KiB of them.
const maxSyncedPages = 8192

// chooseFreeListSync decides for the next commit whether the list of free pages is written. Only the
// committer calls it.
func (s *Store) chooseFreeListSync() { s.file.db.NoFreelistSync = s.file.freePages() > maxSyncedPages }

// freePages returns how many pages of the file are free, or will be when the readers have ended.
func (f file) freePages() int {
	stats := f.db.Stats()
	return stats.FreePageN + stats.PendingPageN
}

// syncFreeList writes the list of free pages if the last commit did not.
func (f file) syncFreeList() error {
	if !f.db.NoFreelistSync {
		return nil
	}
	f.db.NoFreelistSync = false
	return contain(func() error { return f.db.Update(func(*bbolt.Tx) error { return nil }) })
}

// lacksFreeList reports whether a transaction sees no list of free pages.
func lacksFreeList(tx *bbolt.Tx) (bool, error) {
	header, err := headerOf(tx)
	if err != nil {
		return false, err
	}
	return order.Uint64(header[headerFreeList:]) == noFreeList, nil
}

// checkUnlisted refuses a damaged file without a list of free pages. To make the list, bbolt looks at
// all pages in a goroutine of its own, where damage would end the process.
func (f file) checkUnlisted() error {
	tx, err := f.begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return contain(func() error {
		if lacks, err := lacksFreeList(tx); err != nil || !lacks {
			return err
		}
		var found findings
		if _, err := checkPages(context.Background(), tx, f.raw, &found); err != nil {
			return err
		}
		if err := found.join(nil); err != nil {
			return fmt.Errorf("is damaged: %w", err)
		}
		return nil
	})
}
