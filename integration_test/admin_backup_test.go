package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// wholeBackup fails the test unless the last line of a backup is the sum of what is before.
func wholeBackup(t *testing.T, backup string) {
	t.Helper()
	before, ok := strings.CutSuffix(backup, "\n")
	end := strings.LastIndexByte(before, '\n') + 1
	var last struct {
		Records int
		SHA256  string
	}
	if err := json.Unmarshal([]byte(before[end:]), &last); !ok || err != nil {
		t.Fatalf("the last line: %v in %q", err, before[end:])
	}
	if sum := sha256.Sum256([]byte(backup[:end])); hex.EncodeToString(sum[:]) != last.SHA256 {
		t.Error("the checksum is another one")
	}
	if records := strings.Count(backup[:end], "\n") - 1; records != last.Records {
		t.Errorf("%d records, and the last line says %d", records, last.Records)
	}
}

// signingIn has browsers sign in and out until stop, and fails the test on any answer that is no
// success.
func (a *administered) signingIn(browsers int) (stop func()) {
	done := make(chan struct{})
	var working sync.WaitGroup
	for number := range browsers {
		b := a.browser()
		name := []string{"bob", "carol"}[number%2]
		working.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				answer, err := b.do(b.jsonRequest("/.auth/sign-in/username", object{"username": name, "password": password(name)}))
				if err != nil || answer.StatusCode != http.StatusOK {
					a.t.Errorf("sign in under way: %v %v %s", err, answer.Response, answer.body)
					return
				}
				if answer, err = b.do(b.jsonRequest("/.auth/sign-out", object{})); err != nil || answer.StatusCode != http.StatusOK {
					a.t.Errorf("sign out under way: %v %v %s", err, answer.Response, answer.body)
					return
				}
			}
		})
	}
	return func() { close(done); working.Wait() }
}

// withCookie is a new browser with another one's cookie.
func (a *administered) withCookie(value string) *browser {
	a.t.Helper()
	b := a.browser()
	site, err := url.Parse(a.origin)
	if err != nil {
		a.t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	jar.SetCookies(site, []*http.Cookie{{Name: "multi_session", Value: value, Path: "/"}})
	b.client.Jar = jar
	return b
}

// signsIn reports whether somebody can sign in by a password.
func (a *administered) signsIn(name, password string) bool {
	a.t.Helper()
	answer := a.browser().post("/.auth/sign-in/username", object{"username": name, "password": password})
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusUnauthorized {
		a.t.Fatalf("sign in as %s: %s: %s", name, answer.Status, answer.body)
	}
	return answer.StatusCode == http.StatusOK
}

// TestBackupAndRestore goes back to a backup that was taken while people signed in: the users are as
// they were, and nobody is signed in, neither by a session of then nor of since.
func TestBackupAndRestore(t *testing.T) {
	a := startAdministered(t)
	a.createUser("dave", "ops")
	a.createUser("erin")
	a.done(http.MethodPost, "/invitations", object{"uses": 3})

	// What the sessions of before the backup are known by.
	cookies := make(map[string]string)
	revoked := a.browser()
	handle := revoked.signIn("dave")
	revoked.signIn("alice")
	cookies["before the last sign-in"] = revoked.cookieOf()
	revoked.post("/.auth/multi-session/revoke", object{"sessionToken": handle})
	revoked.signIn("bob")
	cookies["of a jar with a revoked session"] = revoked.cookieOf()
	then := a.browser()
	then.signIn("dave")
	cookies["of when the backup was taken"] = then.cookieOf()

	stop := a.signingIn(4)
	var backup string
	for range 10 {
		backup = a.administer(http.MethodGet, "/backup", nil).body
		wholeBackup(t, backup)
	}

	a.done(http.MethodPut, "/users/dave/password", object{"password": "since-then-42"})
	a.done(http.MethodPatch, "/users/dave", object{"groups": []string{}, "username": "david"})
	a.done(http.MethodDelete, "/users/erin", nil)
	a.createUser("frank")
	since := a.browser()
	since.signIn("frank")
	since.signIn("alice")
	cookies["of since the backup"] = since.cookieOf()

	restored := a.done(http.MethodPost, "/restore", backup)
	stop()
	if restored["users"] != 2. || restored["invitations"] != 1. {
		t.Errorf("restored %v", restored)
	}
	// The browsers that were signing in may have done so after the restore, and nobody else.
	for name, cookie := range cookies {
		b := a.withCookie(cookie)
		if got := b.accounts(); len(got) != 0 {
			t.Errorf("the cookie %s has %v", name, got)
		}
		if answer := b.post("/.auth/multi-session/set-active", object{"sessionToken": handle}); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("the cookie %s, with the handle of a session that was revoked: %s", name, answer.Status)
		}
	}
	for _, c := range []struct {
		user, password string
		want           bool
	}{
		{"dave", password("dave"), true},
		{"dave", "since-then-42", false},
		{"david", "since-then-42", false},
		{"erin", password("erin"), true},
		{"frank", password("frank"), false},
		{"alice", password("alice"), true}, // is of the configuration
	} {
		if got := a.signsIn(c.user, c.password); got != c.want {
			t.Errorf("%s signs in with %q: %t, want %t", c.user, c.password, got, c.want)
		}
	}
	b := a.browser()
	b.signIn("dave")
	if got := b.told("Remote-Groups"); got != "ops" {
		t.Errorf("dave's groups are %q", got)
	}
	if answer := a.administer(http.MethodGet, "/users/frank", nil); answer.StatusCode != http.StatusNotFound {
		t.Errorf("frank: %s", answer.Status)
	}

	// All that holds for another process, too, and the file is sound.
	a.done(http.MethodGet, "/check", nil)
	noErrors(t, a.gateway)
	a.stop()
	checkDatabase(t, a.database)
	a.start(a.config)
	for name, cookie := range cookies {
		if got := a.withCookie(cookie).accounts(); len(got) != 0 {
			t.Errorf("restarted: the cookie %s has %v", name, got)
		}
	}
	if got := b.user(); got != "dave" {
		t.Errorf("restarted: who signed in since is %q", got)
	}

	t.Run("once more", func(t *testing.T) {
		// A session of after the first restore must not be taken for one of after the second.
		a.done(http.MethodPost, "/restore", backup)
		if got := b.user(); got != "" {
			t.Errorf("%q is signed in", got)
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		fresh := startAdministered(t)
		fresh.done(http.MethodPost, "/restore", backup)
		if !fresh.signsIn("dave", password("dave")) || !fresh.signsIn("erin", password("erin")) {
			t.Error("the users do not sign in")
		}
	})
	t.Run("spoilt", func(t *testing.T) {
		b := a.browser()
		b.signIn("erin")
		lines := strings.SplitAfter(strings.TrimSuffix(backup, "\n"), "\n")
		for name, spoilt := range map[string]string{
			"broken off":           strings.Join(lines[:len(lines)-1], ""),
			"broken off in a line": backup[:len(backup)/2],
			"a line is missing":    strings.Join(append(append([]string{}, lines[:2]...), lines[3:]...), ""),
			"changed":              strings.Replace(backup, `"version":2`, `"version": 2`, 1),
			"of a later version":   strings.Replace(backup, `"version":2`, `"version":3`, 1),
			"twice":                backup + backup,
			"nothing":              "",
		} {
			if answer := a.administer(http.MethodPost, "/restore", spoilt); answer.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %s: %s", name, answer.Status, answer.body)
			}
		}
		if got := b.user(); got != "erin" {
			t.Errorf("then erin is %q", got)
		}
	})
}

