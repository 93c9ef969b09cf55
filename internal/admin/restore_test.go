package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage"
)

func (w *world) backup() string {
	w.Helper()
	got := w.do(http.MethodGet, "/backup", "")
	if got.status != http.StatusOK {
		w.Fatalf("backup: %d %s", got.status, got.body)
	}
	return got.body
}

func (w *world) restore(backup string) reply {
	w.Helper()
	return w.send(http.MethodPost, "/restore", BackupType, strings.NewReader(backup))
}

func (w *world) mustRestore(backup string) Restored {
	w.Helper()
	got := w.restore(backup)
	var restored Restored
	if err := json.Unmarshal([]byte(got.body), &restored); got.status != http.StatusOK || err != nil {
		w.Fatalf("restore: %d %s", got.status, got.body)
	}
	return restored
}

// sum puts an end of its own behind the lines of a backup.
func sum(lines []string) string {
	body := strings.Join(lines, "")
	hash := sha256.Sum256([]byte(body))
	end, err := json.Marshal(backupEnd{len(lines) - 1, hex.EncodeToString(hash[:])})
	if err != nil {
		panic(err)
	}
	return body + string(end) + "\n"
}

// linesOf returns the lines of a backup but for its end.
func linesOf(backup string) []string {
	lines := strings.SplitAfter(backup, "\n")
	return lines[:len(lines)-2]
}

func TestBackup(t *testing.T) {
	w := newWorld(t)
	w.create("carol")
	w.create("dave")
	ok[SessionsEnded](w, http.MethodDelete, "/users/dave", "")
	ok[Invited](w, http.MethodPost, "/invitations", `{}`)
	token := w.signIn(session0, w.configured("Alice"))
	if err := w.manager.NoteRoster(t.Context(), session.Roster{"local": {"Alice"}}, nil); err != nil {
		t.Fatal(err)
	}
	backup := w.backup()
	lines := linesOf(backup)
	if want := `{"format":"caddy-multi-session/backup","version":2,"taken_at":"2026-11-23T11:38:47.288Z"}` + "\n"; lines[0] != want {
		t.Errorf("the head is %s, want %s", lines[0], want)
	}
	var keys []string
	for _, line := range lines[1:] {
		var record backupRecord
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(record.Key, ":")
		keys = append(keys, kind)
		stored, _, err := w.store.Get(t.Context(), record.Key)
		if err != nil || !bytes.Equal(stored.Value, record.Value) || !stored.Expiry.Equal(record.Expiry.Time) {
			t.Errorf("the record of %s is not what is stored: %v", record.Key, err)
		}
	}
	if want := []string{"invitation", "user-secret", "user", "user"}; !slices.Equal(keys, want) {
		t.Errorf("there are records of %v, want %v", keys, want)
	}
	if sum(lines) != backup {
		t.Error("the end is another one")
	}
	if strings.Contains(backup, jarOf(w, token)) {
		t.Error("a jar is in the backup")
	}
}

// rich has all there can be, and who is signed in before and after the backup.
func rich(t testing.TB) (w *world, backup string, tokens []session.Token, stale []*session.Identity) {
	w = newWorld(t)
	carol, dave := w.create("carol"), w.create("dave")
	w.create("erin")
	ok[SessionsEnded](w, http.MethodDelete, "/users/erin", "")
	ok[Invited](w, http.MethodPost, "/invitations", `{"email":"x@example.org"}`)
	ok[Invited](w, http.MethodPost, "/invitations", `{"expires_in":"1h"}`)
	if err := w.manager.NoteRoster(w.Context(), session.Roster{"local": {"Alice", "bob"}, "google": nil}, nil); err != nil {
		t.Fatal(err)
	}
	sign := func(identity *session.Identity) {
		stale = append(stale, identity)
		tokens = append(tokens, w.signIn(session0, identity))
	}
	google := &session.Identity{Account: session.Account{Method: "google", Subject: "1"}, UserName: "carol"}
	for _, identity := range []*session.Identity{w.identity(carol.ID), w.identity(dave.ID), w.configured("Alice"), google} {
		sign(identity)
	}
	backup = w.backup()
	for _, token := range tokens {
		w.live(token) // into memory
	}
	ok[SessionsEnded](w, http.MethodPut, "/users/carol/password", `{"password_hash":"`+cheapHash+`"}`)
	sign(w.identity(carol.ID)) // with an epoch above the backup's
	sign(w.identity(dave.ID))
	ok[SessionsEnded](w, http.MethodDelete, "/users/dave", "")
	frank := w.create("frank") // after the backup
	sign(w.identity(frank.ID))
	ok[User](w, http.MethodPatch, "/users/carol", `{"username":"caroline","email":"c@example.org"}`)
	return w, backup, tokens, stale
}

