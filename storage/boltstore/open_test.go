package boltstore

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestOpenCreatesFileAndDirectories(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "test.db")
	openStore(t, path, Options{})
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want the database alone", entries, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]fs.FileMode{
		filepath.Dir(dir): fs.ModeDir | 0o700,
		dir:               fs.ModeDir | 0o700,
		path:              0o600,
	} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want mode %v", name, info.Mode(), err, want)
		}
	}
}

func TestOpenTakesAccessFromOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access is not in the mode on Windows")
	}
	path := filepath.Join(t.TempDir(), "test.db")
	closeStore(t, openStore(t, path, unswept))
	if err := os.Chmod(path, 0o664); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	closeStore(t, openStore(t, path, Options{SweepInterval: -1, Logger: zap.New(core)}))
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode is %v, %v; want 0600", info.Mode(), err)
	}
	if logs.Len() != 1 || logs.All()[0].ContextMap()["path"] != path {
		t.Errorf("logged %v, want a warning that names %s", logs.All(), path)
	}
	closeStore(t, openStore(t, path, Options{SweepInterval: -1, Logger: zap.New(core)}))
	if logs.Len() != 1 {
		t.Errorf("a mode that is right was warned about: %v", logs.All()[1:])
	}
}

func TestOpenFollowsASymlink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "test.db"), filepath.Join(dir, "link.db")
	s := openStore(t, path, unswept)
	put(t, s, record("a"))
	closeStore(t, s)
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	has(t, openStore(t, link, unswept), "a")
}

// Whoever keeps the database on another volume may link to it before it is there.
func TestOpenMakesTheFileThatASymlinkPointsTo(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "volume", "test.db"), filepath.Join(dir, "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	s := openStore(t, link, unswept)
	put(t, s, record("a"))
	closeStore(t, s)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	has(t, openStore(t, path, unswept), "a")
}

func TestOpenTellsThatAnotherProcessHasTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	holder := startProcess(t, "holder", path)
	for _, timeout := range []time.Duration{-1, time.Millisecond, 100 * time.Millisecond} {
		_, err := Open(path, Options{LockTimeout: timeout})
		errorSays(t, err, path, "is another gateway running on it?")
	}
	holder.input.Close()
	if err := holder.Wait(); err != nil {
		t.Fatal(err)
	}
	openStore(t, path, unswept)
}

func TestOpenTwiceInOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openStore(t, path, unswept)
	_, err := Open(path, Options{LockTimeout: -1})
	errorSays(t, err, path, "locked")
	put(t, s, record("a"))
	closeStore(t, s)
	has(t, openStore(t, path, unswept), "a")
}

func TestOpenWaitsForTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openStore(t, path, unswept)
	opened := make(chan error)
	go func() {
		second, err := Open(path, Options{LockTimeout: time.Hour})
		if err == nil {
			err = second.Close()
		}
		opened <- err
	}()
	closeStore(t, s)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestAcknowledgedWritesSurviveAKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	writer := startProcess(t, "writer", path)
	var keys []string
	for range 50 {
		keys = append(keys, writer.line(t))
	}
	if err := writer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Wait()
	s := openStore(t, path, unswept)
	for _, key := range keys {
		has(t, s, key)
	}
	verify(t, s.file.db)
}

// Processes that start at once on no file yet must all end up with the same one: nobody's
// records may be in a file that another has replaced.
func TestFirstOpenRacesLoseNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	const n = 16
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			s, err := Open(path, Options{LockTimeout: time.Minute, SweepInterval: -1, unsynced: true})
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			put(t, s, record(fmt.Sprint(i)))
			closeStore(t, s)
		})
	}
	close(start)
	wg.Wait()
	s := openStore(t, path, unswept)
	for i := range n {
		has(t, s, fmt.Sprint(i))
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want the database alone", entries, err)
	}
}

// What a crash during the first Open leaves behind does not stand in the way of the next.
func TestCrashWhileCreatingIsForgotten(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{".test.db.new-1": "", ".test.db.new-2": "half"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(t, openStore(t, filepath.Join(dir, "test.db"), unswept), record("a"))
}

func TestOpenRefusesForeignDatabases(t *testing.T) {
	version := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	meta := func(tx *bbolt.Tx, values map[string][]byte) error {
		b, err := tx.CreateBucketIfNotExists(metaBucket)
		for k, v := range values {
			if err == nil {
				err = b.Put([]byte(k), v)
			}
		}
		return err
	}
	for name, test := range map[string]struct {
		content func(*bbolt.Tx) error
		says    string
	}{
		"without content": {func(*bbolt.Tx) error { return nil }, "not of this program"},
		"with other buckets": {func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("certificates"))
			return err
		}, "not of this program"},
		"with another meta bucket": {func(tx *bbolt.Tx) error {
			return meta(tx, map[string][]byte{"schema": version(1)})
		}, "not of this program"},
		"of another format": {func(tx *bbolt.Tx) error {
			return meta(tx, map[string][]byte{"format": []byte("other"), "schema": version(1)})
		}, "not of this program"},
		"without a schema version": {func(tx *bbolt.Tx) error {
			return meta(tx, map[string][]byte{"format": []byte(format)})
		}, "schema version is missing"},
		"of a newer schema": {func(tx *bbolt.Tx) error {
			return meta(tx, map[string][]byte{"format": []byte(format), "schema": version(schema + 1)})
		}, "newer"},
		"without tables": {func(tx *bbolt.Tx) error {
			return meta(tx, map[string][]byte{"format": []byte(format), "schema": version(schema)})
		}, "table records is missing"},
	} {
		for _, freelist := range []string{"synced", "unsynced"} {
			t.Run(name+"/"+freelist, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "test.db")
				db, err := bbolt.Open(path, 0o644, &bbolt.Options{NoFreelistSync: freelist == "unsynced"})
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Update(test.content); err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				refused(t, path, test.says)
			})
		}
	}
}
