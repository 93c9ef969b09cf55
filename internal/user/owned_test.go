package user

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/storage"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

func TestFoldName(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b string
		same bool
	}{
		"case":                        {"Dave", "dave", true},
		"another name":                {"dave", "davel", false},
		"punctuation":                 {"da.ve", "dave", false},
		"case beyond ASCII":           {"ÉMILE", "émile", true},
		"composed and not":            {"e\u0301mile", "émile", true},
		"wide letters":                {"\uff44\uff41\uff56\uff45", "dave", true},
		"a ligature":                  {"\ufb01ona", "fiona", true},
		"the Kelvin sign":             {"\u212aarl", "karl", true},
		"a zero width space":          {"dave\u200b", "dave", true},
		"a zero width space within":   {"da\u200bve", "DAVE", true},
		"a soft hyphen":               {"da\u00adve", "dave", true},
		"a word joiner":               {"\u2060dave", "dave", true},
		"a mark of direction":         {"\u202edave", "dave", true},
		"a variation selector":        {"dave\ufe0f", "dave", true},
		"a Hangul filler":             {"dave\u3164", "dave", true},
		"a combining grapheme joiner": {"da\u034fve", "dave", true},
		"a tag":                       {"dave\U000e0061", "dave", true},
		"a no-break space":            {"Dave\u00a0Doe", "dave doe", true},
		"two spaces of another width": {"Dave\u2003\u2003Doe", "dave doe", true},
		"invisible between letters with an accent": {"é\u200bmile", "émile", true},
		"a space is seen":                          {"da\u00a0ve", "dave", false},
		"an accent is seen":                        {"davé", "dave", false},
		"a letter of another script":               {"d\u0430ve", "dave", false},
		"a joiner that Persian needs":              {"\u0646\u0627\u0645\u0647\u200c\u0627\u06cc", "\u0646\u0627\u0645\u0647\u0627\u06cc", false},
	} {
		if got := FoldName(tc.a) == FoldName(tc.b); got != tc.same {
			t.Errorf("%s: %+q and %+q are one name: %t, want %t", name, FoldName(tc.a), FoldName(tc.b), got, tc.same)
		}
		if again := FoldName(FoldName(tc.a)); again != FoldName(tc.a) {
			t.Errorf("%s: folded twice it is %+q and not %+q", name, again, FoldName(tc.a))
		}
	}
}

// claim claims a name, and reports whether the account got it.
func claim(t testing.TB, users *Users, account, name string) bool {
	t.Helper()
	err := users.ClaimName(t.Context(), name, account)
	if err != nil && !errors.Is(err, ErrNameTaken) {
		t.Fatal(err)
	}
	return err == nil
}

// noteName stores whose a name is as earlier releases did.
func noteName(t testing.TB, store storage.Store, folded, account string) {
	t.Helper()
	notes := session.NewNotes(store, func() time.Time { return start })
	if err := notes.Put(t.Context(), "user-name", folded, []byte(account), noExpiry); err != nil {
		t.Fatal(err)
	}
}