// TestRestoreUnderSignIns restores while stored users sign in. A session that was acknowledged before
// the last restore began is dead; one whose sign-in began after it had ended lives.
func TestRestoreUnderSignIns(t *testing.T) {
	a := startAdministered(t)
	names := []string{"dave", "erin", "frank", "grace"}
	for _, name := range names {
		a.createUser(name)
	}
	backup := a.administer(http.MethodGet, "/backup", nil).body

	const restores = 5
	var begun, ended, signIns atomic.Int64 // how many restores, and sign-ins since the last one
	type signIn struct {
		cookie       string
		ended, begun int64 // how many restores had ended when it began, and begun when it was acknowledged
	}
	results := make(chan signIn, 10_000)
	stop := make(chan struct{})
	var working sync.WaitGroup
	for _, name := range names {
		working.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := signIn{ended: ended.Load()}
				b := a.browser()
				answer, err := b.do(b.jsonRequest("/.auth/sign-in/username", object{"username": name, "password": password(name)}))
				if err != nil || answer.StatusCode != http.StatusOK {
					t.Errorf("sign in: %v %v %s", err, answer.Response, answer.body)
					return
				}
				s.cookie, s.begun = b.cookieOf(), begun.Load()
				results <- s
				signIns.Add(1)
			}
		})
	}
	enough := func() {
		signIns.Store(0)
		await(t, "sign-ins", func() bool { return signIns.Load() >= 4 || t.Failed() })
	}
	for range restores {
		enough()
		begun.Add(1)
		a.done(http.MethodPost, "/restore", backup)
		ended.Add(1)
	}
	enough()
	enough() // of the first four some may have begun before the last restore ended
	close(stop)
	working.Wait()
	close(results)

	alive, dead := 0, 0
	for s := range results {
		lives := a.withCookie(s.cookie).user() != ""
		switch {
		case lives && s.begun < restores:
			t.Errorf("a session of before restore %d lives", s.begun+1)
		case !lives && s.ended == restores:
			t.Error("a session of after the last restore is dead")
		case lives:
			alive++
		default:
			dead++
		}
	}
	if alive == 0 || dead == 0 {
		t.Errorf("%d sessions live and %d are dead: there must be both", alive, dead)
	}
	a.done(http.MethodGet, "/check", nil)
	noErrors(t, a.gateway)
}
