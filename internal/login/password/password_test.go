package password

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

var limits = login.Limits{Failures: 10, Window: 15 * time.Minute}

// newMethod is New with a throttle and a budget of the test's own, by the name of "password".
func newMethod(t testing.TB, c Config) (*Method, error) {
	t.Helper()
	c.ID = "password"
	return New(c, login.NewThrottle(time.Now), newBudget(DefaultMemory, 64))
}

func mustMethod(t testing.TB, c Config) *Method {
	t.Helper()
	m, err := newMethod(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// aliceAndBob have hashes of different algorithms.
func aliceAndBob(t testing.TB) []User {
	return []User{
		{Name: "Alice", Email: "Alice@Example.com", Hash: cheapArgon2id(t, "wonderland", 8)},
		{Name: "bob", Hash: cheapBcrypt(t, "builder")},
	}
}

// watch calls begin at the beginning of every check of a hash, with what decides its duration.
func (m *Method) watch(begin func(work string)) {
	hook := func(h hash) hash {
		w := work(h)
		return watched{h, func() { begin(w) }}
	}
	for _, u := range m.byName {
		u.hash = hook(u.hash)
	}
	for i := range m.decoys {
		m.decoys[i].hash = hook(m.decoys[i].hash)
	}
}

func byName(name, password string) login.Credentials {
	return login.Credentials{
		Identifier: login.Identifier{UserName: name},
		Password:   password,
		ClientIP:   netip.MustParseAddr("192.0.2.1"),
	}
}

func byEmail(email, password string) login.Credentials {
	c := byName("", password)
	c.Identifier.Email = email
	return c
}

func TestAuthenticate(t *testing.T) {
	users := append(aliceAndBob(t), User{Name: "carol.example.com", Email: "carol@example.com", Hash: cheapArgon2id(t, "c", 16)})
	for name, tc := range map[string]struct {
		credentials login.Credentials
		subject     string
		err         error
	}{
		"by name":                     {byName("Alice", "wonderland"), "Alice", nil},
		"by name in another case":     {byName("aLICE", "wonderland"), "Alice", nil},
		"by e-mail":                   {byEmail("Alice@Example.com", "wonderland"), "Alice", nil},
		"by e-mail in another case":   {byEmail("alice@EXAMPLE.com", "wonderland"), "Alice", nil},
		"by name, bcrypt":             {byName("bob", "builder"), "bob", nil},
		"wrong password":              {byName("Alice", "Wonderland"), "", login.ErrBadCredentials},
		"wrong password, bcrypt":      {byName("bob", "Builder"), "", login.ErrBadCredentials},
		"another's password":          {byName("Alice", "builder"), "", login.ErrBadCredentials},
		"unknown name":                {byName("mallory", "wonderland"), "", login.ErrBadCredentials},
		"unknown e-mail":              {byEmail("bob@example.com", "builder"), "", login.ErrBadCredentials},
		"nobody":                      {byName("", "wonderland"), "", login.ErrBadCredentials},
		"an e-mail as a name":         {byName("alice@example.com", "wonderland"), "", login.ErrBadCredentials},
		"a name as an e-mail":         {byEmail("bob", "builder"), "", login.ErrBadCredentials},
		"name and e-mail together":    {both("bob", "alice@example.com", "wonderland"), "", login.ErrBadCredentials},
		"the other way round":         {both("bob", "alice@example.com", "builder"), "", login.ErrBadCredentials},
		"name and e-mail of one user": {both("alice", "alice@example.com", "wonderland"), "", login.ErrBadCredentials},
		"a letter that folds to k":    {byName("\u212aate", "wonderland"), "", login.ErrBadCredentials},
		"spaces around the name":      {byName(" Alice", "wonderland"), "", login.ErrBadCredentials},
		"empty password":              {byName("Alice", ""), "", login.ErrBadCredentials},
		"empty password, unknown":     {byName("mallory", ""), "", login.ErrBadCredentials},
		"longest password":            {byName("Alice", strings.Repeat("x", 1024)), "", login.ErrBadCredentials},
		"password too long":           {byName("Alice", strings.Repeat("x", 1025)), "", login.ErrPasswordTooLong},
		"too long, unknown":           {byName("mallory", strings.Repeat("x", 1025)), "", login.ErrPasswordTooLong},
		"no address": {login.Credentials{
			Identifier: login.Identifier{UserName: "bob"}, Password: "builder",
		}, "bob", nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := mustMethod(t, Config{Users: users, Limits: limits})
			identity, err := m.Authenticate(t.Context(), tc.credentials)
			switch {
			case !errors.Is(err, tc.err):
				t.Fatalf("got %v, want %v", err, tc.err)
			case err != nil && identity != nil:
				t.Error("there is an identity beside the error")
			case err == nil && identity.Account.Subject != tc.subject:
				t.Errorf("signed in as %s, want %s", identity.Account.Subject, tc.subject)
			}
		})
	}
}

func both(name, email, password string) login.Credentials {
	c := byName(name, password)
	c.Identifier.Email = email
	return c
}

// TestAttackFindOutWhoExists wants every attempt to do one hash's work, and an unknown name's to be
// some known user's and always the same.
func TestAttackFindOutWhoExists(t *testing.T) {
	m := mustMethod(t, Config{Users: aliceAndBob(t)})
	var done []string
	m.watch(func(work string) { done = append(done, work) })
	try := func(c login.Credentials) string {
		t.Helper()
		done = nil
		if _, err := m.Authenticate(t.Context(), c); err != login.ErrBadCredentials {
			t.Fatalf("got %v, want ErrBadCredentials", err)
		}
		if len(done) != 1 {
			t.Fatalf("%d hashes were checked, want 1", len(done))
		}
		return done[0]
	}

	known := []string{try(byName("alice", "x")), try(byName("bob", "x"))}
	if try(byEmail("alice@example.com", "x")) != known[0] {
		t.Error("by e-mail another hash is checked than by name")
	}
	seen := make(map[string]bool)
	for i := range 20 {
		for _, c := range []login.Credentials{
			byName(fmt.Sprint("Unknown", i), "x"),
			byEmail(fmt.Sprintf("Unknown%d@example.com", i), "x"),
			byName(fmt.Sprint("Unknown", i), strings.Repeat("x", 1024)), // more than bcrypt takes
		} {
			work := try(c)
			if !slices.Contains(known, work) {
				t.Fatalf("%v: %s, want the work of a known user", c.Identifier, work)
			}
			c.Identifier.UserName = strings.ToLower(c.Identifier.UserName)
			c.Identifier.Email = strings.ToLower(c.Identifier.Email)
			if again := try(c); again != work {
				t.Fatalf("%v: %s, and before %s", c.Identifier, again, work)
			}
			seen[work] = true
		}
	}
	if len(seen) != len(known) {
		t.Errorf("unknown users cost only %v", seen)
	}
}

// TestAttackSignInAsNobody looks at each of the two things that keep a decoy from signing anybody
// in.
func TestAttackSignInAsNobody(t *testing.T) {
	t.Run("no password matches a decoy", func(t *testing.T) {
		m := mustMethod(t, Config{Users: aliceAndBob(t)})
		for _, d := range m.decoys {
			for _, password := range []string{"wonderland", "builder"} {
				if d.hash.matches([]byte(password)) {
					t.Errorf("%s matches a decoy", password)
				}
			}
		}
	})
	t.Run("and if one did, it would be nobody's", func(t *testing.T) {
		m := mustMethod(t, Config{Users: aliceAndBob(t)[:1]})
		m.decoys[0].hash = m.byName["alice"].hash
		if identity, err := m.Authenticate(t.Context(), byName("mallory", "wonderland")); err != login.ErrBadCredentials {
			t.Errorf("got %+v, %v", identity, err)
		}
	})
}

func TestAttackLockTheOwnerOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mustMethod(t, Config{Users: aliceAndBob(t), Limits: limits})
		owner := byName("alice", "wonderland")
		for range 2 * limits.Failures { // none of which is a failure
			if _, err := m.Authenticate(t.Context(), owner); err != nil {
				t.Fatal(err)
			}
		}
		stranger := byEmail("alice@example.com", "x")
		for i := range 10 * limits.Failures {
			stranger.ClientIP = netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
			if _, err := m.Authenticate(t.Context(), stranger); err != login.ErrBadCredentials {
				t.Fatal(err)
			}
		}
		wantThrottled(t, m, stranger, login.ReasonAccount, 9*time.Second)
		if _, err := m.Authenticate(t.Context(), owner); err != nil {
			t.Errorf("the owner is locked out: %v", err)
		}
	})
}

