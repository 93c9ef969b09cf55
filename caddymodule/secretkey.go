package caddymodule

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/newfile"
)

// KeyKeeper is a StoreOpener that can keep a secret key beside its store. The key must not be in the
// store: whoever has a copy of the store must not be able to decrypt what is in it.
type KeyKeeper interface {
	// SecretKey returns the key, and creates it if there is none. All processes get the same key.
	SecretKey() ([]byte, error)
}

// secretKeys returns the keys that the gateway encrypts with: the first encrypts, all decrypt. If none
// is configured, it is the key beside the store, which the first call creates. So it is called only
// if there is something to encrypt.
func (a *App) secretKeys(opener StoreOpener) ([][]byte, error) {
	if len(a.keys) > 0 {
		return a.keys, nil
	}
	keeper, ok := opener.(KeyKeeper)
	if !ok {
		return nil, errNoSecretKey
	}
	key, err := keeper.SecretKey()
	if err != nil {
		return nil, err
	}
	return [][]byte{key}, nil
}

var errNoSecretKey = errors.New("secret_key: is needed, because the store cannot keep a key beside it: set one that is the same wherever the gateway runs")

// minSecretKeyBytes is the least length of a secret key, so that it cannot be guessed. Every encoding
// of 32 random bytes is longer.
const minSecretKeyBytes = 32

// provisionSecretKeys replaces the placeholders of the configured keys. Its errors show no part of a
// key.
func (a *App) provisionSecretKeys() error {
	for i, text := range a.SecretKeys {
		key, err := replacePlaceholders(text)
		if err != nil {
			return fmt.Errorf("secret_key: key %d: %w", i+1, err)
		}
		if len(key) < minSecretKeyBytes {
			return fmt.Errorf("secret_key: key %d: must have %d characters at least; `openssl rand -base64 32` makes one", i+1, minSecretKeyBytes)
		}
		a.keys = append(a.keys, []byte(key))
	}
	return nil
}

// validateSecretKeys refuses a store that cannot keep a key, if one is needed and none is configured.
func (a *App) validateSecretKeys(opener StoreOpener) error {
	if len(a.keys) > 0 || len(a.logins.Providers()) == 0 {
		return nil
	}
	if _, ok := opener.(KeyKeeper); !ok {
		return errNoSecretKey
	}
	return nil
}

// replacePlaceholders replaces the global placeholders of a text, such as {env.NAME} and
// {file./run/name}. Its errors do not show the text: what looks like a placeholder can be part of a
// secret.
func replacePlaceholders(text string) (string, error) {
	value, err := caddy.NewReplacer().ReplaceOrErr(text, true, true)
	if err != nil {
		return "", errPlaceholder
	}
	return value, nil
}

var errPlaceholder = errors.New("has a placeholder that is not known or empty; write braces that are none as \\{ and \\}")

// A key file is one line: what the file is, and 32 random bytes in base64url.
const (
	keyFileSuffix = ".key"
	keyFilePrefix = "multi_session-key-1 "
	keyBytes      = 32
)

// SecretKey implements KeyKeeper. The key is in a file beside the database, which only the gateway's
// user may read. A file that is damaged, or that others can read, is an error and stays as it is: with
// a new key, everything encrypted with the old one would be lost.
func (s *BBoltStore) SecretKey() ([]byte, error) {
	path := s.path + keyFileSuffix
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = newfile.Write(path, newKey()); err == nil {
			key, err = readKey(path) // another process may have created it first
			currentLogger("multi_session.store").Info("a key was made; keep it when you move the database", zap.String("file", path))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

// newKey returns the content of a key file with a new key.
func newKey() []byte {
	key := make([]byte, keyBytes)
	rand.Read(key) // never fails
	return formatKey(key)
}

// formatKey returns the content of a key file.
func formatKey(key []byte) []byte {
	return []byte(keyFilePrefix + base64.RawURLEncoding.EncodeToString(key) + "\n")
}

// readKey returns the key in a file.
func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() { // opening a pipe would block
		return nil, errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, plain(err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("has mode %04o: others than its owner can read or change it; `chmod 600` helps where nobody did", mode)
	}
	content, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return nil, plain(err)
	}
	return parseKey(content)
}

// parseKey returns the key in the content of a file.
func parseKey(content []byte) ([]byte, error) {
	if len(content) == 0 {
		return nil, fmt.Errorf("is empty; %s", restoreKey)
	}
	text, ok := bytes.CutPrefix(content, []byte(keyFilePrefix))
	if !ok {
		return nil, fmt.Errorf("is not a key of this gateway; %s", restoreKey)
	}
	key, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(key) != keyBytes || !bytes.Equal(content, formatKey(key)) {
		return nil, fmt.Errorf("is damaged; %s", restoreKey)
	}
	return key, nil
}

// restoreKey tells what to do about a lost key.
const restoreKey = "put back the file from a backup, or remove it: a new one is made then, and who signed in at a provider has to sign in again sooner or later"

// plain removes the path from an error of the file system: callers name it.
func plain(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// Interface guards
var _ KeyKeeper = (*BBoltStore)(nil)
