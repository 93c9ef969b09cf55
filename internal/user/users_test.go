package user

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

var start = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func newStore(t testing.TB) *boltstore.Store {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "users.db"), boltstore.Options{
		Now: func() time.Time { return start }, SweepInterval: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func load(t testing.TB, store storage.Store) *Users {
	t.Helper()
	users, err := Load(t.Context(), store, func() time.Time { return start })
	if err != nil {
		t.Fatal(err)
	}
	return users
}

func create(t testing.TB, users *Users, name, email string) *User {
	t.Helper()
	u, err := users.Create(t.Context(), User{Name: name, Email: email}, false)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func rename(t testing.TB, users *Users, u *User, name string, reuse bool) error {
	t.Helper()
	_, err := users.Change(t.Context(), u.ID, reuse, func(u *User) error { u.Name = name; return nil })
	return err
}

func TestNamesAreNotGivenOutTwice(t *testing.T) {
	store := newStore(t)
	users := load(t, store)
	carol := create(t, users, "Carol", "")
	erin := create(t, users, "erin", "")
	if err := rename(t, users, carol, "caroline", false); err != nil {
		t.Fatal(err)
	}
	if _, err := users.Delete(t.Context(), erin.ID); err != nil {
		t.Fatal(err)
	}
	for name, users := range map[string]*Users{"at once": users, "after a start": load(t, store)} {
		t.Run(name, func(t *testing.T) {
			for _, name := range []string{"carol", "CAROL", "Caroline", "erin", "ERIN"} {
				if _, err := users.Create(t.Context(), User{Name: name}, false); !errors.Is(err, ErrNameTaken) {
					t.Errorf("%s: %v, want that the name is taken", name, err)
				}
			}
			if _, err := users.Create(t.Context(), User{Name: "CAROLINE"}, true); !errors.Is(err, ErrNameTaken) {
				t.Errorf("an administrator gives a name that somebody has: %v", err)
			}
		})
	}
	if err := rename(t, users, carol, "CAROL", false); err != nil {
		t.Errorf("back to the own name: %v", err)
	}
	given, err := users.Create(t.Context(), User{Name: "Erin"}, true)
	if err != nil {
		t.Fatalf("an administrator gives a deleted user's name: %v", err)
	}
	if err := rename(t, users, given, "ERIN", false); err != nil {
		t.Errorf("who was given a name cannot keep it: %v", err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	users := load(t, newStore(t))
	carol := create(t, users, "carol", "carol@example.org")
	create(t, users, "dave", "dave@example.org")
	refuse := errors.New("no")
	for name, tc := range map[string]struct {
		edit func(*User) error
		want error
	}{
		"another's name":    {func(u *User) error { u.Name = "DAVE"; return nil }, ErrNameTaken},
		"another's address": {func(u *User) error { u.Email = "dave@example.org"; return nil }, ErrEmailTaken},
		"what edit refuses": {func(u *User) error { u.Name = "x"; return refuse }, refuse},
	} {
		if _, err := users.Change(t.Context(), carol.ID, false, tc.edit); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	for name, edit := range map[string]func(*User){
		"no name":                   func(u *User) { u.Name = "" },
		"an id as a name":           func(u *User) { u.Name = carol.ID },
		"a long name":               func(u *User) { u.Name = strings.Repeat("x", 65) },
		"a name that is an option":  func(u *User) { u.Name = "-rf" },
		"a name that is a parent":   func(u *User) { u.Name = ".." },
		"a letter that looks alike": func(u *User) { u.Name = "\u0441arol" },
		"a letter that folds to k":  func(u *User) { u.Name = "\u212aate" },
		"an address in capitals":    func(u *User) { u.Email = "Carol@example.org" },
		"an address with a name":    func(u *User) { u.Email = "Carol <carol@example.org>" },
		"an address at a number":    func(u *User) { u.Email = "carol@[192.0.2.1]" },
		"no address, verified":      func(u *User) { u.Email, u.EmailVerified = "", true },
		"a name that breaks lines":  func(u *User) { u.DisplayName = "a\r\nb" },
		"a picture that runs":       func(u *User) { u.Picture = "javascript:alert(1)" },
		"a group with a comma":      func(u *User) { u.Groups = []string{"a,b"} },
	} {
		_, err := users.Change(t.Context(), carol.ID, true, func(u *User) error { edit(u); return nil })
		if _, ok := errors.AsType[*InvalidError](err); !ok {
			t.Errorf("%s: %v, want an *InvalidError", name, err)
		}
	}
	if now, _ := users.ByID(carol.ID); now != carol {
		t.Errorf("carol is %+v now", now)
	}
	if _, err := users.Change(t.Context(), "~x", true, func(*User) error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody is changed: %v", err)
	}
	if _, err := users.Delete(t.Context(), "~x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody is deleted: %v", err)
	}
}

// TestOneNameOneUser has many ask for one name and one address at once.
func TestOneNameOneUser(t *testing.T) {
	users := load(t, newStore(t))
	const n = 16
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			u := User{Name: "one"}
			if i%2 == 0 {
				u = User{Name: fmt.Sprint("user", i), Email: "one@example.org"}
			}
			_, errs[i] = users.Create(context.Background(), u, true)
		})
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else if !errors.Is(err, ErrNameTaken) && !errors.Is(err, ErrEmailTaken) {
			t.Error(err)
		}
	}
	if made != 2 || users.Len() != 2 {
		t.Errorf("%d users were made and there are %d, want one of the name and one of the address", made, users.Len())
	}
}

func TestInvitationsHaveNoMoreUsesThanTheySay(t *testing.T) {
	users := load(t, newStore(t))
	_, code, err := users.Invite(t.Context(), Invitation{Uses: 3, Groups: []string{"dev"}, ExpiresAt: start.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	create(t, users, "taken", "")
	if _, err := users.CreateInvited(t.Context(), User{Name: "taken"}, code); !errors.Is(err, ErrNameTaken) {
		t.Fatalf("a name that is taken: %v", err) // and the use is given back
	}
	const n = 12
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			_, errs[i] = users.CreateInvited(context.Background(), User{Name: fmt.Sprint("user", i)}, code)
		})
	}
	wg.Wait()
	refused := 0
	for _, err := range errs {
		if errors.Is(err, ErrInvitation) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if refused != n-3 || users.Len() != 4 {
		t.Errorf("%d are refused and there are %d users, want %d and 4", refused, users.Len(), n-3)
	}
	if u := users.All()[1]; !slices.Equal(u.Groups, []string{"dev"}) {
		t.Errorf("who was invited is in %v", u.Groups)
	}
	if left, err := users.Invitations(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("invitations that are left: %v, %v", left, err)
	}
}

func TestInvitationsForAnAddress(t *testing.T) {
	users := load(t, newStore(t))
	made, code, err := users.Invite(t.Context(), Invitation{Uses: 1, Email: "carol@example.org", ExpiresAt: start.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{"", "dave@example.org"} {
		if _, err := users.CreateInvited(t.Context(), User{Name: "dave", Email: email}, code); !errors.Is(err, ErrInvitation) {
			t.Errorf("%q: %v, want that the code is not good", email, err)
		}
	}
	if err := users.Admissible(t.Context(), "x"+code, "carol@example.org"); !errors.Is(err, ErrInvitation) {
		t.Errorf("another code: %v", err)
	}
	if err := users.Admissible(t.Context(), made.ID, "carol@example.org"); !errors.Is(err, ErrInvitation) {
		t.Errorf("the id as a code: %v", err)
	}
	if _, err := users.CreateInvited(t.Context(), User{Name: "carol", Email: "carol@example.org"}, code); err != nil {
		t.Error(err)
	}
}

// brokenStore writes what it is told, and then says that it may not have.
type brokenStore struct {
	storage.Store
	broken bool
}

func (s *brokenStore) CompareAndSwap(ctx context.Context, key string, rev storage.Revision, next storage.Record) (storage.Revision, error) {
	revision, err := s.Store.CompareAndSwap(ctx, key, rev, next)
	if err == nil && s.broken {
		return 0, errors.New("the connection broke")
	}
	return revision, err
}

func TestAStoreThatBreaksAfterTheWrite(t *testing.T) {
	store := &brokenStore{Store: newStore(t)}
	users := load(t, store)
	carol := create(t, users, "carol", "")
	store.broken = true
	if err := rename(t, users, carol, "caroline", false); err != nil {
		t.Fatalf("what was written is not taken for it: %v", err)
	}
	store.broken = false
	if err := rename(t, users, carol, "lina", false); err != nil {
		t.Fatal(err)
	}
	if now, _ := load(t, store).ByID(carol.ID); now.Name != "lina" {
		t.Errorf("stored is %s", now.Name)
	}
}

func TestUnreadableUsersAreNotLeftOut(t *testing.T) {
	for name, value := range map[string]string{
		"a later release":          `{"v":2,"id":"~x","name":"x"}`,
		"a member of it":           `{"v":1,"id":"~x","name":"x","admin":true,"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z"}`,
		"damaged":                  `{"v":1,"id":"~x","na`,
		"another's":                `{"v":1,"id":"~y","name":"x","created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z"}`,
		"of a name that cannot be": `{"v":1,"id":"~x","name":"../x","created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z"}`,
		"of another's name":        `{"v":1,"id":"~x","name":"CAROL","created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z"}`,
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t)
			users := load(t, store)
			create(t, users, "carol", "")
			record := storage.Record{Key: "user:~x", Value: []byte(value), Expiry: noExpiry}
			if _, err := store.CompareAndSwap(t.Context(), record.Key, 0, record); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(t.Context(), store, time.Now); !errors.Is(err, ErrUnreadable) {
				t.Errorf("load: %v, want that a user is not readable", err)
			}
			var problems []string
			n, err := users.Check(t.Context(), func(problem string) { problems = append(problems, problem) })
			if err != nil || len(problems) != 1 || n < 1 {
				t.Errorf("check: %d users, problems %q, %v", n, problems, err)
			}
		})
	}
}