func TestNoUsersCostWhatNewHashesCost(t *testing.T) {
	m := mustMethod(t, Config{})
	if got, want := work(m.decoys.pick("anybody")), work(newArgon2id(nil)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAttackFindOutWhoExistsByTheThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mustMethod(t, Config{Users: aliceAndBob(t), Limits: limits})
		for i, c := range []login.Credentials{
			byName("alice", "x"), byEmail("alice@example.com", "x"), byName("mallory", "x"), byEmail("mallory@example.com", "x"),
		} {
			c.ClientIP = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
			for range limits.Failures {
				if _, err := m.Authenticate(t.Context(), c); err != login.ErrBadCredentials {
					t.Fatalf("%v: got %v, want ErrBadCredentials", c.Identifier, err)
				}
			}
			wantThrottled(t, m, c, login.ReasonAddress, 90*time.Second)
		}
	})
}

func wantThrottled(t *testing.T, m *Method, c login.Credentials, reason string, retryAfter time.Duration) {
	t.Helper()
	_, err := m.Authenticate(t.Context(), c)
	var throttled *login.ThrottledError
	if !errors.As(err, &throttled) || *throttled != (login.ThrottledError{Reason: reason, RetryAfter: retryAfter}) {
		t.Fatalf("%v: got %v, want it throttled by the %s for %s", c.Identifier, err, reason, retryAfter)
	}
}

