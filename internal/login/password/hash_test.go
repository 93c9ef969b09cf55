package password

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Hashes of "correct horse" as caddy hash-password printed them.
const (
	caddyPassword = "correct horse"
	caddyArgon2id = "$argon2id$v=19$m=47104,t=1,p=1$peJqENdKNwjfouFpyixssQ$DJ6l+l9+6KMT8VQroOFNbFsqgoSaPl1YxvXH83z4gXw"
	caddySmall    = "$argon2id$v=19$m=64,t=3,p=4$xzXqNxOMXI7wUcsq9go6FQ$Oonrj6gtOfrzA6VrpwCHyg"
	caddyBcrypt   = "$2a$04$.wTUBxKsephr2r/5WLznUOXJjUNpKgkPeMtPdIShG07m45J3iYZg."
)

// production has the parameters of the hashes that are made outside of tests.
var production = *defaultHash

// TestMain has tests make cheap hashes: what depends on the parameters is tested with production.
func TestMain(m *testing.M) {
	defaultHash.memory = 64
	os.Exit(m.Run())
}

// TestNewHashesAreLikeCaddys: users whose hashes are made here cost as much as those of the configuration.
func TestNewHashesAreLikeCaddys(t *testing.T) {
	cheap := *defaultHash
	*defaultHash = production
	defer func() { *defaultHash = cheap }()
	if outdated(mustParse(t, caddyArgon2id)) {
		t.Error("the hash of caddy hash-password has other parameters than those that are made here")
	}
	made := newArgon2id([]byte(caddyPassword))
	if outdated(made) || !mustParse(t, made.String()).matches([]byte(caddyPassword)) {
		t.Errorf("%s is not a hash as caddy hash-password makes it", made)
	}
}

// cheapArgon2id is a hash that takes next to no time to check.
func cheapArgon2id(t testing.TB, password string, memory uint32) string {
	t.Helper()
	salt := []byte("salt for " + t.Name())[:16]
	key := argon2.IDKey([]byte(password), salt, 1, memory, 1, 32)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=1,p=1$%s$%s", memory, encode(salt), encode(key))
}