func TestRestore(t *testing.T) {
	w, backup, tokens, stale := rich(t)
	roster, _, err := w.jars.Roster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	notes := session.NewNotes(w.store, w.clock.now)
	if err := notes.Put(t.Context(), "state", "used", nil, w.clock.now().Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(2 * time.Hour) // one invitation expires
	if got := w.mustRestore(backup); got != (Restored{Users: 2, Invitations: 2}) {
		t.Errorf("restored %+v", got)
	}

	if got := names(ok[UserList](w, http.MethodGet, "/users", "").Users); got != "Alice bob carol dave" {
		t.Errorf("the users are %q", got)
	}
	if got := len(ok[InvitationList](w, http.MethodGet, "/invitations", "").Invitations); got != 1 {
		t.Errorf("%d invitations, want the one that is not over", got)
	}
	if got := ok[Checked](w, http.MethodGet, "/check", ""); got != (Checked{OK: true, Users: 2}) {
		t.Errorf("the check says %+v", got)
	}
	if now, known, err := w.jars.Roster(t.Context()); err != nil || !known || !bytes.Equal(now.Value, roster.Value) {
		t.Errorf("the roster is %s, %t, %v, want %s", now.Value, known, err, roster.Value)
	}
	if err := notes.Put(t.Context(), "state", "used", nil, w.clock.now().Add(time.Hour)); !errors.Is(err, session.ErrNoted) {
		t.Errorf("what must not happen twice can after the restore: %v", err)
	}
	// Nobody is signed in, whoever it was and whenever, in memory as in the store.
	for _, token := range tokens {
		w.wantLive(token)
	}
	// Sign-ins that were under way with what was true before end as well, but for those of logins that
	// the backup has nothing of.
	for _, identity := range stale {
		if identity.Account.Method == "local" && identity.UserName != "Alice" {
			w.wantLive(w.signIn(session0, identity))
		}
	}
	// And everybody can sign in anew.
	for _, u := range ok[UserList](w, http.MethodGet, "/users", "").Users {
		if u.Source == SourceStore {
			w.wantLive(w.signIn(session0, w.identity(u.ID)), "local:"+u.ID)
		}
	}
	// Who has been made since is gone, and nobody takes over the name by signing up.
	w.fails(http.MethodGet, "/users/frank", "", http.StatusNotFound, "no such user")
	if _, err := w.users.Create(t.Context(), user.User{Name: "frank"}, false); err == nil {
		t.Error("the name of a user who was there before the restore is given out again")
	}
	if _, err := w.users.Create(t.Context(), user.User{Name: "erin"}, false); err == nil {
		t.Error("the name of a deleted user is given out again")
	}
	if got := ok[User](w, http.MethodPost, "/users", `{"username":"frank"}`); got.Username != "frank" {
		t.Errorf("created %+v", got)
	}
}

func TestRestoreToAnEmptyStore(t *testing.T) {
	was, backup, _, _ := rich(t)
	w := newWorld(t)
	w.mustRestore(backup)
	if got := names(ok[UserList](w, http.MethodGet, "/users", "").Users); got != "Alice bob carol dave" {
		t.Errorf("the users are %q", got)
	}
	if bytes.Equal(w.users.Secret(), make([]byte, 32)) || !bytes.Equal(w.users.Secret(), was.users.Secret()) {
		t.Error("the secret is not the one of the backup")
	}
	w.mustRestore(w.backup()) // what was restored can be saved and restored
}

// TestRestoringBackAndForthRevivesNoEpoch is of a user who is in one backup and not in the other, whose
// sign-in with the last epoch of all is under way for as long as that takes.
func TestRestoringBackAndForthRevivesNoEpoch(t *testing.T) {
	w := newWorld(t)
	without := w.backup()
	carol := w.create("carol")
	with := w.backup()
	for range 3 {
		ok[SessionsEnded](w, http.MethodPut, "/users/carol/password", `{"password_hash":"`+cheapHash+`"}`)
	}
	stale := w.identity(carol.ID)
	for _, backup := range []string{with, without, with, with, without, with} {
		w.mustRestore(backup)
		w.wantLive(w.signIn(session0, stale))
	}
	ok[SessionsEnded](w, http.MethodDelete, "/users/carol", "")
	w.mustRestore(with)
	w.wantLive(w.signIn(session0, stale))
	w.wantLive(w.signIn(session0, w.identity(carol.ID)), "local:"+carol.ID)
}

// TestSpoiltBackups changes nothing by any of them: neither what is stored nor who is signed in.
func TestSpoiltBackups(t *testing.T) {
	w, backup, _, _ := rich(t)
	token := w.signIn(session0, w.configured("bob"))
	lines := linesOf(backup)
	before := w.stored()
	refused := func(t *testing.T, spoilt, words string) {
		t.Helper()
		w.restore(spoilt).refused(t, http.StatusBadRequest, words)
		if w.stored() != before {
			t.Fatal("something was stored")
		}
		w.wantLive(token, "local:bob")
	}
	edit := func(i int, edit func(*backupRecord)) string {
		var record backupRecord
		if err := json.Unmarshal([]byte(lines[i]), &record); err != nil {
			t.Fatal(err)
		}
		edit(&record)
		line, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		changed := slices.Clone(lines)
		changed[i] = string(line) + "\n"
		return sum(changed)
	}
	somebody := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, `"key":"user:`) })
	value := func(old, new string) func(*backupRecord) {
		return func(r *backupRecord) {
			changed := strings.Replace(string(r.Value), old, new, 1)
			if changed == string(r.Value) {
				t.Fatalf("%q is not in %s", old, r.Value)
			}
			r.Value = []byte(changed)
		}
	}
	for name, tc := range map[string]struct{ backup, words string }{
		"empty":                      {"", "breaks off"},
		"blank":                      {"\n", "not a JSON object"},
		"no backup":                  {`{"format":"x","version":1,"taken_at":"2026-11-23T11:38:47.288Z"}` + "\n", "no backup"},
		"a newer version":            {sum(append([]string{strings.Replace(lines[0], `"version":2`, `"version":3`, 1)}, lines[1:]...)), "version 3"},
		"an unknown member":          {sum(append([]string{strings.Replace(lines[0], `{`, `{"by":"x",`, 1)}, lines[1:]...)), `"by"`},
		"no version":                 {sum(append([]string{strings.Replace(lines[0], `"version":2,`, ``, 1)}, lines[1:]...)), "members are missing"},
		"without its head":           {sum(lines[1:]), "line 1"},
		"a record twice":             {sum(slices.Insert(slices.Clone(lines), 2, lines[1])), "order of keys"},
		"in another order":           {sum(append([]string{lines[0], lines[2], lines[1]}, lines[3:]...)), "order of keys"},
		"in another order, unsummed": {strings.Replace(backup, lines[1]+lines[2], lines[2]+lines[1], 1), "order of keys"},
		"a line left out":            {strings.Replace(backup, lines[1], "", 1), "records"},
		"a line left out, counted":   {strings.Replace(strings.Replace(backup, lines[1], "", 1), fmt.Sprintf(`"records":%d`, len(lines)-1), fmt.Sprintf(`"records":%d`, len(lines)-2), 1), "checksum"},
		"another end of lines":       {strings.ReplaceAll(backup, "\n", "\r\n"), "checksum"},
		"more after the end":         {backup + "\n", "after the end"},
		"two backups":                {backup + backup, "after the end"},
		"without the last newline":   {strings.TrimSuffix(backup, "\n"), "breaks off"},
		"end and record in one":      {sum(append(slices.Clone(lines), `{"key":"x","records":1}`+"\n")), "members are missing"},
		"without the secret":         {sum(slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.Contains(l, "user-secret") })), "secret"},
		"a user of a later release":  {edit(somebody, value(`"v":1`, `"v":2`)), "version 2"},
		"a user under another key":   {edit(somebody, func(r *backupRecord) { r.Key += "x" }), "key"},
		"a user that expires":        {edit(somebody, func(r *backupRecord) { r.Expiry = Time{w.clock.now()} }), "expires"},
		"a user with terms":          {edit(somebody, func(r *backupRecord) { r.Terms = []string{"account:x"} }), "terms"},
		"a user with the last epoch": {edit(somebody, value(`"v":1`, `"v":1,"epoch":18446744073709551615`)), "epoch"},
		"a user with a wrong name":   {sum(append(slices.Clone(lines), recordLine(t, "user:~zzzzzzzz", `{"v":1,"id":"~zzzzzzzz","name":"../x","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}`))), "name"},
		"two users of one name":      {sum(append(slices.Clone(lines), recordLine(t, "user:~zzzzzzzz", `{"v":1,"id":"~zzzzzzzz","name":"CAROL","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}`))), "name is taken"},
		"two users of one address":   {sum(append(slices.Clone(lines), recordLine(t, "user:~zzzzzzzz", `{"v":1,"id":"~zzzzzzzz","name":"z","email":"carol@example.org","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}`))), "address is taken"},
		"a jar":                      {sum(slices.Insert(slices.Clone(lines), 3, recordLine(t, "jar:x", `{}`))), "not of a user"},
		"a roster":                   {sum(slices.Insert(slices.Clone(lines), 3, recordLine(t, "roster", `{}`))), "not of a user"},
		"an invitation to no code":   {edit(1, func(r *backupRecord) { r.Key = "invitation:x" }), "code"},
		"an invitation for ever":     {edit(1, func(r *backupRecord) { r.Expiry = Time{r.Expiry.Add(time.Hour)} }), "expires"},
		"an invitation of 0 uses":    {edit(1, value(`"uses":1`, `"uses":0`)), "uses"},
		"a short secret":             {edit(3, func(r *backupRecord) { r.Value = r.Value[1:] }), "secret"},
		"a value that is no base64":  {sum(append(slices.Clone(lines), strings.Replace(recordLine(t, "user:~zzzzzzzz", "x"), `"value":"`, `"value":"*`, 1))), "base64"},
		"a huge line":                {sum(append(slices.Clone(lines), recordLine(t, "user:~zzzzzzzz", strings.Repeat("x", 2*storage.MaxValueBytes)))), "longer than"},
		"a line without an end":      {lines[0] + strings.Repeat("x", 2*storage.MaxValueBytes), "longer than"},
		"a huge record":              {sum(append(slices.Clone(lines), recordLine(t, "user:~zzzzzzzz", strings.Repeat("x", 1<<20)))), "not readable"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, tc.backup, tc.words) })
	}
	t.Run("truncated", func(t *testing.T) {
		for n := range len(backup) {
			if n%7 == 0 || n > len(backup)-100 {
				refused(t, backup[:n], "")
			}
		}
	})
	t.Run("with a bit turned over", func(t *testing.T) {
		for i := 0; i < len(backup); i += 5 {
			spoilt := []byte(backup)
			spoilt[i] ^= 1 << (i % 8)
			refused(t, string(spoilt), "")
		}
	})
	if got := w.mustRestore(backup); got.Users != 2 {
		t.Errorf("as it was it restores %+v", got)
	}
}

