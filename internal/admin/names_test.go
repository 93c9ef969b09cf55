package admin

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

func TestReleaseName(t *testing.T) {
	w := newWorld(t)
	logins, err := login.NewMethods(elsewhere{})
	if err != nil {
		t.Fatal(err)
	}
	alice := &session.Identity{Account: session.Account{Method: "google", Subject: "1"}, UserName: "alice@example.com"}
	if err := w.names.Claim(t.Context(), logins, alice); err != nil {
		t.Fatal(err)
	}
	want := `{"user_name":"Alice@example.com","account":"google:1"}`
	if got := w.send(http.MethodGet, "/names/Alice@example.com", "", nil); got.status != http.StatusOK || got.body != want+"\n" && got.body != want {
		t.Errorf("%d %s", got.status, got.body)
	}
	w.logged.TakeAll()
	if got := w.send(http.MethodDelete, "/names/Alice@example.com", "", nil); got.status != http.StatusOK || !strings.Contains(got.body, `"sessions_ended":0`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	lines := w.logged.TakeAll()
	if len(lines) != 1 || lines[0].ContextMap()["action"] != actionReleaseName || lines[0].ContextMap()["account"] != "google:1" {
		t.Errorf("audit lines %v", lines)
	}
	if got := w.send(http.MethodGet, "/names/alice@example.com", "", nil); got.status != http.StatusNotFound {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// Else whoever comes first after a restore would be somebody else to the apps.
func TestRestoreKeepsNames(t *testing.T) {
	w := newWorld(t)
	logins, err := login.NewMethods(elsewhere{})
	if err != nil {
		t.Fatal(err)
	}
	alice := &session.Identity{Account: session.Account{Method: "google", Subject: "1"}, UserName: "alice@example.com"}
	if err := w.names.Claim(t.Context(), logins, alice); err != nil {
		t.Fatal(err)
	}
	backup := w.send(http.MethodGet, "/backup", "", nil)
	if got := w.send(http.MethodPost, "/restore", BackupType, strings.NewReader(backup.body)); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if account, held := w.names.Holder("alice@example.com"); account != "google:1" || !held {
		t.Errorf("%q, %t", account, held)
	}
}

// claim makes a name an account's of a provider, and reports whether it was free.
func (w *world) claim(subject, name string) bool {
	w.Helper()
	logins, err := login.NewMethods(w.passwords, elsewhere{})
	if err != nil {
		w.Fatal(err)
	}
	err = w.names.Claim(w.Context(), logins, google(subject, name))
	if err != nil && !errors.Is(err, login.ErrNameTaken) {
		w.Fatal(err)
	}
	return err == nil
}

func google(subject, name string) *session.Identity {
	return &session.Identity{Account: session.Account{Method: "google", Subject: subject}, UserName: name}
}

// TestReleaseNameEndsItsSessions: nobody acts under a released name beside the next one who has it.
func TestReleaseNameEndsItsSessions(t *testing.T) {
	w := newWorld(t)
	w.claim("1", "carol")
	w.claim("1", "carol2")
	under, renamed := w.signIn(session0, google("1", "Carol")), w.signIn(session0, google("1", "carol2"))
	other := w.signIn(session0, google("2", "dave"))
	released := ok[ReleasedName](w, http.MethodDelete, "/names/carol", "")
	if released.SessionsEnded.SessionsEnded != 1 || released.Account != "google:1" {
		t.Errorf("released %+v", released)
	}
	w.wantLive(under)
	w.wantLive(renamed, "google:1")
	w.wantLive(other, "google:2")
	if !w.claim("2", "carol") {
		t.Error("the name is not free")
	}
}

// TestRestoreElsewhereKeepsNames: on another machine too, a name is whose it was.
func TestRestoreElsewhereKeepsNames(t *testing.T) {
	w := newWorld(t)
	w.claim("100", "carol")
	backup := w.backup()

	elsewhere := newWorld(t)
	elsewhere.claim("7", "erin") // since before the restore
	elsewhere.claim("666", "carol")
	elsewhere.mustRestore(backup)
	for _, tc := range []struct {
		subject, name string
		gets          bool
	}{{"100", "carol", true}, {"666", "carol", false}, {"7", "erin", true}, {"666", "erin", false}} {
		if got := elsewhere.claim(tc.subject, tc.name); got != tc.gets {
			t.Errorf("%s gets %s: %t", tc.subject, tc.name, got)
		}
	}
	if _, err := elsewhere.users.Create(t.Context(), user.User{Name: "Carol"}, false); !errors.Is(err, user.ErrNameTaken) {
		t.Errorf("sign-up as carol: %v", err)
	}
	ok[Checked](elsewhere, http.MethodGet, "/check", "")
}

// TestRestoreOfTheFirstVersion: a backup of a release that left names out is read, and takes nobody's.
func TestRestoreOfTheFirstVersion(t *testing.T) {
	w := newWorld(t)
	w.create("dave")
	lines := linesOf(w.backup())
	lines[0] = strings.Replace(lines[0], `"version":2`, `"version":1`, 1)
	w.claim("100", "carol")
	if got := w.mustRestore(sum(lines)); got.Users != 1 {
		t.Errorf("restored %+v", got)
	}
	if w.claim("666", "carol") || !w.claim("100", "carol") {
		t.Error("carol is somebody else's now")
	}
}

// TestBackupOfAStoreThatIsReadOnly: names are in it also where an earlier release's are not moved yet.
func TestBackupOfAStoreThatIsReadOnly(t *testing.T) {
	w := newWorld(t)
	w.claim("1", "alia")
	notes := session.NewNotes(w.store, w.clock.now)
	if err := notes.Put(t.Context(), "user-name", "carol", []byte("google:100"), w.clock.now().AddDate(1000, 0, 0)); err != nil {
		t.Fatal(err)
	}
	elsewhere := newWorld(t)
	elsewhere.mustRestore(w.backup())
	for name, want := range map[string]string{"carol": "google:100", "alia": "google:1"} {
		if account, _ := elsewhere.names.Holder(name); account != want {
			t.Errorf("%s is of %q, want %q", name, account, want)
		}
	}
}

// TestUserWithTheNameOfAProvidersAccount: an administrator is told that the account is shut out.
func TestUserWithTheNameOfAProvidersAccount(t *testing.T) {
	w := newWorld(t)
	w.claim("100", "carol")
	if u := ok[User](w, http.MethodPost, "/users", `{"username":"erin"}`); u.Warning != "" {
		t.Errorf("the warning about a free name is %q", u.Warning)
	}
	w.logged.TakeAll()
	if u := ok[User](w, http.MethodPatch, "/users/erin", `{"username":"Carol"}`); !strings.Contains(u.Warning, "google:100") {
		t.Errorf("the warning is %q", u.Warning)
	}
	if w.logged.FilterLevelExact(zapcore.WarnLevel).Len() != 1 {
		t.Errorf("logged %v", w.logged.All())
	}
	if u := ok[User](w, http.MethodPatch, "/users/carol", `{"name":"C."}`); u.Warning != "" {
		t.Errorf("the warning about another change is %q", u.Warning)
	}
	if u := ok[User](w, http.MethodPatch, "/users/carol", `{"username":"erin"}`); u.Warning != "" {
		t.Errorf("the warning about the free name is %q", u.Warning)
	}
}