// cheapBcrypt is likewise.
func cheapBcrypt(t testing.TB, password string) string {
	t.Helper()
	text, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mustParse(t testing.TB, text string) hash {
	t.Helper()
	h, err := parseHash(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestParseHash(t *testing.T) {
	const (
		salt = "peJqENdKNwjfouFpyixssQ"
		key  = "DJ6l+l9+6KMT8VQroOFNbFsqgoSaPl1YxvXH83z4gXw"
	)
	argon2id := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt + "$" + key }
	for name, tc := range map[string]struct{ text, err string }{
		"argon2id by default":     {caddyArgon2id, ""},
		"argon2id with options":   {caddySmall, ""},
		"argon2id of RFC 9106, 1": {argon2id("m=2097152,t=1,p=4"), ""},
		"argon2id of RFC 9106, 2": {argon2id("m=65536,t=3,p=4"), ""},
		"argon2id, most threads":  {argon2id("m=2040,t=1,p=255"), ""},
		"bcrypt":                  {caddyBcrypt, ""},
		"bcrypt 2b":               {strings.Replace(caddyBcrypt, "2a", "2b", 1), ""},
		"bcrypt 2y":               {strings.Replace(caddyBcrypt, "2a", "2y", 1), ""},
		"bcrypt of 16":            {strings.Replace(caddyBcrypt, "$04$", "$16$", 1), ""},
		"bcrypt, stray salt bits": {"$2a$04$.wTUBxKsephr2r/5WLznUPXJjUNpKgkPeMtPdIShG07m45J3iYZg.", ""},

		"none":                    {"", "missing"},
		"a password":              {"correct horse battery", "white space"},
		"a password of one word":  {"Tr0ub4dor", "neither an argon2id nor a bcrypt hash"},
		"another algorithm":       {"$scrypt$ln=15,r=8,p=1$" + salt + "$" + key, "neither an argon2id nor a bcrypt hash"},
		"argon2i":                 {strings.Replace(caddyArgon2id, "argon2id", "argon2i", 1), "only the argon2id variant"},
		"argon2d":                 {strings.Replace(caddyArgon2id, "argon2id", "argon2d", 1), "only the argon2id variant"},
		"upper case":              {strings.ToUpper(caddyArgon2id), "neither"},
		"something before":        {"x" + caddyArgon2id, "neither"},
		"a line break after":      {caddyArgon2id + "\n", "white space"},
		"a line break inside":     {strings.Replace(caddyArgon2id, salt, salt[:4]+"\n"+salt[4:], 1), "white space"},
		"a NUL after":             {caddyBcrypt[:59] + "\x00", "white space"},
		"very long":               {caddyArgon2id + strings.Repeat("A", maxHashBytes), "neither"},
		"dollars eaten by shell":  {"=19=47104,t=1,p=1", "neither"},
		"no version":              {"$argon2id$m=47104,t=1,p=1$" + salt + "$" + key, "not of the form"},
		"old version":             {strings.Replace(caddyArgon2id, "v=19", "v=16", 1), "only version 19"},
		"version with more":       {strings.Replace(caddyArgon2id, "v=19", "v=190", 1), "only version 19"},
		"no key":                  {"$argon2id$v=19$m=47104,t=1,p=1$" + salt, "not of the form"},
		"one field more":          {caddyArgon2id + "$x", "not of the form"},
		"one parameter less":      {argon2id("m=47104,t=1"), "not m, t and p"},
		"one parameter more":      {argon2id("m=47104,t=1,p=1,data=x"), "not m, t and p"},
		"parameters mixed up":     {argon2id("t=1,m=47104,p=1"), "first parameter is not m"},
		"memory of 0":             {argon2id("m=0,t=1,p=1"), "first parameter is not m"},
		"memory with a sign":      {argon2id("m=+64,t=1,p=1"), "first parameter is not m"},
		"memory with a 0 before":  {argon2id("m=064,t=1,p=1"), "first parameter is not m"},
		"memory of 33 bits":       {argon2id("m=4294967297,t=1,p=1"), "first parameter is not m"},
		"0 passes":                {argon2id("m=47104,t=0,p=1"), "second parameter is not t"},
		"passes not a number":     {argon2id("m=47104,t=1x,p=1"), "second parameter is not t"},
		"0 threads":               {argon2id("m=47104,t=1,p=0"), "third parameter is not p"},
		"256 threads":             {argon2id("m=47104,t=1,p=256"), "third parameter is not p"},
		"memory below RFC 9106":   {argon2id("m=31,t=1,p=4"), "less than 8 for each"},
		"memory of 4 TiB":         {argon2id("m=4294967295,t=1,p=1"), "more than 2097152"},
		"passes for hours":        {argon2id("m=47104,t=4294967295,p=1"), "more work"},
		"padded salt":             {strings.Replace(caddyArgon2id, salt, salt+"==", 1), "salt is not unpadded base64"},
		"salt with stray bits":    {strings.Replace(caddyArgon2id, salt, salt[:21]+"R", 1), "salt is not unpadded base64"},
		"URL base64":              {strings.Replace(caddyArgon2id, "+", "-", 1), "key is not unpadded base64"},
		"no salt":                 {"$argon2id$v=19$m=47104,t=1,p=1$$" + key, "a salt of 0 bytes"},
		"short salt":              {"$argon2id$v=19$m=47104,t=1,p=1$QUJDREVGRw$" + key, "a salt of 7 bytes"},
		"short key":               {"$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$QUJDREVGR0hJSktMTU5P", "a key of 15 bytes"},
		"bcrypt cut short":        {caddyBcrypt[:59], "not 60 characters"},
		"bcrypt with more":        {caddyBcrypt + ".", "not 60 characters"},
		"bcrypt 2x":               {strings.Replace(caddyBcrypt, "2a", "2x", 1), "only the versions"},
		"bcrypt without version":  {"$2$04$" + caddyBcrypt[7:] + "A", "only the versions"},
		"bcrypt of 3":             {strings.Replace(caddyBcrypt, "$04$", "$03$", 1), "a cost of 3"},
		"bcrypt of 17":            {strings.Replace(caddyBcrypt, "$04$", "$17$", 1), "a cost of 17"},
		"bcrypt cost with a sign": {strings.Replace(caddyBcrypt, "$04$", "$+4$", 1), "not two digits"},
		"bcrypt cost of 3 digits": {strings.Replace(caddyBcrypt, "$04$.", "$104$", 1), "not two digits"},
		"bcrypt, wrong alphabet":  {caddyBcrypt[:59] + "+", "key is not bcrypt's base64"},
		"bcrypt, wrong salt":      {strings.Replace(caddyBcrypt, ".wTU", "+wTU", 1), "salt is not bcrypt's base64"},
		"bcrypt, stray key bits":  {caddyBcrypt[:59] + "/", "key is not bcrypt's base64"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseHash(tc.text)
			switch {
			case tc.err == "" && err != nil:
				t.Errorf("%v, want it accepted", err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Errorf("got the error %v, want one about %q", err, tc.err)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	longest := strings.Repeat("x", maxBcryptPassword)
	for name, tc := range map[string]struct {
		text, password string
		want           bool
	}{
		"argon2id, right":              {caddyArgon2id, caddyPassword, true},
		"argon2id, wrong":              {caddyArgon2id, "correct horsf", false},
		"argon2id with options, right": {caddySmall, caddyPassword, true},
		"argon2id with options, wrong": {caddySmall, "", false},
		"bcrypt, right":                {caddyBcrypt, caddyPassword, true},
		"bcrypt, wrong":                {caddyBcrypt, "correct horsf", false},
		"bcrypt as 2y":                 {strings.Replace(caddyBcrypt, "2a", "2y", 1), caddyPassword, true},
		"bcrypt, 72 bytes":             {cheapBcrypt(t, longest), longest, true},
		"no normalisation":             {cheapArgon2id(t, "\u00e9", 8), "e\u0301", false},
		"spaces count":                 {cheapArgon2id(t, "a", 8), "a ", false},

		// What bcrypt itself holds to be equal.
		"attack: bcrypt cuts off":    {cheapBcrypt(t, longest), longest + "y", false},
		"attack: bcrypt repeats":     {cheapBcrypt(t, "ab"), "ab\x00ab", false},
		"attack: decoy of argon2id":  {"decoy " + caddySmall, caddyPassword, false},
		"attack: decoy of bcrypt":    {"decoy " + caddyBcrypt, caddyPassword, false},
		"attack: empty for argon2id": {"decoy " + caddySmall, "", false},
		"attack: empty for bcrypt":   {"decoy " + caddyBcrypt, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			text, isDecoy := strings.CutPrefix(tc.text, "decoy ")
			h := mustParse(t, text)
			if isDecoy {
				h = h.decoy()
			}
			if got := h.matches([]byte(tc.password)); got != tc.want {
				t.Errorf("matches(%q) = %t", tc.password, got)
			}
		})
	}
}

func TestDecoyTakesTheSameWork(t *testing.T) {
	for _, text := range []string{caddyArgon2id, caddySmall, caddyBcrypt} {
		h := mustParse(t, text)
		d := h.decoy()
		if work(h) != work(d) {
			t.Errorf("the decoy of %s has the parameters %s", work(h), work(d))
		}
		if d.cost() != h.cost() {
			t.Errorf("the decoy of %s costs %v, want %v", work(h), d.cost(), h.cost())
		}
		if b, ok := d.(bcryptHash); ok {
			mustParse(t, string(b)) // or x/crypto/bcrypt gives up on it before hashing
		}
	}
}

// work says what decides how long a hash takes to check.
func work(h hash) string {
	switch h := h.(type) {
	case *argon2idHash:
		return fmt.Sprintf("argon2id m=%d t=%d p=%d salt=%d key=%d", h.memory, h.passes, h.threads, len(h.salt), len(h.key))
	case bcryptHash:
		return "bcrypt " + string(h[:bcryptPrefixChars])
	}
	return fmt.Sprintf("%T", h)
}

// FuzzParseHash wants no text to make the parser panic, repeat the text, or accept what would
// occupy the machine or make the algorithms panic.
func FuzzParseHash(f *testing.F) {
	for _, text := range []string{
		"", caddyArgon2id, caddySmall, caddyBcrypt, "$argon2id$v=19$m=0,t=0,p=0$$", "$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAA$AAAA",
		"$2a$31$", "$2$", "$argon2id$", "secret",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHash(text)
		if err != nil {
			if len(text) > 32 && strings.Contains(err.Error(), text) {
				t.Errorf("the error repeats the text: %v", err)
			}
			return
		}
		if len(text) > maxHashBytes {
			t.Errorf("%d bytes are accepted", len(text))
		}
		for _, h := range []hash{h, h.decoy()} {
			switch h := h.(type) {
			case *argon2idHash:
				if h.passes < 1 || h.threads < 1 || h.memory < 8*uint32(h.threads) || h.memory > maxArgon2Memory ||
					uint64(h.memory)*uint64(h.passes) > maxArgon2Work || len(h.salt) < minArgon2Salt || len(h.key) < minArgon2Key {
					t.Errorf("%s is accepted", work(h))
				}
			case bcryptHash:
				if cost, err := bcrypt.Cost(h); err != nil || cost > maxBcryptCost {
					t.Errorf("%s is accepted: %v", work(h), err)
				}
			default:
				t.Error("nothing was parsed")
			}
		}
	})
}

func TestErrorsKeepSecrets(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, text := range []string{
		secret,
		"$" + secret + "$",
		"$argon2id$" + secret,
		"$argon2id$" + secret + "$m=47104,t=1,p=1$AAAA$AAAA",
		"$argon2id$v=19$" + secret + "$AAAA$AAAA",
		"$argon2id$v=19$m=" + secret + ",t=" + secret + ",p=" + secret + "$AAAA$AAAA",
		"$argon2id$v=19$m=47104,t=1,p=1$" + secret + "$" + secret,
		"$2" + secret,
		"$2a$" + secret + strings.Repeat("x", 60-4-len(secret)),
	} {
		_, err := newMethod(t, Config{Users: []User{{Name: "alice", Hash: text}}})
		if err == nil || !strings.Contains(err.Error(), `user "alice": hash: `) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
