package boltstore

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/storage"
)

// The test binary is also the second process that some tests need, when these are set.
const (
	roleVariable = "BOLTSTORE_TEST_ROLE"
	pathVariable = "BOLTSTORE_TEST_PATH"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := playRole(role, os.Getenv(pathVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	removeBenchFiles()
	os.Exit(code)
}

// playRole is the main function of a second process: a holder of the database until its
// standard input ends, or a writer that prints every key it has written.
func playRole(role, path string) error {
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	fmt.Println("open")
	switch role {
	case "holder":
		_, err := io.Copy(io.Discard, os.Stdin)
		return errors.Join(err, s.Close())
	case "writer":
		for i := 0; ; i++ {
			key := fmt.Sprint("key-", i)
			if _, err := s.CompareAndSwap(context.Background(), key, 0, record(key, "t")); err != nil {
				return err
			}
			fmt.Println(key)
		}
	}
	return fmt.Errorf("no such role: %s", role)
}

// process is a second process that has the database open.
type process struct {
	*exec.Cmd
	input  io.Closer
	output *bufio.Scanner
}

func startProcess(t *testing.T, role, path string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, pathVariable+"="+path)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, stdin, bufio.NewScanner(stdout)}
	if got := p.line(t); got != "open" {
		t.Fatalf("the other process says %q", got)
	}
	return p
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	if !p.output.Scan() {
		t.Fatalf("the other process ended: %v", p.output.Err())
	}
	return p.output.Text()
}

// unswept are options with which nothing writes but the test.
var unswept = Options{SweepInterval: -1, unsynced: true}

func openStore(t testing.TB, path string, opts Options) *Store {
	t.Helper()
	s, err := Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func newStore(t testing.TB) *Store {
	t.Helper()
	return openStore(t, filepath.Join(t.TempDir(), "test.db"), unswept)
}

func record(key string, terms ...string) storage.Record {
	return storage.Record{Key: key, Value: []byte("of " + key), Expiry: time.Now().Add(time.Hour), Terms: terms}
}

func put(t testing.TB, s *Store, r storage.Record) storage.Revision {
	t.Helper()
	rev, err := s.CompareAndSwap(t.Context(), r.Key, 0, r)
	if err != nil {
		t.Fatalf("CompareAndSwap(%q): %v", r.Key, err)
	}
	return rev
}

func has(t testing.TB, s *Store, key string) {
	t.Helper()
	if _, _, err := s.Get(t.Context(), key); err != nil {
		t.Errorf("Get(%q): %v", key, err)
	}
}

func lacks(t testing.TB, s *Store, key string) {
	t.Helper()
	if _, _, err := s.Get(t.Context(), key); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Get(%q) = %v, want %q", key, err, storage.ErrNotFound)
	}
}

// commits returns how many transactions were ever committed to the database.
func commits(t testing.TB, s *Store) (n int) {
	t.Helper()
	if err := s.file.db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// rawUpdate writes what no call would.
func rawUpdate(t testing.TB, s *Store, fn func(*tables) error) {
	t.Helper()
	_, err := s.submit(t.Context(), func(tables *tables) (storage.Revision, error) {
		tables.wrote = true
		return 0, fn(tables)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// size is how many entries the tables have.
type size struct{ records, terms, expiries int }

func sizeOf(t testing.TB, s *Store) (n size) {
	t.Helper()
	err := s.file.db.View(func(tx *bbolt.Tx) error {
		tables, err := tablesOf(tx)
		if err != nil {
			return err
		}
		count := func(b *bbolt.Bucket) (n int) {
			_ = b.ForEach(func(_, _ []byte) error { n++; return nil })
			return n
		}
		n = size{count(tables.records), count(tables.terms), count(tables.expiries)}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// verify checks that the pages of the database are sound, and that its indexes say exactly what
// its records do.
func verify(t testing.TB, db *bbolt.DB) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("check: %v", err)
		}
		tables, err := tablesOf(tx)
		if err != nil {
			return err
		}
		terms, expiries := 0, 0
		err = tables.records.ForEach(func(k, v []byte) error {
			e, err := decodeEntry(v)
			if err != nil {
				return fmt.Errorf("record %q: %w", k, err)
			}
			if uint64(e.revision) > tables.meta.Sequence() {
				t.Errorf("record %q has revision %d, but the last one given is %d", k, e.revision, tables.meta.Sequence())
			}
			for _, term := range e.termList() {
				terms++
				if tables.terms.Get(termEntry(term, string(k))) == nil {
					t.Errorf("record %q is not indexed under term %q", k, term)
				}
			}
			expiries++
			if tables.expiries.Get(expiryEntry(e.expiry, string(k))) == nil {
				t.Errorf("record %q is not indexed under its expiry", k)
			}
			return nil
		})
		if err != nil {
			return err
		}
		extra := func(name string, b *bbolt.Bucket, want int) {
			n := 0
			_ = b.ForEach(func(_, _ []byte) error { n++; return nil })
			if n != want {
				t.Errorf("the index of %s has %d entries, want %d", name, n, want)
			}
		}
		extra("terms", tables.terms, terms)
		extra("expiries", tables.expiries, expiries)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// verifyFile is verify of a database that is closed.
func verifyFile(t testing.TB, path string) {
	t.Helper()
	f, err := openBolt(path, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Error(err)
		return
	}
	verify(t, f.db)
	if err := f.close(); err != nil {
		t.Error(err)
	}
}

// dirContent is all that an Open might change around a file.
func dirContent(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, e.Name(), info.Mode(), info.Size())
	}
	return b.String()
}

func errorSays(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one that says %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

// tellsNoSecret checks that an error quotes nothing with the word secret in it.
func tellsNoSecret(t testing.TB, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the error tells a secret: %v", err)
	}
}

// pagesOf returns how many pages the database reaches to.
func pagesOf(t testing.TB, s *Store) (n int) {
	t.Helper()
	err := s.file.db.View(func(tx *bbolt.Tx) error { n = int(tx.Size()) / s.file.db.Info().PageSize; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}
