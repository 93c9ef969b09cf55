package boltstore

import (
	"encoding/binary"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/internal/newfile"
)

// create makes a new database at path, and the directories above it. A database that another
// process has made there in the meantime stays.
func create(path string) error { return newfile.Create(path, initialise) }

// initialise makes an empty file a database without records.
func initialise(path string) error {
	db, err := bbolt.Open(path, fileMode, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{metaBucket, recordsBucket, termsBucket, expiryBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(metaBucket)
		if err := meta.Put(formatKey, []byte(format)); err != nil {
			return err
		}
		return meta.Put(schemaKey, binary.BigEndian.AppendUint32(nil, schema))
	})
	return errors.Join(err, db.Close())
}