// keysOf returns how many records of a store begin with a prefix.
func keysOf(t testing.TB, store storage.Store, prefix string) (n int) {
	t.Helper()
	if err := store.Walk(t.Context(), prefix, func(storage.Record) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func problems(t testing.TB, users *Users) (found []string) {
	t.Helper()
	if _, err := users.Check(t.Context(), func(problem string) { found = append(found, problem) }); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestNamesOfEarlierReleasesStay: whose a name is was in notes once, and is the same after the upgrade.
func TestNamesOfEarlierReleasesStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	open := func(readOnly bool) *boltstore.Store {
		store, err := boltstore.Open(path, boltstore.Options{ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	old := open(false)
	noteName(t, old, "alice", "corp:1")
	noteName(t, old, "émile doe", "corp:2")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{true, false, false} {
		store := open(readOnly)
		users := load(t, store)
		for name, want := range map[string]string{"Alice": "corp:1", "Émile Doe": "corp:2", "bob": ""} {
			if owner, owned := users.NameOwner(name); owner != want || owned != (want != "") {
				t.Errorf("read only %t: %s is of %q", readOnly, name, owner)
			}
		}
		if notes, names := keysOf(t, store, "note:"), keysOf(t, store, namePrefix); !readOnly && (notes != 0 || names != 2) {
			t.Errorf("%d notes and %d names are stored", notes, names)
		}
		if found := problems(t, users); !readOnly && found != nil {
			t.Error(found)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	store := open(false)
	defer store.Close()
	users := load(t, store)
	if claim(t, users, "github:9", "ALICE") || !claim(t, users, "corp:1", "alice") {
		t.Error("alice is not corp:1's")
	}
	if account, owned, err := users.ReleaseName(t.Context(), "alice"); account != "corp:1" || !owned || err != nil {
		t.Errorf("released %q, %t, %v", account, owned, err)
	}
	if users = load(t, store); !claim(t, users, "github:9", "alice") {
		t.Error("the name was not released for good")
	}
}

// TestAttackNameThatLooksTheSame: a name with characters that nobody sees is the name without them.
func TestAttackNameThatLooksTheSame(t *testing.T) {
	users := load(t, newStore(t))
	create(t, users, "erin", "")
	if !claim(t, users, "corp:1", "dave") {
		t.Fatal("dave is nobody's and was refused")
	}
	for _, name := range []string{"dave\u200b", "\u00addave", "\uff24ave", "erin\u2060", "ERIN"} {
		if claim(t, users, "corp:2", name) {
			t.Errorf("%+q was given to another account", name)
		}
	}
	if !claim(t, users, "corp:1", "Dave\u200b") {
		t.Error("the account was refused another spelling of its own name")
	}
}

// TestNamesThatLookedDifferentBefore: two accounts whose names have become one keep them, nobody else
// gets either, and a check says so.
func TestNamesThatLookedDifferentBefore(t *testing.T) {
	store := newStore(t)
	noteName(t, store, "dave", "corp:1")
	noteName(t, store, "dave\u200b", "corp:2")
	noteName(t, store, "erin\u200b", "corp:3")
	noteName(t, store, "zoe\u200b", "corp:4")
	users := load(t, store)
	if _, err := users.Create(t.Context(), User{Name: "zoe"}, true); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for account, name := range map[string]string{"corp:1": "Dave", "corp:2": "dave\u200b", "corp:3": "erin\u200b", "corp:4": "zoe\u200b"} {
			if !claim(t, users, account, name) {
				t.Errorf("%s has lost %+q", account, name)
			}
		}
		for _, name := range []string{"dave", "dave\u200b", "dave\u2060", "erin", "erin\u200b", "zoe\u200b", "zoe"} {
			if claim(t, users, "corp:9", name) {
				t.Errorf("%+q was given to another account", name)
			}
		}
		users = load(t, store)
	}
	if !users.KeepsName("dave\u200b", "corp:2") || users.KeepsName("dave\u200b", "corp:9") || !users.KeepsName("zoe\u200b", "corp:4") {
		t.Error("it is not known who keeps a name")
	}
	found := problems(t, users)
	for _, accounts := range [][]string{{"corp:1", "corp:2"}, {"corp:4"}} {
		told := func(problem string) bool {
			return !slices.ContainsFunc(accounts, func(account string) bool { return !strings.Contains(problem, account) })
		}
		if len(found) != 2 || !slices.ContainsFunc(found, told) {
			t.Errorf("of %v the problems say %q", accounts, found)
		}
	}
	if n := keysOf(t, store, namePrefix); n != 4 {
		t.Errorf("%d names are stored", n)
	}
}

// TestAttackNameSquatting: an account that renames itself over and over does not keep any number of
// names from others.
func TestAttackNameSquatting(t *testing.T) {
	users := load(t, newStore(t))
	got := 0
	for i := range 60 {
		if claim(t, users, "corp:1", fmt.Sprint("name", i)) {
			got++
		}
	}
	if got != maxOwnedNames {
		t.Errorf("the account has %d names, want %d", got, maxOwnedNames)
	}
	if !claim(t, users, "corp:1", "name0") {
		t.Error("the account has lost a name that it had")
	}
	if !claim(t, users, "corp:2", "name59") {
		t.Error("another account does not get a free name")
	}
	if _, _, err := users.ReleaseName(t.Context(), "name0"); err != nil {
		t.Fatal(err)
	}
	if !claim(t, users, "corp:1", "name20") {
		t.Error("after a release the account gets no further name")
	}
}

// TestSignUpAgainstSignIn: of somebody who signs up and an account of a provider, one gets the name.
func TestSignUpAgainstSignIn(t *testing.T) {
	users := load(t, newStore(t))
	for i := range 50 {
		name := fmt.Sprint("name", i)
		var signUp, signIn error
		var both sync.WaitGroup
		both.Go(func() { _, signUp = users.Create(t.Context(), User{Name: name}, false) })
		both.Go(func() { signIn = users.ClaimName(t.Context(), name, fmt.Sprint("corp:", i)) })
		both.Wait()
		if (signUp == nil) == (signIn == nil) {
			t.Fatalf("signed up: %v; signed in: %v", signUp, signIn)
		}
	}
	if _, err := users.Create(t.Context(), User{Name: "name0"}, true); err != nil && !errors.Is(err, ErrNameTaken) {
		t.Error(err)
	}
}

func TestSpoiltNames(t *testing.T) {
	key := nameKey("alice")
	for name, tc := range map[string]struct{ key, value string }{
		"of a later release": {key, `{"v":2,"account":"corp:1"}`},
		"of no account":      {key, `{"v":1,"name":"alice","account":""}`},
		"of no login":        {key, `{"v":1,"name":"alice","account":":1"}`},
		"under another key":  {key, `{"v":1,"name":"bob","account":"corp:1"}`},
		"with more":          {key, `{"v":1,"name":"alice","account":"corp:1","x":1}`},
		"no JSON":            {key, `x`},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t)
			users := load(t, store)
			record := storage.Record{Key: tc.key, Value: []byte(tc.value), Expiry: noExpiry}
			if _, err := store.CompareAndSwap(t.Context(), tc.key, 0, record); err != nil {
				t.Fatal(err)
			}
			if found := problems(t, users); len(found) != 1 || !strings.Contains(found[0], tc.key) {
				t.Errorf("the problems are %q", found)
			}
			if err := new(Saved).Add(record); !errors.Is(err, ErrUnreadable) {
				t.Errorf("in a backup: %v", err)
			}
			if _, err := Load(t.Context(), store, time.Now); !errors.Is(err, ErrUnreadable) {
				t.Errorf("loaded: %v", err)
			}
		})
	}
}