func TestAttackGuessByNameAndByEmail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mustMethod(t, Config{Users: aliceAndBob(t), Limits: limits})
		for i := range 10 * limits.Failures {
			c := byName("alice", "x")
			if i%2 == 0 {
				c = byEmail("alice@example.com", "x")
			}
			c.ClientIP = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
			if _, err := m.Authenticate(t.Context(), c); err != login.ErrBadCredentials {
				t.Fatal(err)
			}
		}
		for _, c := range []login.Credentials{byName("ALICE", "wonderland"), byEmail("alice@example.com", "wonderland")} {
			c.ClientIP = netip.MustParseAddr("198.51.100.1")
			wantThrottled(t, m, c, login.ReasonAccount, 9*time.Second)
		}
	})
}

func TestAttackGuessWithoutWork(t *testing.T) {
	m := mustMethod(t, Config{Users: aliceAndBob(t), Limits: limits})
	m.watch(func(work string) { t.Errorf("%s is checked", work) })
	for range 10 * limits.Failures { // none of which counts
		for password, want := range map[string]error{
			"":                            login.ErrBadCredentials,
			strings.Repeat("x", 1025):     login.ErrPasswordTooLong,
			strings.Repeat("\x00", 1<<20): login.ErrPasswordTooLong,
		} {
			if _, err := m.Authenticate(t.Context(), byName("alice", password)); err != want {
				t.Fatalf("got %v, want %v", err, want)
			}
		}
	}
}

func TestAttackParallelGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mustMethod(t, Config{Users: aliceAndBob(t), Limits: limits})
		verdict := make(chan struct{})
		var verified, throttled atomic.Int64
		m.watch(func(string) {
			verified.Add(1)
			<-verdict
		})
		var guessers sync.WaitGroup
		for i := range 50 {
			guessers.Go(func() {
				_, err := m.Authenticate(t.Context(), byName("alice", fmt.Sprint("guess", i)))
				if err != login.ErrBadCredentials {
					throttled.Add(1)
				}
			})
		}
		synctest.Wait()
		close(verdict)
		guessers.Wait()
		if verified.Load() > int64(limits.Failures) || verified.Load()+throttled.Load() != 50 {
			t.Errorf("%d guesses were checked and %d throttled, want %d at most", verified.Load(), throttled.Load(), limits.Failures)
		}
	})
}

func TestBusyIsNotHeldAgainstAnybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mustMethod(t, Config{Users: aliceAndBob(t), Limits: limits})
		if err := m.budget.acquire(t.Context(), netip.Addr{}, m.budget.memory); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 10 * limits.Failures {
			wantThrottled(t, m, byName("alice", "x"), login.ReasonBusy, login.Busy().RetryAfter)
			if _, err := m.Authenticate(ctx, byName("alice", "x")); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want it cancelled", err)
			}
		}
		m.budget.release(m.budget.memory)
		for range limits.Failures {
			if _, err := m.Authenticate(t.Context(), byName("alice", "x")); err != login.ErrBadCredentials {
				t.Fatal(err)
			}
		}
	})
}

func TestThrottleOutlivesTheMethod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle, budget := login.NewThrottle(time.Now), NewBudget(DefaultMemory)
		for i := range limits.Failures {
			users := aliceAndBob(t)[i%2:] // alice comes and goes
			m, err := New(Config{ID: "password", Users: users, Limits: limits}, throttle, budget)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Authenticate(t.Context(), byName("alice", "x")); err != login.ErrBadCredentials {
				t.Fatal(err)
			}
		}
		m, err := New(Config{ID: "password", Users: aliceAndBob(t), Limits: limits}, throttle, budget)
		if err != nil {
			t.Fatal(err)
		}
		wantThrottled(t, m, byName("alice", "wonderland"), login.ReasonAddress, 90*time.Second)
	})
}

func TestThrottleOff(t *testing.T) {
	m := mustMethod(t, Config{Users: aliceAndBob(t)})
	for range 200 {
		if _, err := m.Authenticate(t.Context(), byName("alice", "x")); err != login.ErrBadCredentials {
			t.Fatal(err)
		}
	}
}

