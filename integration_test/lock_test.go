package integration

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// footprint is what a command that only looks leaves as it was: every file below a directory, by
// size, time and content.
func footprint(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var sum [sha256.Size]byte
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = sha256.Sum256(content)
		}
		files = append(files, fmt.Sprintf("%s %s %d %s %x", path, info.Mode(), info.Size(), info.ModTime().Format(time.RFC3339Nano), sum))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// validate runs caddy validate on a Caddyfile, and returns what it wrote and how it ended.
func (g *gateway) validate(caddyfile string) (string, error) {
	g.t.Helper()
	path := filepath.Join(g.t.TempDir(), "Caddyfile")
	if err := os.WriteFile(path, []byte(g.globals(caddyfile)), 0o600); err != nil {
		g.t.Fatal(err)
	}
	out, err := g.command("validate", "--config", path, "--adapter", "caddyfile").CombinedOutput()
	return string(out), err
}

// TestValidateOpensNothing: a configuration can be checked beside the server that has its database
// open. Nothing is waited for, read or written.
func TestValidateOpensNothing(t *testing.T) {
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	dir := filepath.Join(g.dir, "store")
	database := filepath.Join(dir, "sessions.db")
	on := func(database string) string {
		return site(address, up.address(), storeAt(database), "multi_session")
	}
	g.start(on(database))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")

	damaged := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(damaged, []byte("not a database"), 0o400); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, database, dir string }{
		{"open in the server", database, dir},
		{"not there yet", filepath.Join(dir, "new", "sessions.db"), dir},
		{"damaged", damaged, filepath.Dir(damaged)},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := footprint(t, c.dir)
			if out, err := g.validate(on(c.database)); err != nil || !strings.Contains(out, "Valid configuration") {
				t.Fatalf("%v\n%s", err, out)
			}
			if after := footprint(t, c.dir); !slices.Equal(before, after) {
				t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
		})
	}
	t.Run("invalid", func(t *testing.T) {
		out, err := g.validate(strings.Replace(on(database), "$2a$04$", "$2a$99$", 1))
		if err == nil || !strings.Contains(out, "alice") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	// With the default path, which is in Caddy's data directory.
	t.Run("default path", func(t *testing.T) {
		if out, err := g.validate(plain(address, up.address())); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if _, err := os.Stat(filepath.Join(g.dir, "data", "caddy", "multi_session.db")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the database: %v", err)
		}
	})
	if got := b.active(); got != "alice" {
		t.Errorf("active is %q", got)
	}
	b.signIn("bob")
	noErrors(t, g)
}

// fails launches a gateway that must not come up, and returns what it logged.
func (g *gateway) fails(caddyfile string) string {
	g.t.Helper()
	g.launch(caddyfile)
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	select {
	case <-g.ended:
	case <-ctx.Done():
		g.t.Fatalf("the process goes on:\n%s", g.log)
	}
	if code := g.cmd.ProcessState.ExitCode(); code == 0 {
		g.t.Fatalf("exit code %d:\n%s", code, g.log)
	}
	if strings.Contains(g.log.String(), "goroutine ") {
		g.t.Fatalf("it panicked:\n%s", g.log)
	}
	return g.log.String()
}

// TestSecondProcess starts another gateway on the database of one that runs.
func TestSecondProcess(t *testing.T) {
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	database := filepath.Join(g.dir, "sessions.db")
	g.start(site(address, up.address(), storeAt(database), "multi_session"))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")

	second := newGateway(t)
	secondAddress := freeAddress(t)
	config := site(secondAddress, up.address(), storeAt(database), "multi_session")
	log := second.fails(config)
	for _, want := range []string{database, "locked by another process", "another gateway"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
	if got := b.active(); got != "alice" {
		t.Errorf("active is %q", got)
	}
	b.signIn("bob")
	if got := b.accounts(); !slices.Equal(got, []string{"alice", "bob"}) {
		t.Errorf("accounts: %v", got)
	}
	noErrors(t, g)

	// Once the first has ended the second can have it, with all that is in it.
	g.stop()
	second.start(config)
	b.base = "http://" + secondAddress
	if got := b.accounts(); !slices.Equal(got, []string{"alice", "bob"}) {
		t.Errorf("accounts in the second: %v", got)
	}
}

// usedBytes returns how much of a database file is in use. The rest is kept in reserve, for a disk that
// gets full.
func usedBytes(t *testing.T, path string) (n int64) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error { n = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDamagedDatabase: a file that is no sound database is refused by name, and stays as it is.
func TestDamagedDatabase(t *testing.T) {
	up := newEcho(t)
	g := newGateway(t)
	address := freeAddress(t)
	sound := filepath.Join(g.dir, "sound.db")
	on := func(database string) string {
		return site(address, up.address(), storeAt(database), "multi_session")
	}
	g.start(on(sound))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	g.stop()
	content, err := os.ReadFile(sound)
	if err != nil {
		t.Fatal(err)
	}
	used := usedBytes(t, sound)
	metaOverwritten := slices.Clone(content)
	copy(metaOverwritten, strings.Repeat("garbage ", 2*os.Getpagesize()/8))

	for name, damaged := range map[string][]byte{
		"garbage":          []byte(strings.Repeat("garbage ", 8192)),
		"short garbage":    []byte("x"),
		"zero-length":      {},
		"zeroes":           make([]byte, len(content)),
		"truncated":        content[:used/2],
		"truncated to two": content[:2*os.Getpagesize()],
		"without its head": metaOverwritten,
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			dir := filepath.Join(g.dir, "store")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "sessions.db")
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			before := footprint(t, dir)
			if log := g.fails(on(path)); !strings.Contains(log, path) {
				t.Errorf("the log does not name the file:\n%s", log)
			}
			if after := footprint(t, dir); !slices.Equal(before, after) {
				t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
		})
	}
	g.start(on(sound))
	if got := b.active(); got != "alice" {
		t.Errorf("with the sound one active is %q", got)
	}
}
