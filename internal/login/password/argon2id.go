package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

const argon2idPrefix = "$argon2id$"

// Bounds of argon2id's parameters. RFC 9106, section 3.1, sets those of the algorithm; these are
// within them and keep one hash from occupying the machine.
const (
	// maxArgon2Memory is what the first recommended option of RFC 9106, section 4, takes, in KiB.
	maxArgon2Memory = 2 << 20

	// maxArgon2Work bounds memory times passes, in KiB: some seconds on a processor.
	maxArgon2Work = 4 << 20

	// minArgon2Salt is the 64 bits that RFC 9106, section 4, goes down to, in bytes.
	minArgon2Salt = 8

	// minArgon2Key is the 128 bits that RFC 9106, section 4, finds sufficient, in bytes.
	minArgon2Key = 16
)

// argon2idHash is checked with x/crypto/argon2 itself. The libraries around it take the text apart
// again at every check, and by looser rules than a configuration should be read by.
type argon2idHash struct {
	memory    uint32 // KiB
	passes    uint32
	threads   uint8
	salt, key []byte
}

// defaultHash has the parameters of the hashes that are made here: those of caddy hash-password, so
// that all users cost the same, and the first of the equivalent choices that OWASP's Password Storage
// Cheat Sheet lists. One pass over much memory, rather than more passes over less, is what costs a
// guesser's hardware most in a given time, and one thread leaves the other processors to other people.
var defaultHash = &argon2idHash{memory: 46 << 10, passes: 1, threads: 1, salt: make([]byte, 16), key: make([]byte, 32)}

// newArgon2id hashes a password with the parameters of defaultHash and a salt of its own.
func newArgon2id(password []byte) *argon2idHash {
	h := *defaultHash
	h.salt = make([]byte, len(defaultHash.salt))
	rand.Read(h.salt) // never fails: crypto/rand ends the process instead
	h.key = argon2.IDKey(password, h.salt, h.passes, h.memory, h.threads, uint32(len(defaultHash.key)))
	return &h
}

// String is the hash in the form that parseArgon2id reads.
func (h *argon2idHash) String() string {
	return fmt.Sprintf("%sv=%d$m=%d,t=%d,p=%d$%s$%s", argon2idPrefix, argon2.Version, h.memory, h.passes, h.threads,
		strict.EncodeToString(h.salt), strict.EncodeToString(h.key))
}

// outdated reports whether a hash has other parameters than those that are made now.
func outdated(h hash) bool {
	a, ok := h.(*argon2idHash)
	return !ok || a.memory != defaultHash.memory || a.passes != defaultHash.passes || a.threads != defaultHash.threads ||
		len(a.salt) != len(defaultHash.salt) || len(a.key) != len(defaultHash.key)
}

// strict refuses the second spellings that base64 allows.
var strict = base64.RawStdEncoding.Strict()

// parseArgon2id reads the PHC string format, in the one way that argon2's reference implementation
// writes it: $argon2id$v=19$m=47104,t=1,p=1$salt$key.
func parseArgon2id(text string) (hash, error) {
	fields := strings.Split(strings.TrimPrefix(text, argon2idPrefix), "$")
	if len(fields) != 4 {
		return nil, errors.New("argon2id: not of the form $argon2id$v=19$m=...,t=...,p=...$salt$key")
	}
	if fields[0] != "v="+strconv.Itoa(argon2.Version) {
		return nil, fmt.Errorf("argon2id: only version %d is supported", argon2.Version)
	}
	params := strings.Split(fields[1], ",")
	if len(params) != 3 {
		return nil, errors.New("argon2id: the parameters are not m, t and p")
	}
	memory, okMemory := parseParam(params[0], "m=", 32)
	passes, okPasses := parseParam(params[1], "t=", 32)
	threads, okThreads := parseParam(params[2], "p=", 8)
	salt, errSalt := strict.DecodeString(fields[2])
	key, errKey := strict.DecodeString(fields[3])

	switch {
	case !okMemory:
		return nil, errors.New("argon2id: the first parameter is not m, a number of KiB")
	case !okPasses:
		return nil, errors.New("argon2id: the second parameter is not t, a number of passes of at least 1")
	case !okThreads:
		return nil, errors.New("argon2id: the third parameter is not p, a number of threads from 1 to 255")
	case memory < 8*threads: // RFC 9106, section 3.1
		return nil, fmt.Errorf("argon2id: %d KiB of memory are less than 8 for each of %d threads", memory, threads)
	case memory > maxArgon2Memory:
		return nil, fmt.Errorf("argon2id: %d KiB of memory are more than %d", memory, maxArgon2Memory)
	case memory*passes > maxArgon2Work: // 32 bits each
		return nil, fmt.Errorf("argon2id: %d passes over %d KiB are more work than one over %d KiB", passes, memory, maxArgon2Work)
	case errSalt != nil:
		return nil, errors.New("argon2id: the salt is not unpadded base64")
	case errKey != nil:
		return nil, errors.New("argon2id: the key is not unpadded base64")
	case len(salt) < minArgon2Salt:
		return nil, fmt.Errorf("argon2id: a salt of %d bytes is shorter than %d", len(salt), minArgon2Salt)
	case len(key) < minArgon2Key:
		return nil, fmt.Errorf("argon2id: a key of %d bytes is shorter than %d", len(key), minArgon2Key)
	}
	return &argon2idHash{
		memory:  uint32(memory),
		passes:  uint32(passes),
		threads: uint8(threads),
		salt:    salt,
		key:     key,
	}, nil
}

// parseParam reads a positive decimal number after its name, without leading zeros.
func parseParam(text, name string, bits int) (n uint64, ok bool) {
	digits, ok := strings.CutPrefix(text, name)
	if !ok || strings.HasPrefix(digits, "0") {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, bits)
	return n, err == nil
}

func (h *argon2idHash) matches(password []byte) bool {
	key := argon2.IDKey(password, h.salt, h.passes, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// decoy has a random key. To find a password for it is to invert the hash.
func (h *argon2idHash) decoy() hash {
	d := *h
	d.salt, d.key = make([]byte, len(h.salt)), make([]byte, len(h.key))
	rand.Read(d.salt) // never fails: crypto/rand ends the process instead
	rand.Read(d.key)
	return &d
}

func (h *argon2idHash) cost() cost {
	return cost{memory: int64(h.memory), threads: int64(h.threads)}
}
