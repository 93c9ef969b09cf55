package password

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

// newUsers is an empty store of users.
func newUsers(t testing.TB) *user.Users {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "users.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	users, err := user.Load(t.Context(), store, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return users
}

// withUsers is a method with an empty store of users.
func withUsers(t testing.TB, c Config) (*Method, *user.Users) {
	t.Helper()
	users := newUsers(t)
	return mustMethod(t, c).With(users), users
}

// add stores a user whose password is cheap to check.
func add(t testing.TB, users *user.Users, name, email, password string) *user.User {
	t.Helper()
	u, err := users.Create(t.Context(), user.User{Name: name, Email: email, EmailVerified: email != "", Hash: cheapArgon2id(t, password, 8)}, false)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func change(t testing.TB, users *user.Users, u *user.User, edit func(*user.User)) *user.User {
	t.Helper()
	changed, err := users.Change(t.Context(), u.ID, true, func(u *user.User) error { edit(u); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func TestAuthenticateStoredUsers(t *testing.T) {
	m, users := withUsers(t, Config{Users: aliceAndBob(t), Limits: limits})
	carol := add(t, users, "Carol", "carol@example.com", "caf\u00e9 au lait")
	disabled := add(t, users, "dave", "dave@example.com", "disabled dave")
	change(t, users, disabled, func(u *user.User) { u.Disabled = true })
	if _, err := users.Create(t.Context(), user.User{Name: "erin"}, false); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		credentials login.Credentials
		subject     string
		err         error
	}{
		"by name":                         {byName("carol", "caf\u00e9 au lait"), carol.ID, nil},
		"by e-mail":                       {byEmail("CAROL@example.com", "caf\u00e9 au lait"), carol.ID, nil},
		"the same letters, decomposed":    {byName("Carol", "cafe\u0301 au lait"), carol.ID, nil},
		"a configured user beside":        {byName("bob", "builder"), "bob", nil},
		"wrong password":                  {byName("carol", "cafe au lait"), "", login.ErrBadCredentials},
		"an id as a name":                 {byName(carol.ID, "caf\u00e9 au lait"), "", login.ErrBadCredentials},
		"name and e-mail together":        {both("carol", "carol@example.com", "caf\u00e9 au lait"), "", login.ErrBadCredentials},
		"disabled, with the password":     {byName("dave", "disabled dave"), "", login.ErrDisabled},
		"disabled, by e-mail":             {byEmail("dave@example.com", "disabled dave"), "", login.ErrDisabled},
		"disabled, with a wrong one":      {byName("dave", "enabled dave"), "", login.ErrBadCredentials},
		"without a password":              {byName("erin", "anything at all"), "", login.ErrBadCredentials},
		"empty password of one without":   {byName("erin", ""), "", login.ErrBadCredentials},
		"password of the configured user": {byName("carol", "builder"), "", login.ErrBadCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			identity, err := m.Authenticate(t.Context(), tc.credentials)
			if !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if tc.err == login.ErrBadCredentials && errors.Is(err, login.ErrDisabled) {
				t.Error("whoever does not know the password is told that the account is disabled")
			}
			if err == nil && identity.Account != (session.Account{Method: "password", Subject: tc.subject}) {
				t.Errorf("signed in as %v, want %s", identity.Account, tc.subject)
			}
		})
	}
}

// What a user of the configuration is called, nobody else is, whoever came first.
func TestConfiguredUsersWin(t *testing.T) {
	users := newUsers(t)
	byNameToo := add(t, users, "ALICE", "other@example.com", "stored alice")
	byEmailToo := add(t, users, "someone", "alice@example.com", "stored someone")
	other := add(t, users, "carol", "carol@example.com", "stored carol")
	before := mustMethod(t, Config{}).With(users)
	recorded := make(map[string]*session.Identity)
	for _, u := range []*user.User{byNameToo, byEmailToo, other} {
		identity, err := before.Authenticate(t.Context(), byName(u.Name, "stored "+strings.ToLower(u.Name)))
		if err != nil {
			t.Fatal(err)
		}
		recorded[u.ID] = identity
	}

	m := mustMethod(t, Config{Users: aliceAndBob(t)}).With(users)
	for _, c := range []login.Credentials{
		byName("alice", "stored alice"), byEmail("other@example.com", "stored alice"),
		byName("someone", "stored someone"), byEmail("alice@example.com", "stored someone"),
	} {
		if identity, err := m.Authenticate(t.Context(), c); !errors.Is(err, login.ErrBadCredentials) {
			t.Errorf("%+v signed in as %v, %v", c.Identifier, identity, err)
		}
	}
	if identity, err := m.Authenticate(t.Context(), byName("alice", "wonderland")); err != nil || identity.Account.Subject != "Alice" {
		t.Errorf("the configured alice: %v, %v", identity, err)
	}
	for id, want := range map[string]bool{byNameToo.ID: false, byEmailToo.ID: false, other.ID: true} {
		if _, ok := m.Current(recorded[id]); ok != want {
			t.Errorf("sessions of %s live: %t, want %t", recorded[id].UserName, ok, want)
		}
	}
	var shadowed []string
	for _, u := range m.Shadowed() {
		shadowed = append(shadowed, u.Name)
	}
	if !slices.Equal(shadowed, []string{"ALICE", "someone"}) {
		t.Errorf("shadowed: %v", shadowed)
	}
	// So the roster ends their sessions for good.
	if subjects := m.Subjects(); !slices.Contains(subjects, byNameToo.ID) || !slices.Contains(subjects, byEmailToo.ID) || slices.Contains(subjects, other.ID) {
		t.Errorf("subjects: %v", subjects)
	}
}

func TestCurrentOfStoredUsers(t *testing.T) {
	m, users := withUsers(t, Config{})
	u := add(t, users, "carol", "carol@example.com", "stored carol")
	recorded, err := m.Authenticate(t.Context(), byName("carol", "stored carol"))
	if err != nil {
		t.Fatal(err)
	}
	current := func() (*session.Identity, bool) { return m.Current(recorded) }

	now, ok := current()
	if again, _ := current(); !ok || again != now {
		t.Errorf("the identity of an unchanged user is made anew: %v, %t", now, ok)
	}
	change(t, users, u, func(u *user.User) { u.Groups = []string{"admin"}; u.DisplayName = "Carol" })
	if now, ok = current(); !ok || !slices.Equal(now.Groups, []string{"admin"}) || now.Name != "Carol" {
		t.Errorf("changed: %v, %t", now, ok)
	}
	change(t, users, u, func(u *user.User) { u.Disabled = true })
	if _, ok = current(); ok {
		t.Error("disabled: still somebody")
	}
	change(t, users, u, func(u *user.User) { u.Disabled = false; u.Epoch++ })
	if _, ok = current(); ok {
		t.Error("an identity of an earlier epoch is somebody")
	}
	later := *recorded
	later.Epoch += 2
	if _, ok = m.Current(&later); ok {
		t.Error("an identity of a later epoch is somebody")
	}
	if recorded, err = m.Authenticate(t.Context(), byName("carol", "stored carol")); err != nil {
		t.Fatal(err)
	}
	if _, err := users.Delete(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok = current(); ok {
		t.Error("deleted: still somebody")
	}
	if _, ok := mustMethod(t, Config{}).Current(recorded); ok {
		t.Error("a method without stored users has one")
	}
}

func TestHashesAreRenewed(t *testing.T) {
	for name, hash := range map[string]string{
		"other argon2id parameters": cheapArgon2id(t, "stored carol", 8),
		"bcrypt":                    cheapBcrypt(t, "stored carol"),
	} {
		t.Run(name, func(t *testing.T) {
			m, users := withUsers(t, Config{})
			u, err := users.Create(t.Context(), user.User{Name: "carol", Hash: hash}, false)
			if err != nil {
				t.Fatal(err)
			}
			hashNow := func() string { u, _ := users.ByID(u.ID); return u.Hash }

			if _, err := m.Authenticate(t.Context(), byName("carol", "stored mallory")); !errors.Is(err, login.ErrBadCredentials) || hashNow() != hash {
				t.Fatalf("wrong password: %v", err)
			}
			identity, err := m.Authenticate(t.Context(), byName("carol", "stored carol"))
			if err != nil {
				t.Fatal(err)
			}
			renewed := hashNow()
			if outdated(mustParse(t, renewed)) {
				t.Fatalf("the hash is %.40s", renewed)
			}
			if _, ok := m.Current(identity); !ok {
				t.Error("a renewed hash ended the session that it was renewed for")
			}
			if _, err := m.Authenticate(t.Context(), byName("carol", "stored carol")); err != nil || hashNow() != renewed {
				t.Errorf("with the new hash: %v; renewed again: %t", err, hashNow() != renewed)
			}
		})
	}
}

// A renewed hash must not undo a change of the password that was made meanwhile.
func TestRenewedHashGivesWay(t *testing.T) {
	m, users := withUsers(t, Config{})
	u := add(t, users, "carol", "", "stored carol")
	change(t, users, u, func(u *user.User) { u.Hash = cheapArgon2id(t, "another one", 8) })
	m.renewHash(t.Context(), u, []byte("stored carol"))
	if _, err := m.Authenticate(t.Context(), byName("carol", "another one")); err != nil {
		t.Errorf("the new password: %v", err)
	}
}

// TestAttackFindOutWhoIsStored compares what is checked for users who exist and for names that are
// nobody's: as many of each cost as much.
func TestAttackFindOutWhoIsStored(t *testing.T) {
	users := newUsers(t)
	for _, name := range []string{"carol", "dave", "erin"} {
		add(t, users, name, name+"@example.com", "stored "+name)
	}
	m := mustMethod(t, Config{Users: []User{{Name: "alice", Hash: cheapBcrypt(t, "wonderland")}}}).With(users)
	count := make(map[string]int)
	const names = 4000
	for i := range names {
		count[work(m.decoysNow().pick(strings.Repeat("x", i)))]++
	}
	stored := work(mustParse(t, cheapArgon2id(t, "x", 8)))
	if n := count[stored]; n < names*70/100 || n > names*80/100 {
		t.Errorf("%d of %d unknown names cost what three of four users cost: %v", n, names, count)
	}
	again := mustMethod(t, Config{Users: []User{{Name: "alice", Hash: cheapBcrypt(t, "wonderland")}}}).With(users)
	for _, name := range []string{"mallory", "x", "somebody@example.com"} {
		if a, b := work(again.decoysNow().pick(name)), work(again.decoysNow().pick(name)); a != b {
			t.Errorf("%s costs %s and then %s", name, a, b)
		}
	}
}

func TestNobodyStoredCostsWhatNewHashesCost(t *testing.T) {
	m, _ := withUsers(t, Config{})
	if got := work(m.decoysNow().pick("x")); got != work(defaultHash) {
		t.Errorf("an unknown name costs %s", got)
	}
}

func TestUserNameLengthOfStoredUsers(t *testing.T) {
	m, users := withUsers(t, Config{})
	if least, most := m.UserNameLength(); least != 3 || most != 30 {
		t.Errorf("nobody: %d to %d", least, most)
	}
	x := add(t, users, "x", "", "password of x")
	add(t, users, strings.Repeat("y", 40), "", "password of y")
	if least, most := m.UserNameLength(); least != 1 || most != 40 {
		t.Errorf("x and 40 y: %d to %d", least, most)
	}
	if _, err := users.Delete(t.Context(), x.ID); err != nil {
		t.Fatal(err)
	}
	if least, most := m.UserNameLength(); least != 3 || most != 40 {
		t.Errorf("40 y: %d to %d", least, most)
	}
}

func TestCheckNew(t *testing.T) {
	for name, tc := range map[string]struct {
		password string
		err      error
	}{
		"shortest":                      {"8 chars!", nil},
		"too short":                     {"7 chars", login.ErrPasswordTooShort},
		"empty":                         {"", login.ErrPasswordTooShort},
		"eight letters of three bytes":  {"\u30d1\u30b9\u30ef\u30fc\u30c9\u3067\u3059\u3088", nil},
		"longest":                       {strings.Repeat("ab", 64), nil},
		"longest, of four bytes each":   {strings.Repeat("\U0001f600", 128), nil},
		"too long":                      {strings.Repeat("a", 129), login.ErrPasswordTooLong},
		"one kind of characters":        {"correcthorsebatterystaple", nil},
		"common":                        {"password123", login.ErrPasswordCommon},
		"common, in another case":       {"PassWord123", login.ErrPasswordCommon},
		"the user name":                 {"carol.example", login.ErrPasswordCommon},
		"the address, in another case":  {"CAROL@example.com", login.ErrPasswordCommon},
		"the address and a little more": {"carol@example.com!", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if err := CheckNew(tc.password, "carol.example", "carol@example.com", ""); !errors.Is(err, tc.err) {
				t.Errorf("got %v, want %v", err, tc.err)
			}
		})
	}
}

func TestChangePassword(t *testing.T) {
	const current, next = "stored carol", "another carol"
	for name, tc := range map[string]struct {
		current, next string
		err           error
	}{
		"right":                      {current, next, nil},
		"the same again":             {current, current, nil},
		"wrong current one":          {"stored mallory", next, login.ErrBadCredentials},
		"no current one":             {"", next, login.ErrBadCredentials},
		"current one far too long":   {strings.Repeat("x", 1025), next, login.ErrBadCredentials},
		"too short":                  {current, "short", login.ErrPasswordTooShort},
		"too long":                   {current, strings.Repeat("x", 129), login.ErrPasswordTooLong},
		"common":                     {current, "iloveyou", login.ErrPasswordCommon},
		"common, with a wrong one":   {"stored mallory", "iloveyou", login.ErrPasswordCommon},
		"the own address":            {current, "carol@example.com", login.ErrPasswordCommon},
		"the own name, case changed": {current, "Carol.The.User", login.ErrPasswordCommon},
	} {
		t.Run(name, func(t *testing.T) {
			m, users := withUsers(t, Config{Limits: limits})
			u := add(t, users, "carol.the.user", "carol@example.com", current)
			account := session.Account{Method: "password", Subject: u.ID}
			before, err := m.Authenticate(t.Context(), byName("carol.the.user", current))
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.ChangePassword(t.Context(), login.PasswordChange{Account: account, Current: tc.current, New: tc.next})
			if !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			valid := current
			if err == nil {
				valid = tc.next
			}
			if _, err := m.Authenticate(t.Context(), byName("carol.the.user", valid)); err != nil {
				t.Errorf("with %q: %v", valid, err)
			}
			if _, ok := m.Current(before); !ok {
				t.Error("a change that ends no sessions ended one")
			}
		})
	}
}

func TestChangePasswordEndsSessions(t *testing.T) {
	m, users := withUsers(t, Config{})
	u := add(t, users, "carol", "", "stored carol")
	before, err := m.Authenticate(t.Context(), byName("carol", "stored carol"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := m.ChangePassword(t.Context(), login.PasswordChange{
		Account: session.Account{Method: "password", Subject: u.ID}, Current: "stored carol", New: "another carol", EndSessions: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	// before stands for a sign-in too that was under way with the old password.
	if _, ok := m.Current(before); ok {
		t.Error("a session that was made with the old password lives")
	}
	if _, ok := m.Current(after); !ok {
		t.Error("whoever changed the password is nobody")
	}
}

// Of two changes that begin with one password, the second would be made by somebody who does not know
// the current one any more.
func TestAttackChangePasswordTwiceAtOnce(t *testing.T) {
	m, users := withUsers(t, Config{})
	u := add(t, users, "carol", "", "stored carol")
	var wg sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		wg.Go(func() {
			_, results[i] = m.ChangePassword(context.Background(), login.PasswordChange{
				Account: session.Account{Method: "password", Subject: u.ID}, Current: "stored carol", New: strings.Repeat("another ", i+2), EndSessions: true,
			})
		})
	}
	wg.Wait()
	done := 0
	for _, err := range results {
		var busy *login.ThrottledError // on a slow machine, where hashes wait too long for their turn
		switch {
		case err == nil:
			done++
		case !errors.Is(err, login.ErrBadCredentials) && !errors.As(err, &busy):
			t.Error(err)
		}
	}
	if now, _ := users.ByID(u.ID); done != 1 || now.Epoch != 1 {
		t.Errorf("%d changes were made, in epoch %d", done, now.Epoch)
	}
}

func TestAttackGuessAtTheChangeOfThePassword(t *testing.T) {
	m, users := withUsers(t, Config{Limits: limits})
	u := add(t, users, "carol", "", "stored carol")
	wish := login.PasswordChange{
		Account: session.Account{Method: "password", Subject: u.ID}, Current: "wrong", New: "another carol", ClientIP: byName("", "").ClientIP,
	}
	for range limits.Failures {
		if _, err := m.ChangePassword(t.Context(), wish); !errors.Is(err, login.ErrBadCredentials) {
			t.Fatal(err)
		}
	}
	wish.Current = "stored carol"
	var throttled *login.ThrottledError
	if _, err := m.ChangePassword(t.Context(), wish); !errors.As(err, &throttled) {
		t.Errorf("after %d failures: %v", limits.Failures, err)
	}
	if _, err := m.Authenticate(t.Context(), byName("carol", "stored carol")); !errors.As(err, &throttled) {
		t.Errorf("at the sign-in: %v", err)
	}
}

func TestAccountsThatAreNotKept(t *testing.T) {
	m, users := withUsers(t, Config{Users: aliceAndBob(t)})
	u := add(t, users, "carol", "", "stored carol")
	for name, account := range map[string]session.Account{
		"configured":     {Method: "password", Subject: "Alice"},
		"another method": {Method: "google", Subject: u.ID},
		"unknown":        {Method: "password", Subject: "~unknown"},
		"by name":        {Method: "password", Subject: "carol"},
	} {
		t.Run(name, func(t *testing.T) {
			_, changeErr := m.ChangePassword(t.Context(), login.PasswordChange{Account: account, Current: "wonderland", New: "another alice"})
			_, updateErr := m.UpdateProfile(t.Context(), account, login.Profile{Name: new(string)})
			for call, err := range map[string]error{"change": changeErr, "update": updateErr, "end": m.EndSessions(t.Context(), account)} {
				if !errors.Is(err, login.ErrNotKept) {
					t.Errorf("%s: %v", call, err)
				}
			}
			if m.Keeps(account) {
				t.Error("is kept")
			}
		})
	}
}

func TestUpdateProfile(t *testing.T) {
	for name, tc := range map[string]struct {
		name, userName, picture string // "-" stays
		invalid                 string // the field of an InvalidError
		err                     error
	}{
		"all":                         {"Carol C.", "caz", "https://example.com/c.png", "", nil},
		"no name, no picture":         {"", "-", "", "", nil},
		"another case of the name":    {"-", "CAROL", "-", "", nil},
		"the same name":               {"-", "carol", "-", "", nil},
		"name of a configured user":   {"-", "alice", "-", "", login.ErrNameTaken},
		"name of another user":        {"-", "Dave", "-", "", login.ErrNameTaken},
		"former name of another user": {"-", "davy", "-", "", login.ErrNameTaken},
		"name of a deleted user":      {"-", "erin", "-", "", login.ErrNameTaken},
		"reserved name":               {"-", "Root", "-", "", login.ErrNameTaken},
		"name too short":              {"-", "cc", "-", login.FieldUserName, nil},
		"name too long":               {"-", strings.Repeat("c", 31), "-", login.FieldUserName, nil},
		"name with a space":           {"-", "carol c", "-", login.FieldUserName, nil},
		"name like an address":        {"-", "carol@example.com", "-", login.FieldUserName, nil},
		"name that ends a header":     {"Carol\r\nRemote-User: alice", "-", "-", login.FieldName, nil},
		"name that turns text around": {"Carol \u202egninoitar", "-", "-", login.FieldName, nil},
		"name with a space at an end": {" Carol", "-", "-", login.FieldName, nil},
		"name that is too long":       {strings.Repeat("c", 129), "-", "-", login.FieldName, nil},
		"family with joiners":         {"\U0001f468\u200d\U0001f469\u200d\U0001f467", "-", "-", "", nil},
		"script for a picture":        {"-", "-", "javascript:alert(1)", login.FieldPicture, nil},
		"picture inside the text":     {"-", "-", "data:image/png;base64,AAAA", login.FieldPicture, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m, users := withUsers(t, Config{Users: aliceAndBob(t)})
			u := add(t, users, "carol", "", "stored carol")
			dave := add(t, users, "davy", "", "stored dave")
			change(t, users, dave, func(u *user.User) { u.Name = "dave" })
			if _, err := users.Delete(t.Context(), add(t, users, "erin", "", "stored erin").ID); err != nil {
				t.Fatal(err)
			}
			given := func(text string) *string {
				if text == "-" {
					return nil
				}
				return &text
			}
			wish := login.Profile{Name: given(tc.name), UserName: given(tc.userName), Picture: given(tc.picture)}
			identity, err := m.UpdateProfile(t.Context(), session.Account{Method: "password", Subject: u.ID}, wish)
			var invalid *login.InvalidError
			switch now, _ := users.ByID(u.ID); {
			case tc.invalid != "":
				if !errors.As(err, &invalid) || invalid.Field != tc.invalid {
					t.Fatalf("got %v, want the field %s refused", err, tc.invalid)
				}
				fallthrough
			case tc.err != nil:
				if tc.err != nil && !errors.Is(err, tc.err) {
					t.Fatalf("got %v, want %v", err, tc.err)
				}
				if now.Name != "carol" || now.DisplayName != "" || now.Picture != "" {
					t.Errorf("the user became %+v", now)
				}
			case err != nil:
				t.Fatal(err)
			default:
				for what, pair := range map[string][2]string{
					"name": {tc.name, identity.Name}, "user name": {tc.userName, identity.UserName}, "picture": {tc.picture, identity.Picture},
				} {
					if pair[0] != "-" && pair[0] != pair[1] {
						t.Errorf("the %s became %q", what, pair[1])
					}
				}
			}
		})
	}
}

// Whoever could take one name after the other would keep them from everybody else.
func TestAttackCollectNames(t *testing.T) {
	m, users := withUsers(t, Config{})
	u := add(t, users, "carol", "", "stored carol")
	account := session.Account{Method: "password", Subject: u.ID}
	taken := 0
	for i := range 3 * user.MaxFormerNames {
		name := "name" + strings.Repeat("x", i)[:min(i, 26)]
		if i > 26 {
			name = "other" + strings.Repeat("x", i-26)
		}
		if _, err := m.UpdateProfile(t.Context(), account, login.Profile{UserName: &name}); err == nil {
			taken++
		} else if !errors.Is(err, login.ErrNameTaken) {
			t.Fatal(err)
		}
	}
	if taken != user.MaxFormerNames {
		t.Errorf("took %d names, want %d", taken, user.MaxFormerNames)
	}
}

func TestRegister(t *testing.T) {
	carol := login.Registration{UserName: "carol", Email: "Carol@Example.com", Name: "Carol C.", Password: "stored carol"}
	with := func(edit func(*login.Registration)) login.Registration {
		r := carol
		edit(&r)
		return r
	}
	for name, tc := range map[string]struct {
		signUp       *SignUp
		registration login.Registration
		invalid      string
		err          error
	}{
		"open":                      {&SignUp{}, carol, "", nil},
		"turned off":                {nil, carol, "", login.ErrNotInvited},
		"domain":                    {&SignUp{Domains: []string{"example.org", "example.com"}}, carol, "", nil},
		"another domain":            {&SignUp{Domains: []string{"example.org"}}, carol, "", login.ErrNotInvited},
		"domain above":              {&SignUp{Domains: []string{"com"}}, carol, "", login.ErrNotInvited},
		"domain that ends alike":    {&SignUp{Domains: []string{"ple.com"}}, carol, "", login.ErrNotInvited},
		"no invitation":             {&SignUp{Invitation: true}, carol, "", login.ErrNotInvited},
		"made-up invitation":        {&SignUp{Invitation: true}, with(func(r *login.Registration) { r.Invitation = "guess" }), "", login.ErrNotInvited},
		"no address":                {&SignUp{}, with(func(r *login.Registration) { r.Email = "" }), login.FieldEmail, nil},
		"address that is none":      {&SignUp{}, with(func(r *login.Registration) { r.Email = "carol" }), login.FieldEmail, nil},
		"address with a name":       {&SignUp{}, with(func(r *login.Registration) { r.Email = "Carol <carol@example.com>" }), login.FieldEmail, nil},
		"address of a configured":   {&SignUp{}, with(func(r *login.Registration) { r.Email = "alice@example.com" }), "", login.ErrEmailTaken},
		"address of a stored user":  {&SignUp{}, with(func(r *login.Registration) { r.Email = "DAVE@example.com" }), "", login.ErrEmailTaken},
		"name of a configured user": {&SignUp{}, with(func(r *login.Registration) { r.UserName = "ALICE" }), "", login.ErrNameTaken},
		"name of a stored user":     {&SignUp{}, with(func(r *login.Registration) { r.UserName = "Dave" }), "", login.ErrNameTaken},
		"name of a deleted user":    {&SignUp{}, with(func(r *login.Registration) { r.UserName = "erin" }), "", login.ErrNameTaken},
		"reserved name":             {&SignUp{}, with(func(r *login.Registration) { r.UserName = "Admin" }), "", login.ErrNameTaken},
		"name like an id":           {&SignUp{}, with(func(r *login.Registration) { r.UserName = "~carol" }), login.FieldUserName, nil},
		"short password":            {&SignUp{}, with(func(r *login.Registration) { r.Password = "short" }), "", login.ErrPasswordTooShort},
		"common password":           {&SignUp{}, with(func(r *login.Registration) { r.Password = "password1" }), "", login.ErrPasswordCommon},
		"user name as password":     {&SignUp{}, with(func(r *login.Registration) { r.UserName = "carol.carol"; r.Password = "Carol.Carol" }), "", login.ErrPasswordCommon},
		"script for a picture":      {&SignUp{}, with(func(r *login.Registration) { r.Picture = "javascript:alert(1)" }), login.FieldPicture, nil},
		"name that cannot be seen":  {&SignUp{}, with(func(r *login.Registration) { r.Name = "Alice\u2066" }), login.FieldName, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m, users := withUsers(t, Config{Users: aliceAndBob(t), SignUp: tc.signUp})
			add(t, users, "dave", "dave@example.com", "stored dave")
			if _, err := users.Delete(t.Context(), add(t, users, "erin", "", "stored erin").ID); err != nil {
				t.Fatal(err)
			}
			identity, err := m.Register(t.Context(), tc.registration)
			var invalid *login.InvalidError
			switch {
			case tc.invalid != "":
				if !errors.As(err, &invalid) || invalid.Field != tc.invalid {
					t.Fatalf("got %v, want the field %s refused", err, tc.invalid)
				}
			case !errors.Is(err, tc.err):
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if err != nil {
				if users.Len() != 1 {
					t.Errorf("a refused registration left %d users", users.Len())
				}
				return
			}
			if identity.Email != "carol@example.com" || identity.EmailVerified || identity.UserName != "carol" || identity.Name != "Carol C." {
				t.Errorf("registered as %+v", identity)
			}
			if signedIn, err := m.Authenticate(t.Context(), byEmail("carol@example.com", "stored carol")); err != nil || signedIn.Account != identity.Account {
				t.Errorf("signed in as %v, %v", signedIn, err)
			}
		})
	}
}

// TestQuestionsForNamesAreThrottled: ten of them weigh as much as one try to sign up.
func TestQuestionsForNamesAreThrottled(t *testing.T) {
	m, _ := withUsers(t, Config{ID: "local", SignUp: &SignUp{}, Limits: login.Limits{Failures: 2, Window: time.Minute}})
	ask := func() error {
		_, err := m.IsFree(t.Context(), "somebody", netip.MustParseAddr("192.0.2.1"))
		return err
	}
	for n := range 20 {
		if err := ask(); err != nil {
			t.Fatalf("question %d: %v", n+1, err)
		}
	}
	var throttled *login.ThrottledError
	if err := ask(); !errors.As(err, &throttled) {
		t.Errorf("after 20 questions: %v", err)
	}
}

func TestRegisterGivesGroups(t *testing.T) {
	m, users := withUsers(t, Config{SignUp: &SignUp{Invitation: true, Groups: []string{"member"}}})
	_, code, err := users.Invite(t.Context(), user.Invitation{Groups: []string{"dev", "member"}, Uses: 1, ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	registration := login.Registration{UserName: "carol", Email: "carol@example.com", Password: "stored carol", Invitation: code}
	identity, err := m.Register(t.Context(), registration)
	if err != nil || !slices.Equal(identity.Groups, []string{"member", "dev"}) {
		t.Fatalf("groups %v, %v", identity, err)
	}
	registration.UserName, registration.Email = "dave", "dave@example.com"
	if _, err := m.Register(t.Context(), registration); !errors.Is(err, login.ErrNotInvited) {
		t.Errorf("the second use: %v", err)
	}
}

// However many use a code at once, no more get in than it is good for.
func TestAttackUseAnInvitationAtOnce(t *testing.T) {
	m, users := withUsers(t, Config{SignUp: &SignUp{Invitation: true}})
	_, code, err := users.Invite(t.Context(), user.Invitation{Uses: 2, ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			name := "guest" + string(rune('a'+i))
			_, err := m.Register(context.Background(), login.Registration{UserName: name, Email: name + "@example.com", Password: "password of a guest", Invitation: code})
			if err != nil && !errors.Is(err, login.ErrNotInvited) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if users.Len() != 2 {
		t.Errorf("%d got in by an invitation for 2", users.Len())
	}
}

func TestRegisterMakesNames(t *testing.T) {
	m, users := withUsers(t, Config{Users: aliceAndBob(t), SignUp: &SignUp{}})
	seen := make(map[string]bool)
	for _, email := range []string{
		"carol@example.com", "carol@example.org", "carol+x@example.net", "alice@example.org", "admin@example.com", "x@example.com",
		"'!@example.com", "-rf@example.com", strings.Repeat("l", 60) + "@example.com",
	} {
		identity, err := m.Register(t.Context(), login.Registration{Email: email, Password: "password of a guest"})
		if err != nil {
			t.Errorf("%s: %v", email, err)
			continue
		}
		name := identity.UserName
		if seen[name] || m.mayChoose(name) != nil || validChosenName(name) != nil {
			t.Errorf("%s is called %q", email, name)
		}
		seen[name] = true
	}
	if _, ok := users.ByName("carol"); !ok {
		t.Errorf("nobody is called by what is before the at sign: %v", seen)
	}
}

// register signs somebody up from an address.
func register(m *Method, name, address string) error {
	_, err := m.Register(context.Background(), login.Registration{
		UserName: name, Email: name + "@example.com", Password: "password of a guest", ClientIP: netip.MustParseAddr(address),
	})
	return err
}

// TestAttackRegisterWithoutEnd: who signs up counts against the address, and against no other one.
func TestAttackRegisterWithoutEnd(t *testing.T) {
	const failures = 3
	m, users := withUsers(t, Config{SignUp: &SignUp{}, Limits: login.Limits{Failures: failures, Window: time.Hour}})
	var throttled *login.ThrottledError
	for i := 0; !errors.As(register(m, fmt.Sprint("guest", i), "192.0.2.1"), &throttled); i++ {
		if i > 10*failures {
			t.Fatal("there is no end")
		}
	}
	if n := users.Len(); n <= 10*(failures-1) || n > 10*failures {
		t.Errorf("%d users", n)
	}
	if err := register(m, "carol", "192.0.2.2"); err != nil {
		t.Errorf("from another address: %v", err)
	}
}

// TestAttackAskWhoHasAccounts: sign-up says that an address or a name is taken, and not many times.
func TestAttackAskWhoHasAccounts(t *testing.T) {
	m, users := withUsers(t, Config{SignUp: &SignUp{}, Limits: login.Limits{Failures: 3, Window: time.Hour}})
	add(t, users, "carol", "carol@example.com", "stored carol")
	var throttled *login.ThrottledError
	for i := range 4 {
		if err := register(m, "carol", "192.0.2.1"); errors.As(err, &throttled) != (i == 3) || i < 3 && !errors.Is(err, login.ErrEmailTaken) {
			t.Errorf("try %d: %v", i+1, err)
		}
	}
}

// TestAttackAskWhichNamesThereAre: a change of the profile tells of a name only who takes it, and counts.
func TestAttackAskWhichNamesThereAre(t *testing.T) {
	m, users := withUsers(t, Config{Limits: login.Limits{Failures: 3, Window: time.Hour}})
	u := add(t, users, "mallory", "", "stored mallory")
	add(t, users, "carol", "", "stored carol")
	account := session.Account{Method: "password", Subject: u.ID}
	ask := func(p login.Profile, name string) error {
		p.UserName, p.ClientIP = &name, netip.MustParseAddr("192.0.2.1")
		_, err := m.UpdateProfile(t.Context(), account, p)
		return err
	}
	script, long, spoilt := "javascript:alert(1)", "https://example.com/"+strings.Repeat("x", 2000), "\x00"
	for what, p := range map[string]login.Profile{
		"an invalid picture": {Picture: &script}, "a picture that is too long": {Picture: &long}, "an invalid name": {Name: &spoilt},
	} {
		taken, free := ask(p, "carol"), ask(p, "free")
		var invalid *login.InvalidError
		if !errors.As(taken, &invalid) || free == nil || taken.Error() != free.Error() {
			t.Errorf("with %s: %v if the name is taken, %v if it is free", what, taken, free)
		}
	}
	var throttled *login.ThrottledError
	for i := range 4 {
		if err := ask(login.Profile{}, "carol"); errors.As(err, &throttled) != (i == 3) {
			t.Errorf("try %d: %v", i+1, err)
		}
	}
	if err := ask(login.Profile{}, "Mallory"); err != nil {
		t.Errorf("another case of the own name: %v", err)
	}
}

// TestClassThatSignsUp: all of a class sign up at once, from one address.
func TestClassThatSignsUp(t *testing.T) {
	m, users := withUsers(t, Config{SignUp: &SignUp{}, Limits: limits})
	m.budget = newBudget(DefaultMemory, 1)
	var class sync.WaitGroup
	for i := range 48 {
		class.Go(func() {
			if err := register(m, fmt.Sprint("pupil", i), "192.0.2.1"); err != nil {
				t.Error(err)
			}
		})
	}
	class.Wait()
	if users.Len() != 48 {
		t.Errorf("%d users", users.Len())
	}
}

// A class of people who make accounts from one address must not be kept from signing in by that.
func TestSignUpsDoNotCountAsFailures(t *testing.T) {
	limits := login.Limits{Failures: 2, Window: time.Hour}
	users := newUsers(t)
	m := mustMethod(t, Config{SignUp: &SignUp{}, SignUps: login.NewThrottle(time.Now), Limits: limits}).With(users)
	for _, name := range []string{"dora", "emil"} {
		_, err := m.Register(t.Context(), login.Registration{UserName: name, Email: name + "@example.com", Password: "password of " + name, ClientIP: byName("", "").ClientIP})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"dora", "emil", "dora"} {
		if _, err := m.Authenticate(t.Context(), byName(name, "password of "+name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignUpRefuses(t *testing.T) {
	for name, signUp := range map[string]*SignUp{
		"domain with an at sign": {Domains: []string{"@example.com"}},
		"domain in upper case":   {Domains: []string{"Example.com"}},
		"empty domain":           {Domains: []string{""}},
		"group that is two":      {Groups: []string{"a,b"}},
		"empty group":            {Groups: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newMethod(t, Config{SignUp: signUp}); err == nil || !strings.Contains(err.Error(), "login password: sign_up: ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func BenchmarkCurrentStored(b *testing.B) {
	m, users := withUsers(b, Config{})
	add(b, users, "Carol", "", "stored carol")
	recorded, err := m.Authenticate(b.Context(), byName("carol", "stored carol"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := m.Current(recorded); !ok {
			b.Fatal("nobody")
		}
	}
}

// A rule that lets in somebody who has no account yet must not let in whoever takes the name first.
func TestAttackChooseTheNameOfARule(t *testing.T) {
	users := newUsers(t)
	m := mustMethod(t, Config{SignUp: &SignUp{}}).With(users, "Boss", "password:carol")
	_, err := m.Register(t.Context(), login.Registration{UserName: "boss", Email: "mallory@example.com", Password: "password of mallory"})
	if !errors.Is(err, login.ErrNameTaken) {
		t.Errorf("sign-up: %v", err)
	}
	identity, err := m.Register(t.Context(), login.Registration{Email: "boss@example.com", Password: "password of mallory"})
	if err != nil || user.Fold(identity.UserName) == "boss" {
		t.Fatalf("sign-up by the address: %v, %v", identity, err)
	}
	name := "BOSS"
	if _, err := m.UpdateProfile(t.Context(), identity.Account, login.Profile{UserName: &name}); !errors.Is(err, login.ErrNameTaken) {
		t.Errorf("change of the name: %v", err)
	}
	// An administrator may.
	boss := add(t, users, "boss", "", "password of boss")
	if _, err := m.Authenticate(t.Context(), byName(boss.Name, "password of boss")); err != nil {
		t.Errorf("the boss: %v", err)
	}
}