func TestCurrent(t *testing.T) {
	m := mustMethod(t, Config{Users: aliceAndBob(t)})
	recorded := func(subject string) *session.Identity {
		return &session.Identity{Account: session.Account{Method: "password", Subject: subject}, Groups: []string{"old"}}
	}
	current, ok := m.Current(recorded("Alice"))
	if !ok || current.Email != "alice@example.com" || len(current.Groups) != 0 {
		t.Errorf("Current() = %+v, %t, want what is configured now", current, ok)
	}
	signedIn, err := m.Authenticate(t.Context(), byName("alice", "wonderland"))
	if err != nil || signedIn != current {
		t.Errorf("sign-in gives another identity: %+v, %v", signedIn, err)
	}
	for _, subject := range []string{"alice", "mallory", "", "alice@example.com"} {
		if gone, ok := m.Current(recorded(subject)); ok || gone != nil {
			t.Errorf("Current(%q) = %+v, %t, want it gone", subject, gone, ok)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { m.Current(current) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestSubjects(t *testing.T) {
	m := mustMethod(t, Config{Users: aliceAndBob(t)})
	m.Subjects()[0] = "changed by a caller"
	if got, want := m.Subjects(), []string{"Alice", "bob"}; !slices.Equal(got, want) {
		t.Errorf("Subjects() = %q, want %q", got, want)
	}
}

func TestUserNameLength(t *testing.T) {
	for name, tc := range map[string]struct {
		names       []string
		least, most int
	}{
		"no users": {nil, 3, 30},
		"usual":    {[]string{"alice", "bob"}, 3, 30},
		"short":    {[]string{"alice", "x"}, 1, 30},
		"long":     {[]string{strings.Repeat("x", 31), "alice"}, 3, 31},
		"longest":  {[]string{strings.Repeat("x", 64), "ab"}, 2, 64},
	} {
		t.Run(name, func(t *testing.T) {
			var users []User
			for _, name := range tc.names {
				users = append(users, User{Name: name, Hash: caddySmall})
			}
			m := mustMethod(t, Config{Users: users})
			if least, most := m.UserNameLength(); least != tc.least || most != tc.most {
				t.Errorf("UserNameLength() = %d, %d, want %d, %d", least, most, tc.least, tc.most)
			}
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	m := mustMethod(t, Config{Users: aliceAndBob(t)})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for range 20 {
				c := byName("alice", "wonderland")
				if i%2 == 0 {
					c = byName("mallory", "x")
				}
				identity, err := m.Authenticate(t.Context(), c)
				if (err == nil) != (i%2 != 0) {
					t.Errorf("got %v", err)
				}
				if identity != nil {
					m.Current(identity)
				}
				m.Subjects()
			}
		})
	}
	all.Wait()
}

func BenchmarkAuthenticate(b *testing.B) {
	throttle, budget := login.NewThrottle(time.Now), NewBudget(DefaultMemory)
	users := []User{{Name: "alice", Hash: cheapArgon2id(b, "wonderland", 8)}}
	for i := range 99 {
		users = append(users, User{Name: fmt.Sprint("user", i), Hash: users[0].Hash})
	}
	for _, n := range []int{1, 100} {
		m, err := New(Config{ID: "password", Users: users[:n], Limits: limits}, throttle, budget)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n, " users"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Authenticate(b.Context(), byName("alice", "wonderland")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCurrent(b *testing.B) {
	m := mustMethod(b, Config{Users: aliceAndBob(b)})
	recorded := &session.Identity{Account: session.Account{Method: "password", Subject: "Alice"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := m.Current(recorded); !ok {
			b.Fatal("gone")
		}
	}
}

// TestPasswordOfAnotherKeyboard: letters with accents have several forms, and which one is sent is the
// keyboard's choice. Whoever is meant, a password costs the same.
func TestPasswordOfAnotherKeyboard(t *testing.T) {
	const composed, decomposed = "geheümnis-42", "geheu\u0308mnis-42"
	for name, tc := range map[string]struct {
		hashed, typed string
		checks        int
		matches       bool
	}{
		"as it was hashed":             {composed, composed, 1, true},
		"decomposed":                   {composed, decomposed, 2, true},
		"hashed and typed decomposed":  {decomposed, decomposed, 1, true},
		"another one":                  {composed, "geheimnis-42", 1, false},
		"another one that is composed": {composed, "geheöm", 1, false},
		"another one, decomposed":      {composed, "geheo\u0308m", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := mustMethod(t, Config{Users: []User{{Name: "alice", Hash: cheapArgon2id(t, tc.hashed, 8)}}, Limits: limits})
			checks := 0
			m.watch(func(string) { checks++ })
			if _, err := m.Authenticate(t.Context(), byName("alice", tc.typed)); (err == nil) != tc.matches || checks != tc.checks {
				t.Errorf("%v after %d checks, want %d", err, checks, tc.checks)
			}
			known := checks
			checks = 0
			_, err := m.Authenticate(t.Context(), byName("nobody", tc.typed))
			if !errors.Is(err, login.ErrBadCredentials) || !tc.matches && checks != known {
				t.Errorf("nobody: %v after %d checks; alice took %d", err, checks, known)
			}
		})
	}
}