func TestScheme(t *testing.T) {
	for hash, want := range map[string]string{
		"$argon2id$v=19$m=47104,t=1,p=1$salt$key": "$argon2id$v=19$m=47104,t=1,p=1",
		"$2a$14$saltandkey":                       "$2a$14",
		"$2y":                                     "$2y",
		"plain":                                   "plain",
	} {
		if got := scheme(hash); got != want {
			t.Errorf("scheme of %s is %s, want %s", hash, got, want)
		}
	}
}

func benchUsers(b *testing.B, n int) (*boltstore.Store, *Users, []string) {
	b.Helper()
	store := newStore(b)
	users := load(b, store)
	ids := make([]string, n)
	var wg sync.WaitGroup
	const writers = 64 // they share the store's commits, though not the lock of the users
	for w := range writers {
		wg.Go(func() {
			for i := w; i < n; i += writers {
				u := &User{
					ID: newID(), Name: fmt.Sprintf("user%d", i), Email: fmt.Sprintf("user%d@example.org", i), Groups: []string{"dev", "ops"},
					Hash: "$argon2id$v=19$m=47104,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", CreatedAt: start, UpdatedAt: start,
				}
				record, err := encodeUser(u, false)
				if err == nil {
					_, err = store.CompareAndSwap(context.Background(), record.Key, 0, record)
				}
				if err != nil {
					b.Error(err)
				}
				ids[i] = u.ID
			}
		})
	}
	wg.Wait()
	if err := users.Reload(b.Context()); err != nil {
		b.Fatal(err)
	}
	return store, users, ids
}

