package integration

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// What is in testdata/release1.db.gz, a database that the first release wrote: one browser with two
// sessions, of which bob's is the active one. Neither ends by itself with the options below.
const (
	release1Cookie  = "E_8NIfiBAKLgkmYUb6wqixMTYlWBzpypXAjacMIY3iI"
	release1Alice   = "3dOT1Rz865JEhdjfczuhUA" // handle
	release1Bob     = "pSpClEng26F2ctgTIg5uBg"
	release1Options = "lifetime 36500d\n\t\tidle_timeout off"
)

// unpack puts a database of testdata where the gateway looks for it.
func unpack(t *testing.T, name, path string) {
	t.Helper()
	packed, err := os.Open("testdata/" + name + ".db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	reader, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDatabaseOfTheFirstRelease: whoever was signed in with it still is.
func TestDatabaseOfTheFirstRelease(t *testing.T) {
	a := &administered{gateway: newGateway(t), up: newEcho(t)}
	address := freeAddress(t)
	a.origin, a.database = "http://"+address, filepath.Join(a.dir, "sessions.db")
	a.config = site(address, a.up.address(), release1Options+"\n\t\t"+storeAt(a.database), "multi_session")
	unpack(t, "release1", a.database)

	a.write(a.config)
	before := footprint(t, a.dir)
	if out := a.succeeds("check", "--json"); out != `{"ok":true,"users":0,"sessions":2,"jars":1}`+"\n" {
		t.Errorf("check, before: %s", out)
	}
	if after := footprint(t, a.dir); !slices.Equal(before, after) {
		t.Errorf("check left\n%s\nof\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}

	a.start(a.config)
	b := a.withCookie(release1Cookie)
	if got := b.accounts(); !slices.Equal(got, []string{"alice", "bob"}) {
		t.Fatalf("accounts: %v", got)
	}
	if got := b.user(); got != "bob" {
		t.Errorf("active is %q", got)
	}
	var own []struct{ ID, Token string }
	b.get("/.auth/list-sessions").json(t, &own)
	if len(own) != 1 || own[0].ID != "zqMR93aa4qC1AZ-zpih0kA" || own[0].Token != release1Bob {
		t.Errorf("bob's sessions are %v", own)
	}
	for _, c := range []struct{ handle, user string }{{release1Alice, "alice"}, {release1Bob, "bob"}, {release1Alice, "alice"}} {
		if answer := b.post("/.auth/multi-session/set-active", object{"sessionToken": c.handle}); answer.StatusCode != http.StatusOK {
			t.Fatalf("switch to %s: %s: %s", c.user, answer.Status, answer.body)
		}
		if got := b.user(); got != c.user {
			t.Errorf("switched to %s, the app is told %q", c.user, got)
		}
	}
	if list := a.succeeds("sessions", "list"); fields(t, list, "alice")[0] != "UkucsmWaZQ2OSV0gJYBjdA" {
		t.Errorf("listed:\n%s", list)
	}
	if out := a.succeeds("check"); out != "In order: 0 users, 2 sessions in 1 browser.\n" {
		t.Errorf("check: %q", out)
	}
	noErrors(t, a.gateway)
	a.stop()
	checkDatabase(t, a.database)

	// What this release wrote it reads.
	a.start(a.config)
	if got := b.user(); got != "alice" {
		t.Errorf("restarted: active is %q", got)
	}
	if out := a.succeeds("sessions", "end", "UkucsmWaZQ2OSV0gJYBjdA"); out != "Done: 1 session ended.\n" {
		t.Errorf("end: %q", out)
	}
	if got := b.accounts(); !slices.Equal(got, []string{"bob"}) {
		t.Errorf("accounts: %v", got)
	}
	noErrors(t, a.gateway)
}

// release2Cookies are what a browser keeps of a site with release2.db.gz, which the last release
// wrote that noted whose plain cookies are, and in slots what scripts had made. Bob is active.
var release2Cookies = []string{
	"multi_session=Xc_Xu3JQOqFJN32o8Vd634fq6lBDA0I4WgHBrIu6KNM; Path=/; HttpOnly",
	"multi_session_view=XZFdU-1pUfARpLix; Path=/; HttpOnly",
	"multi_session_owner=PGunM7kitIq3Obs5KWpQQg; Path=/; HttpOnly",
	"ms~c0edaFDadcKDpOwEyWWqHQ~sid=l~sid-of-alice; Path=/; HttpOnly",
	"ms~c0edaFDadcKDpOwEyWWqHQ~csrf=r~csrf-of-alice; Path=/; HttpOnly",
	"ms~c0edaFDadcKDpOwEyWWqHQ~deep=!/app~deep-of-alice; Path=/app; HttpOnly",
	"ms~c0edaFDadcKDpOwEyWWqHQ~theme=rg~dark; Path=/; HttpOnly",
	"ms~PGunM7kitIq3Obs5KWpQQg~sid=l~sid-of-bob; Path=/; HttpOnly",
	"csrf=csrf-of-bob; Path=/",
	"ms~PGunM7kitIq3Obs5KWpQQg~csrf=ru~csrf-of-bob; Path=/; HttpOnly",
	"ms~PGunM7kitIq3Obs5KWpQQg~deep=!/app~deep-of-bob; Path=/app; HttpOnly",
}

// TestCookiesOfTheReleaseBefore: the apps' sessions of each account are found, and nothing that
// scripts had made for one account is another's.
func TestCookiesOfTheReleaseBefore(t *testing.T) {
	const alice, bob = "b2W4g8Pw3ATL3yHMcQvG7w", "oXJGBRt_pxRRTs1cCwSgoA" // handles
	for _, first := range []string{"alice", "bob"} {
		t.Run(first+" comes back first", func(t *testing.T) {
			app, upstream := newRecorder(t)
			g := newGateway(t)
			database, address := filepath.Join(g.dir, "sessions.db"), freeAddress(t)
			unpack(t, "release2", database)
			g.start(site(address, upstream, release1Options+"\n\t\t"+storeAt(database), "multi_session"))
			v := &victim{profile: profile{app: app, client: newProfileClient(t), port: port(address)}, t: t, host: "127.0.0.1", handles: map[string]string{"alice": alice, "bob": bob}}
			for _, line := range release2Cookies {
				v.set(v.host, "/", line)
			}
			if v.user = "bob"; first == "alice" {
				v.as("alice")
			}
			for range 4 {
				sid, csrf := "sid=sid-of-"+v.user, "csrf=csrf-of-"+v.user
				v.visit("/", sid+"; "+csrf)
				v.reads("/", csrf)
				v.visit("/app/page", sid+"; "+csrf+"; deep=deep-of-"+v.user)
				v.as(map[string]string{"alice": "bob", "bob": "alice"}[v.user])
			}
			v.writes("/", "theme=light; Path=/")
			v.visit("/", "sid=sid-of-"+v.user+"; csrf=csrf-of-"+v.user) // the browser is shared by now
			for _, c := range v.cookies {
				if c.name == "multi_session_owner" || strings.HasSuffix(c.name, "~theme") {
					t.Errorf("the browser still has %s=%s", c.name, c.value)
				}
			}
			noErrors(t, g)
		})
	}
}

// edit changes the first record that has the old text, of those whose keys begin with the prefix.
func edit(t *testing.T, path, prefix, old, new string) (edited []byte) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		records := tx.Bucket([]byte("records"))
		c := records.Cursor()
		for k, v := c.Seek([]byte(prefix)); bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
			if !bytes.Contains(v, []byte(old)) {
				continue
			}
			edited = bytes.Replace(v, []byte(old), []byte(new), 1)
			return records.Put(bytes.Clone(k), edited)
		}
		return fmt.Errorf("no record under %s has %s", prefix, old)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return edited
}

// has reports whether a record with these bytes is in a database.
func has(t *testing.T, path string, record []byte) (found bool) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("records")).ForEach(func(_, v []byte) error {
			found = found || bytes.Equal(v, record)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestJarOfALaterRelease: a jar that cannot be read signs its browser out and nobody else, and is
// left for the release that can.
func TestJarOfALaterRelease(t *testing.T) {
	a := startAdministered(t)
	b := a.browser()
	b.signIn("alice")
	a.stop()
	later := edit(t, a.database, "jar:", `"v":3`, `"v":99`)
	a.start(a.config)
	cookie := b.cookieOf()
	if got := b.user(); got != "" {
		t.Errorf("the browser is signed in as %q", got)
	}
	await(t, "the log to say so", func() bool { return strings.Contains(a.log.String(), "a stored jar is not readable") })
	other := a.browser()
	other.signIn("bob")
	if list := a.run("", "sessions", "list"); list.code != 0 || !strings.Contains(list.out, "bob") || !strings.Contains(list.err, "version 99") {
		t.Errorf("listed: %v", list)
	}
	if check := a.run("", "check"); check.code != 1 || !strings.Contains(check.out, "version 99") || strings.Count(check.err, "\n") != 1 {
		t.Errorf("check: %v", check)
	}
	if r := a.run("", "sessions", "end", "--user", "alice"); r.code != 0 || !strings.HasPrefix(r.out, "Done: 0 sessions") {
		t.Errorf("end: %v", r)
	}
	// The browser can sign in again, in a jar of its own.
	b.signIn("alice")
	if b.cookieOf() == cookie || b.user() != "alice" {
		t.Errorf("signed in again as %q", b.user())
	}
	a.stop()
	if !has(t, a.database, later) {
		t.Error("the jar was changed")
	}
	checkDatabase(t, a.database)
	// To what can read it, the jar is what it was.
	edit(t, a.database, "jar:", `"v":99`, `"v":3`)
	a.start(a.config)
	if got := a.withCookie(cookie).user(); got != "alice" {
		t.Errorf("then the browser is signed in as %q", got)
	}
}

// TestUserOfALaterRelease and a schema of one: the gateway does not start, and says why, and the
// file stays as it is.
func TestUserOfALaterRelease(t *testing.T) {
	a := startAdministered(t)
	a.createUser("dave")
	id := a.done(http.MethodGet, "/users/dave", nil)["id"].(string)
	a.stop()
	sound, err := os.ReadFile(a.database)
	if err != nil {
		t.Fatal(err)
	}
	refuses := func(t *testing.T, says ...string) {
		t.Helper()
		content, err := os.ReadFile(a.database)
		if err != nil {
			t.Fatal(err)
		}
		log := a.fails(a.config)
		for _, want := range append(says, a.database) {
			if !strings.Contains(log, want) {
				t.Errorf("the log does not say %q:\n%s", want, log)
			}
		}
		if r := a.run("", "users", "list"); r.code != 1 || !strings.Contains(r.err, says[0]) || !strings.Contains(r.err, a.database) {
			t.Errorf("a command: %v", r)
		}
		if r := a.run("", "check"); r.code != 1 || !strings.Contains(r.err, says[0]) || !strings.Contains(r.err, a.database) {
			t.Errorf("check: %v", r)
		}
		if after, err := os.ReadFile(a.database); err != nil || !bytes.Equal(after, content) {
			t.Errorf("the file was changed, %v", err)
		}
	}
	t.Run("user", func(t *testing.T) {
		edit(t, a.database, "user:", `"v":1`, `"v":9`)
		refuses(t, "version 9", id)
	})
	t.Run("schema", func(t *testing.T) {
		if err := os.WriteFile(a.database, sound, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(a.database, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte{0, 0, 0, 2})
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		refuses(t, "schema version 2")
	})
	if err := os.WriteFile(a.database, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	a.start(a.config)
	if !a.signsIn("dave", password("dave")) {
		t.Error("dave does not sign in with the sound one")
	}
}
