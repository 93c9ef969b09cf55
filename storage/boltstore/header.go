package boltstore

import (
	"errors"
	"hash/fnv"
	"io"

	"go.uber.org/zap"
)

// A database has two headers, which take turns: each commit writes the one that is older. If the newer
// one cannot be read, bbolt goes on from the other without a word.

// logDamagedHeader logs if one of the headers is damaged, because what the last commit wrote may be
// missing.
func (f file) logDamagedHeader(log *zap.Logger) {
	pageSize := int64(f.db.Info().PageSize)
	for number := range int64(2) {
		if err := checkHeader(f.raw, number*pageSize); err != nil {
			log.Error("a header of the database is damaged: what was written last may be missing, and sessions that had ended may be back",
				zap.String("path", f.path), zap.Int64("header", number), zap.Error(err))
		}
	}
}

// The parts of a header that checkHeader looks at; see pages.
const (
	headerMagic    = pageHeaderBytes
	headerChecksum = pageHeaderBytes + 56
	magic          = 0xED0CDAED
)

// checkHeader checks the header at a position of the file.
func checkHeader(file io.ReaderAt, at int64) error {
	var b [headerLength]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		return err
	}
	sum := fnv.New64a()
	sum.Write(b[headerMagic:headerChecksum])
	if order.Uint32(b[headerMagic:]) != magic || order.Uint64(b[headerChecksum:]) != sum.Sum64() {
		return errors.New("its checksum is wrong")
	}
	return nil
}
