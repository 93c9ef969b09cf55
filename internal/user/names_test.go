package user

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/storage"
)

// TestNames makes random changes of names and addresses, and compares after each what the users say
// with lists that know the rules in their plainest form, at once and after a start.
func TestNames(t *testing.T) {
	pool := []string{"carol", "Carol", "dave", "erin.e", "FRANK", "frank", "a", "gina-g"}
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			store := newStore(t)
			users := load(t, store)
			type person struct {
				name, email string
			}
			now := make(map[string]*person)         // by id
			had := make(map[string]map[string]bool) // who had a name once, by name
			keep := func(name, id string) {
				if had[Fold(name)] == nil {
					had[Fold(name)] = make(map[string]bool)
				}
				had[Fold(name)][id] = true
			}
			has := func(id string, of func(*person) string, text string) bool {
				for other, p := range now {
					if other != id && text != "" && Fold(of(p)) == Fold(text) {
						return true
					}
				}
				return false
			}
			name := func(p *person) string { return p.name }
			email := func(p *person) string { return p.email }
			want := func(id, n, e string, changes, reuse bool) error {
				switch {
				case has(id, name, n):
					return ErrNameTaken
				case changes && !reuse && len(had[Fold(n)]) > 0 && (!had[Fold(n)][id] || len(had[Fold(n)]) > 1):
					return ErrNameTaken
				case has(id, email, e):
					return ErrEmailTaken
				}
				return nil
			}
			for range 60 {
				n, e, reuse := pool[random.IntN(len(pool))], "", random.IntN(3) == 0
				if random.IntN(2) == 0 {
					e = Fold(pool[random.IntN(len(pool))]) + "@example.org"
				}
				ids := slices.Sorted(maps.Keys(now))
				switch move := random.IntN(5); {
				case move < 2 || len(ids) == 0:
					expected := want("", n, e, true, reuse)
					u, err := users.Create(t.Context(), User{Name: n, Email: e}, reuse)
					if !errors.Is(err, expected) {
						t.Fatalf("create %s %s, reuse %t: %v, want %v", n, e, reuse, err, expected)
					}
					if err == nil {
						now[u.ID] = &person{name: n, email: e}
					}
				case move < 4:
					id := ids[random.IntN(len(ids))]
					p := now[id]
					changes := Fold(p.name) != Fold(n)
					expected := want(id, n, e, changes, reuse)
					_, err := users.Change(t.Context(), id, reuse, func(u *User) error { u.Name, u.Email = n, e; return nil })
					if !errors.Is(err, expected) {
						t.Fatalf("change %s to %s %s, reuse %t: %v, want %v", p.name, n, e, reuse, err, expected)
					}
					if err == nil {
						if changes {
							keep(p.name, id)
						}
						p.name, p.email = n, e
					}
				default:
					id := ids[random.IntN(len(ids))]
					if _, err := users.Delete(t.Context(), id); err != nil {
						t.Fatal(err)
					}
					keep(now[id].name, id)
					delete(now, id)
				}
				for _, users := range []*Users{users, load(t, store)} {
					if users.Len() != len(now) {
						t.Fatalf("there are %d users, want %d", users.Len(), len(now))
					}
					shortest, longest := MaxNameChars, 0
					for id, p := range now {
						shortest, longest = min(shortest, len(p.name)), max(longest, len(p.name))
						for _, text := range []string{id, p.name, strings.ToUpper(p.name), p.email, strings.ToUpper(p.email)} {
							if u, ok := users.Find(text); text != "" && (!ok || u.ID != id || u.Name != p.name || u.Email != p.email) {
								t.Fatalf("%s finds %v, want %s", text, u, id)
							}
						}
					}
					if s, l := users.NameLengths(); s != shortest || l != longest {
						t.Fatalf("names have %d to %d characters, want %d to %d", s, l, shortest, longest)
					}
				}
			}
		})
	}
}

func FuzzName(f *testing.F) {
	for _, name := range []string{"carol", "Carol.C_1-x", "..", "-rf", "~id", "a@b", "\u212aate", "a\x00b", strings.Repeat("x", 65), ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if ValidateName(name) != nil {
			return
		}
		switch {
		case IsID(name) || ValidateEmail(name) == nil:
			t.Errorf("%q looks like an id or an address", name)
		case strings.ContainsAny(name, "/\\:@,; \t\r\n\x00") || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "."):
			t.Errorf("%q is more than a name", name)
		case Fold(Fold(name)) != Fold(name) || Fold(strings.ToUpper(name)) != Fold(name):
			t.Errorf("%q does not fold to one name", name)
		}
		if err := (&User{ID: "~x", Name: name}).Validate(); err != nil {
			t.Errorf("nobody can be called %q: %v", name, err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	u := &User{
		ID: "~x", Name: "Carol", Email: "carol@example.org", EmailVerified: true, DisplayName: "C", Picture: "https://example.org/c", Groups: []string{"a"},
		Disabled: true, Hash: "$2a$", Epoch: 7, FormerNames: []string{"was"}, CreatedAt: start, UpdatedAt: start,
	}
	for _, deleted := range []bool{false, true} {
		record, err := encodeUser(u, deleted)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record.Value)
	}
	i := &Invitation{ID: "i", Email: "carol@example.org", Groups: []string{"a"}, Uses: 2, CreatedAt: start, ExpiresAt: start.Add(time.Hour)}
	record, err := encodeInvitation("invitation:x", i)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record.Value)
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`{"v":1,"id":"~x","name":"` + strings.Repeat("x", session.MaxEmailBytes) + `"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		u, deleted, err := decodeUser(storage.Record{Key: "user:~x", Value: value})
		if err != nil && !errors.Is(err, ErrUnreadable) {
			t.Errorf("a record that cannot be read is %v", err)
		}
		if err == nil {
			record, err := encodeUser(u, deleted)
			if err != nil {
				return // of a year that JSON has no form for
			}
			again, stillDeleted, err := decodeUser(record)
			if err != nil || stillDeleted != deleted || !sameUser(u, again) {
				t.Errorf("%s is read as %+v and written as %s, which is %+v, %v", value, u, record.Value, again, err)
			}
		}
		invitation, err := decodeInvitation(storage.Record{Key: "invitation:x", Value: value})
		if err == nil && (invitation.ID == "" || invitation.Uses < 1) {
			t.Errorf("%s is an invitation that lets nobody in", value)
		}
	})
}

// sameUser compares users, whose times may be of other zones, and empty lists of two kinds.
func sameUser(a, b *User) bool {
	a, b = a.clone(), b.clone()
	same := a.CreatedAt.Equal(b.CreatedAt) && a.UpdatedAt.Equal(b.UpdatedAt) && slices.Equal(a.Groups, b.Groups) && slices.Equal(a.FormerNames, b.FormerNames)
	a.CreatedAt, a.UpdatedAt, a.Groups, a.FormerNames = b.CreatedAt, b.UpdatedAt, b.Groups, b.FormerNames
	return same && reflect.DeepEqual(a, b)
}