func recordLine(t testing.TB, key, value string) string {
	t.Helper()
	never := Time{time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)}
	line, err := json.Marshal(backupRecord{key, []byte(value), never, []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

// breaking is a body that fails midway, as when a client goes away.
type breaking struct{ io.Reader }

func (b breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestRestoreOfABodyThatBreaks(t *testing.T) {
	w, backup, _, _ := rich(t)
	before := w.stored()
	body := breaking{strings.NewReader(backup[:len(backup)/2])}
	w.send(http.MethodPost, "/restore", BackupType, body).refused(t, http.StatusBadRequest, "cannot be read")
	if w.stored() != before {
		t.Error("something was stored")
	}
}

// plainStore can be nothing but a storage.Store.
type plainStore struct{ storage.Store }

func TestStoresThatCannot(t *testing.T) {
	w := newWorld(t)
	w.create("carol")
	backup := w.backup()
	plain := w.config
	plain.Store = plainStore{w.store}
	w.handler = New(plain)
	w.restore(backup).refused(t, http.StatusNotImplemented, "replace")
	if got := ok[Checked](w, http.MethodGet, "/check", ""); got != (Checked{OK: true, Users: 1}) {
		t.Errorf("the check says %+v", got)
	}
}

// failingStore does what it is told and then says that it failed, or fails at once.
type failingStore struct {
	storage.Store
	storage.Replacer
	done bool
}

func (s failingStore) Replace(ctx context.Context, records iter.Seq2[storage.Record, error]) error {
	if s.done {
		if err := s.Replacer.Replace(ctx, records); err != nil {
			return err
		}
	}
	return fmt.Errorf("the connection broke")
}

func TestRestoreThatFails(t *testing.T) {
	for name, done := range map[string]bool{"before": false, "after it was done": true} {
		t.Run(name, func(t *testing.T) {
			w, backup, _, _ := rich(t)
			token := w.signIn(session0, w.configured("bob"))
			failing := w.config
			failing.Store = failingStore{w.store, w.store, done}
			w.handler = New(failing)
			w.restore(backup).refused(t, http.StatusServiceUnavailable, "connection broke")
			// Memory is what the store is.
			want, live := "Alice bob caroline frank", []string{"local:bob"}
			if done {
				want, live = "Alice bob carol dave", nil
			}
			if got := names(ok[UserList](w, http.MethodGet, "/users", "").Users); got != want {
				t.Errorf("the users are %q, want %q", got, want)
			}
			w.wantLive(token, live...)
		})
	}
}

// TestBackupIsOfOneInstant is taken while users and invitations are made in turns: whenever it is
// looked at, there are as many of the one as of the other, or one more.
func TestBackupIsOfOneInstant(t *testing.T) {
	w := newWorld(t)
	const n = 40
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range n {
			w.create(fmt.Sprintf("user%d", i))
			ok[Invited](w, http.MethodPost, "/invitations", `{}`)
		}
	})
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	defer writing.Wait()
	for taken := 0; ; taken++ {
		backup := w.backup()
		users, invitations := strings.Count(backup, `"key":"user:`), strings.Count(backup, `"key":"invitation:`)
		if users != invitations && users != invitations+1 {
			t.Fatalf("a backup has %d users and %d invitations", users, invitations)
		}
		select {
		case <-done:
			if taken == 0 {
				t.Error("no backup was taken meanwhile")
			}
			return
		default:
		}
	}
}

// TestRestoreUnderConcurrentSignIns restores while people sign in, with what was true before, and look
// at who they are. None of them is signed in after.
func TestRestoreUnderConcurrentSignIns(t *testing.T) {
	w := newWorld(t)
	var identities []*session.Identity
	for i := range 4 {
		identities = append(identities, w.identity(w.create(fmt.Sprintf("user%d", i)).ID))
	}
	backup := w.backup()
	stop := make(chan struct{})
	started := make(chan struct{}, len(identities))
	tokens := make([][]session.Token, len(identities))
	var people sync.WaitGroup
	for i, identity := range identities {
		people.Go(func() {
			var token session.Token
			for first := true; ; first = false {
				done, err := w.manager.SignIn(context.Background(), token, identity, nil, session.Client{})
				if err != nil {
					t.Error(err)
					return
				}
				token = done.Token
				tokens[i] = append(tokens[i], token)
				if _, err := w.manager.Visit(context.Background(), token); err != nil {
					t.Error(err)
					return
				}
				if first {
					started <- struct{}{}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range identities {
		<-started
	}
	for range 3 {
		w.mustRestore(backup)
	}
	close(stop)
	people.Wait()
	for _, all := range tokens {
		for _, token := range all {
			w.wantLive(token)
		}
	}
	for _, identity := range identities {
		w.wantLive(w.signIn(session0, w.identity(identity.Account.Subject)), identity.Account.ID())
	}
	ok[Checked](w, http.MethodGet, "/check", "")
}

// TestRestoreEndsConfiguredUsersSessions is of sessions that nothing ends but that they are gone: those
// signed in before the restore began.
func TestRestoreEndsConfiguredUsersSessions(t *testing.T) {
	w := newWorld(t)
	backup := w.backup()
	stop := make(chan struct{})
	var people sync.WaitGroup
	var tokens []session.Token
	for range 4 {
		tokens = append(tokens, w.signIn(session0, w.configured("bob")))
	}
	for _, token := range tokens {
		people.Go(func() {
			for {
				if _, err := w.manager.Visit(context.Background(), token); err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	w.mustRestore(backup)
	for _, token := range tokens {
		w.wantLive(token)
	}
	close(stop)
	people.Wait()
	for _, token := range tokens {
		w.wantLive(token)
	}
}

func FuzzReadBackup(f *testing.F) {
	w := newWorld(f)
	w.create("carol")
	f.Add([]byte(w.backup()))
	f.Add([]byte(sum([]string{`{"format":"caddy-multi-session/backup","version":1,"taken_at":"2026-11-23T11:38:47.288Z"}` + "\n"})))
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte("no backup"))))
	f.Fuzz(func(t *testing.T, body []byte) {
		saved, err := readBackup(bytes.NewReader(body))
		if err != nil {
			return
		}
		if err := saved.Complete(); err != nil {
			t.Errorf("a backup that is read is not complete: %v", err)
		}
	})
}

func FuzzParseObject(f *testing.F) {
	for _, body := range []string{`{"username":"x"}`, `{"groups":["a"],"disabled":true}`, `{"username":"x","username":"y"}`, `{}{}`, `{"username":null}`, `[]`, `{"Username":"x"}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var change UserChange
		given, err := parseObject(body, change.members())
		if err != nil {
			return
		}
		var loose map[string]any
		if err := json.Unmarshal(body, &loose); err != nil {
			t.Fatalf("%q was read, and is no JSON: %v", body, err)
		}
		if len(loose) != len(given) {
			t.Errorf("%q has %d members, of which %d were read", body, len(loose), len(given))
		}
		again, err := json.Marshal(change)
		if err != nil {
			t.Fatal(err)
		}
		var back UserChange
		if _, err := parseObject(again, back.members()); err != nil {
			t.Errorf("what is written as %s is not read: %v", again, err)
		}
	})
}
