package caddymodule

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
)

// keyedStore is a store in a directory of its own, and the path of its key.
func keyedStore(t *testing.T) (*BBoltStore, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	return &BBoltStore{path: path}, path + ".key"
}

func TestSecretKeyIsMadeOnce(t *testing.T) {
	store, path := keyedStore(t)
	first, err := store.SecretKey()
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 32 || bytes.Equal(first, make([]byte, 32)) {
		t.Errorf("key of %d bytes", len(first))
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", info, err)
	}
	again, err := (&BBoltStore{path: store.path}).SecretKey()
	if err != nil || !bytes.Equal(again, first) {
		t.Errorf("another key afterwards, %v", err)
	}
	other, _ := keyedStore(t)
	if key, err := other.SecretKey(); err != nil || bytes.Equal(key, first) {
		t.Errorf("the same key for another database, %v", err)
	}
}

// TestSecretKeyOfManyAtOnce has processes that start at the same moment: with two keys, each would
// refuse what the other one sealed.
func TestSecretKeyOfManyAtOnce(t *testing.T) {
	store, path := keyedStore(t)
	keys := make([][]byte, 16)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range keys {
		wg.Go(func() {
			<-start
			var err error
			if keys[i], err = (&BBoltStore{path: store.path}).SecretKey(); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	for _, key := range keys {
		if !bytes.Equal(key, keys[0]) {
			t.Fatal("there are two keys")
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestSecretKeyRefusesDamagedFiles(t *testing.T) {
	whole := string(newKey())
	tests := map[string]struct{ content, want string }{
		"empty":                    {"", "is empty"},
		"a prefix alone":           {keyFilePrefix, "is damaged"},
		"cut in the prefix":        {whole[:5], "is not a key"},
		"cut in the key":           {whole[:len(whole)-7], "is damaged"},
		"cut by the line's end":    {whole[:len(whole)-1], "is damaged"},
		"two keys":                 {whole + whole, "is damaged"},
		"something behind":         {whole + "x", "is damaged"},
		"a line's end inside":      {whole[:30] + "\n" + whole[30:], "is damaged"},
		"another alphabet":         {keyFilePrefix + strings.Repeat("+", 43) + "\n", "is damaged"},
		"bits that mean nothing":   {keyFilePrefix + strings.Repeat("A", 42) + "B\n", "is damaged"},
		"zeros, as after a crash":  {strings.Repeat("\x00", len(whole)), "is not a key"},
		"the bytes themselves":     {strings.Repeat("k", 32), "is not a key"},
		"of a version to come":     {strings.Replace(whole, "-1 ", "-2 ", 1), "is not a key"},
		"a whole database":         {strings.Repeat("database", 4096), "is not a key"},
		"a key and much behind it": {whole + strings.Repeat("\n", 4096), "is damaged"},
		"white space before it":    {" " + whole, "is not a key"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			store, path := keyedStore(t)
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			key, err := store.SecretKey()
			if err == nil {
				t.Fatalf("took %q", key)
			}
			if !strings.HasPrefix(err.Error(), "key file "+path+": "+test.want) {
				t.Errorf("says %q", err)
			}
			if strings.Contains(err.Error(), whole[len(keyFilePrefix):40]) {
				t.Errorf("tells of the key: %q", err)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != test.content {
				t.Errorf("the file was changed: %q, %v", after, err)
			}
		})
	}
}

func TestSecretKeyRefusesAFileThatOthersCanRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes on Windows")
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o644, 0o660, 0o620, 0o602, 0o610} {
		store, path := keyedStore(t)
		if _, err := store.SecretKey(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := store.SecretKey(); err == nil || !strings.Contains(err.Error(), path+": has mode 0"+modeText(mode)) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	store, path := keyedStore(t)
	if _, err := store.SecretKey(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := store.SecretKey(); err != nil {
		t.Errorf("mode 0400: %v", err)
	}
}

func modeText(mode fs.FileMode) string {
	return string([]byte{'0' + byte(mode>>6&7), '0' + byte(mode>>3&7), '0' + byte(mode&7)})
}

func TestSecretKeyRefusesWhatIsNoFile(t *testing.T) {
	store, path := keyedStore(t)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := store.SecretKey(); err == nil || !strings.Contains(err.Error(), path+": is not a regular file") {
		t.Errorf("%v", err)
	}
}

// keylessStore is a store that can keep no key.
type keylessStore struct{}

func (keylessStore) Resource() string                     { return "keyless:" }
func (keylessStore) OpenStore(*zap.Logger) (Store, error) { return nil, errors.New("cannot be opened") }

func TestSecretKeys(t *testing.T) {
	store, path := keyedStore(t)
	long := strings.Repeat("0123456789abcdef", 2)
	t.Setenv("TEST_SECRET_KEY", "of the environment "+long)

	app := &App{SecretKeys: []string{"{env.TEST_SECRET_KEY}", "older " + long}}
	if err := app.provisionSecretKeys(); err != nil {
		t.Fatal(err)
	}
	for _, opener := range []StoreOpener{store, keylessStore{}} {
		keys, err := app.secretKeys(opener)
		if err != nil || len(keys) != 2 || string(keys[0]) != "of the environment "+long || string(keys[1]) != "older "+long {
			t.Errorf("%q, %v", keys, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was made that nobody needs: %v", err)
	}

	kept, err := new(App).secretKeys(store)
	if err != nil || len(kept) != 1 || len(kept[0]) != 32 {
		t.Errorf("%d keys, %v", len(kept), err)
	}
	if _, err := new(App).secretKeys(keylessStore{}); err == nil || !strings.Contains(err.Error(), "secret_key") {
		t.Errorf("%v", err)
	}
}