func BenchmarkByID(b *testing.B) {
	_, users, ids := benchUsers(b, 10_000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := users.ByID(ids[i%len(ids)]); !ok {
			b.Fatal("a user is missing")
		}
		i++
	}
}

func BenchmarkLoad(b *testing.B) {
	store, _, ids := benchUsers(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		if load(b, store).Len() != len(ids) {
			b.Fatal("users are missing")
		}
	}
}

// TestReadOnly: a database that no release with users has written can be looked at.
func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	for _, readOnly := range []bool{false, true} { // the first one makes the file
		store, err := boltstore.Open(path, boltstore.Options{ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		if readOnly {
			users := load(t, store)
			if _, err := users.Create(t.Context(), User{Name: "alice"}, false); !errors.Is(err, storage.ErrReadOnly) {
				t.Errorf("create: %v, want %v", err, storage.ErrReadOnly)
			}
			if users.Len() != 0 || len(users.Secret()) != secretBytes {
				t.Errorf("%d users, a secret of %d bytes", users.Len(), len(users.Secret()))
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A store of a release that knew of no users has no secret yet, and is in order.
func TestCheckOfAStoreWithoutASecret(t *testing.T) {
	store := newStore(t)
	users := load(t, store)
	forget := func() {
		t.Helper()
		_, revision, err := store.Get(t.Context(), secretKey)
		if err == nil {
			err = store.Delete(t.Context(), secretKey, revision)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func() (problems []string) {
		t.Helper()
		if _, err := users.Check(t.Context(), func(problem string) { problems = append(problems, problem) }); err != nil {
			t.Fatal(err)
		}
		return problems
	}
	forget()
	if problems := check(); len(problems) > 0 {
		t.Errorf("without users: %q", problems)
	}
	create(t, users, "carol", "")
	if problems := check(); len(problems) != 1 {
		t.Errorf("with a user: %q, want that the secret is missing", problems)
	}
}
