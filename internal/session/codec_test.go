package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

func fullJar() *Jar {
	at := epoch.Add(123 * time.Millisecond)
	return &Jar{
		ID:        "jar-1",
		CreatedAt: at,
		Transient: true,
		Active:    "handle-2",
		Sessions: []Session{
			{
				ID: "id-1", Handle: "handle-1",
				Recorded: &Identity{
					Account:  Account{"google", "10769150350006150715113082367"},
					Issuer:   "https://accounts.google.com",
					UserName: "ålice \u2028<admin>&", Name: "Alice \U0001f600", Email: "alice@example.com", EmailVerified: true,
					Picture: "https://example.com/a.png?x=1&y=2", Groups: []string{"admin", "dev"},
					Claims: map[string]any{
						"id":     json.Number("9007199254740993"),
						"nested": map[string]any{"list": []any{"a", true, nil, json.Number("1.50")}},
					},
					Epoch:     3,
					CreatedAt: at, UpdatedAt: at,
				},
				CreatedAt: at, LastUsedAt: at.Add(time.Millisecond), ExpiresAt: at.Add(time.Hour),
				IP: "2001:db8::1", UserAgent: "Mozilla/5.0 (\"X\")",
				Grant: &Grant{SID: "sid <1>&", Sealed: []byte("\x00sealed\xff"), RenewAt: at.Add(4 * time.Minute), ExpiresAt: at.Add(5 * time.Minute)},
				Slot:  "AAECAwQFBgcICQoLDA0ODw",
			},
			{
				ID: "id-2", Handle: "handle-2",
				Recorded:  &Identity{Account: Account{"password", "a:b"}, UserName: "bob"},
				CreatedAt: at, LastUsedAt: at, ExpiresAt: at.Add(time.Hour),
			},
		},
	}
}

// pinnedJar has sites with accounts of their own, one of which is not signed in any more.
func pinnedJar() *Jar {
	jar := fullJar()
	jar.Active = ""
	jar.Pins = []Pin{
		{Account: jar.Sessions[1].Recorded.Account},
		{"grafana.example.com", jar.Sessions[0].Recorded.Account},
		{"xn--bcher-kva.example.com", Account{"password", "gone"}},
	}
	return jar
}

func TestJarRoundTrip(t *testing.T) {
	for _, c := range []struct {
		name string
		jar  *Jar
	}{
		{"full", fullJar()},
		{"empty", &Jar{ID: "x", CreatedAt: epoch, Sessions: []Session{}}},
		{"pinned", pinnedJar()},
		{"pinned to nobody", &Jar{ID: "x", CreatedAt: epoch, Pins: []Pin{{}}, Sessions: []Session{}}},
		{"active names nothing", &Jar{ID: "x", CreatedAt: epoch, Active: "gone", Sessions: []Session{}}},
	} {
		data, err := encodeJar(c.jar)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, err := decodeJar(data); err != nil || !reflect.DeepEqual(got, c.jar) {
			t.Errorf("%s: decoded %+v, %v\nwant %+v", c.name, got, err, c.jar)
		}
	}
}

// Two numbers that a float64 cannot tell apart would be two people with one claim.
func TestLongNumbersOfClaimsSurviveTheStore(t *testing.T) {
	w := newWorld(t, defaults())
	id := person("alice")
	id.Claims = map[string]any{"employee": json.Number("9007199254740993")}
	done, err := w.SignIn(context.Background(), Token{}, id, nil, Client{})
	if err != nil {
		t.Fatal(err)
	}
	w.restart(defaults())
	entry, ok := w.visit(done.Token).Active()
	if !ok {
		t.Fatal("nobody is signed in")
	}
	policy := Policy{{Kind: RequireClaim, Claim: "employee", Values: []string{"9007199254740992"}}}
	if _, unmet := policy.Unmet(entry.Identity); !unmet {
		t.Error("employee 9007199254740993 was taken for 9007199254740992")
	}
	policy[0].Values = []string{"9007199254740993"}
	if _, unmet := policy.Unmet(entry.Identity); unmet {
		t.Error("employee 9007199254740993 was not known any more")
	}
}

func TestDamagedRecordsAreUnreadable(t *testing.T) {
	good, err := encodeJar(fullJar())
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, replacement string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("the record has no %q", old)
		}
		return strings.Replace(string(good), old, replacement, 1)
	}
	for _, c := range []struct{ name, data string }{
		{"empty", ""},
		{"null", "null"},
		{"not JSON", "\x00\x01garbage"},
		{"an array", "[]"},
		{"cut off", string(good[:len(good)/2])},
		{"one byte short", string(good[:len(good)-1])},
		{"data after it", string(good) + "{}"},
		{"no version", change(`"v":3,`, "")},
		{"version 0", change(`"v":3,`, `"v":0,`)},
		{"version of a later release", change(`"v":3,`, `"v":6,`)},
		{"version is text", change(`"v":3,`, `"v":"1",`)},
		{"member of a later release", change(`"v":3,`, `"v":3,"new":true,`)},
		{"session member of a later release", change(`"handle":"handle-1"`, `"handle":"handle-1","new":true`)},
		{"no jar id", change(`"id":"jar-1"`, `"id":""`)},
		{"no session id", change(`"id":"id-1"`, `"id":""`)},
		{"no handle", change(`"handle":"handle-1"`, `"handle":""`)},
		{"two of one handle", change(`"handle":"handle-1"`, `"handle":"handle-2"`)},
		{"two of one id", change(`"id":"id-1"`, `"id":"id-2"`)},
		{"two of one account", change(`{"method":"google","subject":"10769150350006150715113082367"}`, `{"method":"password","subject":"a:b"}`)},
		{"no identity", `{"v":3,"id":"x","sessions":[{"id":"a","handle":"b","identity":null}]}`},
		{"no account", change(`"method":"google"`, `"method":""`)},
		{"method with a colon", change(`"method":"google"`, `"method":"goo:gle"`)},
		{"user name that breaks a header", change(`"user_name":"bob"`, `"user_name":"bob\r\nRemote-User: admin"`)},
		{"group that is two", change(`"admin"`, `"a,b"`)},
		{"time that is none", change(`"created_at":"2026`, `"created_at":"x`)},
		{"grant of nothing", `{"v":3,"id":"x","sessions":[{"id":"a","handle":"b","identity":{"account":{"method":"m","subject":"s"},"user_name":"u"},"grant":{}}]}`},
		{"grant without tokens that are to be renewed", change(`"sealed":"AHNlYWxlZP8=",`, "")},
		{"grant whose tokens are no base64", change(`"sealed":"AHNlYWxlZP8="`, `"sealed":"AHNlYWxlZP8"`)},
		{"grant member of a later release", change(`"sealed":"AHNlYWxlZP8="`, `"sealed":"AHNlYWxlZP8=","new":true`)},
		{"SID with a line break", change(`"sid":"sid `, `"sid":"sid\n`)},
		{"SID that is too long", change(`"sid":"sid `, `"sid":"`+strings.Repeat("s", maxTextBytes)+` `)},
		{"slot whose tag breaks a header", change(`"slot":"AAECAwQFBgcICQoLDA0ODw"`, `"slot":"AAECAwQFBgcICQoLDA0;Dw"`)},
		{"slot of a second spelling", change(`"slot":"AAECAwQFBgcICQoLDA0ODw"`, `"slot":"AAECAwQFBgcICQoLDA0ODx"`)},
		{"slot whose tag is too short to be unguessable", change(`"slot":"AAECAwQFBgcICQoLDA0ODw"`, `"slot":"0"`)},
		{"slot of two sessions", change(`"handle":"handle-2"`, `"slot":"AAECAwQFBgcICQoLDA0ODw","handle":"handle-2"`)},
		{"issuer with a line break", change(`"issuer":"https:`, `"issuer":"https:\n`)},
		{"sessions are no list", `{"v":3,"id":"x","sessions":{}}`},
	} {
		if jar, err := decodeJar([]byte(c.data)); !errors.Is(err, ErrUnreadable) || jar != nil {
			t.Errorf("%s: decoded %v, %v; want ErrUnreadable", c.name, jar, err)
		}
	}
}

// TestRecordsOfOlderVersions reads what the releases before wrote, of which nothing may be lost.
func TestRecordsOfOlderVersions(t *testing.T) {
	for _, c := range []struct {
		version int
		without func(*Jar, *Identity, *Session) // takes out what the release did not know
		later   []string                        // members that it did not know
	}{
		{1, func(j *Jar, id *Identity, s *Session) {
			j.Transient, id.Epoch, id.Issuer, s.Grant, s.Slot = false, 0, "", nil, ""
		}, []string{"transient", "epoch", "issuer", "grant", "slot"}},
		{2, func(_ *Jar, id *Identity, s *Session) { id.Issuer, s.Grant, s.Slot = "", nil, "" }, []string{"issuer", "grant", "slot"}},
		{3, func(*Jar, *Identity, *Session) {}, []string{"pins"}},
	} {
		jar := fullJar()
		for i := range jar.Sessions {
			recorded := *jar.Sessions[i].Recorded
			jar.Sessions[i].Recorded = &recorded
			c.without(jar, &recorded, &jar.Sessions[i])
		}
		data, err := encodeJar(jar)
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range c.later {
			if bytes.Contains(data, []byte(`"`+member+`":`)) {
				t.Fatalf("the record has the member %s, which version %d does not", member, c.version)
			}
		}
		got, err := decodeJar(bytes.Replace(data, []byte(`"v":3`), fmt.Appendf(nil, `"v":%d`, c.version), 1))
		if err != nil || !reflect.DeepEqual(got, jar) {
			t.Errorf("version %d: decoded %+v, %v\nwant %+v", c.version, got, err, jar)
		}
	}
}

// TestRecordOfVersion2AsWritten is a record that the release before has written, byte for byte.
func TestRecordOfVersion2AsWritten(t *testing.T) {
	jar, err := decodeJar([]byte(`{"v":2,"id":"j","created_at":"2026-03-01T12:00:00.123Z","active":"h","sessions":[{"id":"i","handle":"h",` +
		`"identity":{"account":{"method":"password","subject":"alice"},"user_name":"alice","groups":["admin"],"epoch":7,` +
		`"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z"},"created_at":"2026-03-01T12:00:00.123Z",` +
		`"last_used_at":"2026-03-01T12:00:00.123Z","expires_at":"2026-03-31T12:00:00.123Z","ip":"192.0.2.1"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	s := jar.Sessions[0]
	if s.Grant != nil || s.Recorded.Issuer != "" || s.Recorded.Epoch != 7 || s.Recorded.UserName != "alice" || jar.Active != "h" {
		t.Errorf("decoded %+v of %+v", s, s.Recorded)
	}
}

// TestRecordOfVersion4AsWritten is a record with pins, byte for byte: a release to come must read it, and
// the release before must not take it for one of its own.
func TestRecordOfVersion4AsWritten(t *testing.T) {
	at := epoch.Add(123 * time.Millisecond)
	alice := Account{"password", "alice"}
	jar := &Jar{
		ID: "j", CreatedAt: at,
		Pins: []Pin{{Account: alice}, {"grafana.example.com", Account{"google", "1"}}},
		Sessions: []Session{{
			ID: "i", Handle: "h", Recorded: &Identity{Account: alice, UserName: "alice", CreatedAt: epoch, UpdatedAt: epoch},
			CreatedAt: at, LastUsedAt: at, ExpiresAt: at, Slot: "AAECAwQFBgcICQoLDA0ODw",
		}},
	}
	const want = `{"v":4,"id":"j","created_at":"2026-03-01T12:00:00.123Z","pins":[{"account":{"method":"password","subject":"alice"}},` +
		`{"site":"grafana.example.com","account":{"method":"google","subject":"1"}}],"sessions":[{"id":"i","handle":"h",` +
		`"identity":{"account":{"method":"password","subject":"alice"},"user_name":"alice","created_at":"2026-03-01T12:00:00Z",` +
		`"updated_at":"2026-03-01T12:00:00Z"},"created_at":"2026-03-01T12:00:00.123Z","last_used_at":"2026-03-01T12:00:00.123Z",` +
		`"expires_at":"2026-03-01T12:00:00.123Z","slot":"AAECAwQFBgcICQoLDA0ODw"}]}`
	if got, err := encodeJar(jar); err != nil || string(got) != want {
		t.Errorf("encoded\n%s, %v; want\n%s", got, err, want)
	}
	if got, err := decodeJar([]byte(want)); err != nil || !reflect.DeepEqual(got, jar) {
		t.Errorf("decoded %+v, %v\nwant %+v", got, err, jar)
	}
	jar.Pins = nil
	if got, err := encodeJar(jar); err != nil || !strings.HasPrefix(string(got), `{"v":3,`) || strings.Contains(string(got), "pins") {
		t.Errorf("without pins it is %s, %v", got, err)
	}
}

func TestDamagedPinsAreUnreadable(t *testing.T) {
	const account = `"account":{"method":"m","subject":"s"}`
	var many []string
	for i := range 1 + MaxPins {
		many = append(many, fmt.Sprintf(`{"site":"h%d",%s}`, i, account))
	}
	for _, c := range []struct{ name, members string }{
		{"no pin for all sites", `"pins":[{"site":"a.example.com",` + account + `}]`},
		{"two for all sites", `"pins":[{},{` + account + `}]`},
		{"two of one site", `"pins":[{},{"site":"a",` + account + `},{"site":"a",` + account + `}]`},
		{"site in upper case", `"pins":[{},{"site":"A.example.com",` + account + `}]`},
		{"site with a port", `"pins":[{},{"site":"a.example.com:443",` + account + `}]`},
		{"site that is none", `"pins":[{},{"site":"a b",` + account + `}]`},
		{"site that is too long", `"pins":[{},{"site":"` + strings.Repeat("a", origin.MaxHostBytes+1) + `",` + account + `}]`},
		{"site of nobody", `"pins":[{},{"site":"a"}]`},
		{"more than are kept", `"pins":[{},` + strings.Join(many, ",") + `]`},
		{"member of a later release", `"pins":[{"new":true}]`},
		{"an active session besides", `"active":"h","pins":[{}]`},
	} {
		data := `{"v":4,"id":"x",` + c.members + `,"sessions":[]}`
		if jar, err := decodeJar([]byte(data)); !errors.Is(err, ErrUnreadable) || jar != nil {
			t.Errorf("%s: decoded %v, %v; want ErrUnreadable", c.name, jar, err)
		}
	}
}

// A record that this release cannot read, as after a downgrade, signs its browser out and stays.
func TestUnreadableJarIsLeftAlone(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob")
	key := token.Key().storeKey()
	record, revision, err := w.store.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	record.Value = bytes.Replace(record.Value, []byte(`"v":5`), []byte(`"v":6`), 1)
	if _, err := w.store.CompareAndSwap(ctx, key, revision, record); err != nil {
		t.Fatal(err)
	}
	w.restart(defaults())
	writes := w.mem.count("swap", "delete")

	if v, err := w.Visit(ctx, token); !errors.Is(err, ErrUnreadable) || v.JarID() != "" || len(v.Entries()) != 0 {
		t.Errorf("Visit = %+v, %v; want the zero Visit and ErrUnreadable", v, err)
	}
	if _, err := w.SetActive(ctx, token, handles["alice"]); !errors.Is(err, ErrUnknownHandle) {
		t.Errorf("SetActive: %v, want ErrUnknownHandle", err)
	}
	if _, err := w.Revoke(ctx, token, handles["alice"]); !errors.Is(err, ErrUnknownHandle) {
		t.Errorf("Revoke: %v, want ErrUnknownHandle", err)
	}
	if ended, err := w.SignOut(ctx, token, Visit{}); err != nil || len(ended) != 0 {
		t.Errorf("SignOut = %v, %v; want nothing", ended, err)
	}
	if err := w.recordUse(ctx, use{token.Key(), handles["alice"], w.clock.now().Add(time.Hour)}); err != nil {
		t.Errorf("recordUse: %v", err)
	}
	// Whoever asked for the account to be ended must hear that a jar was not.
	other := w.signIn(Token{}, "alice")
	w.clock.advance(time.Second)
	if n, err := w.EndAccount(ctx, person("alice").Account, w.clock.now()); n != 1 || !errors.Is(err, ErrUnreadable) {
		t.Errorf("EndAccount = %d, %v; want the one readable session, and ErrUnreadable", n, err)
	}
	w.want(other.Token, "")
	if got := w.mem.count("swap", "delete") - writes; got != 2 {
		t.Errorf("%d writes, want the sign-in of the other browser and the end of its session", got)
	}

	done := w.signIn(token, "carol")
	w.want(done.Token, "carol*")
	after, _, err := w.store.Get(ctx, key)
	if err != nil || !bytes.Equal(after.Value, record.Value) {
		t.Errorf("the unreadable record was touched: %v", err)
	}
}

// However large the identities are that sign-in admits, a full jar is within a store's limits.
func TestFullJarFitsTheStore(t *testing.T) {
	options := defaults()
	options.MaxSessions = MaxSessionsLimit
	w := newWorld(t, options)
	var token Token
	for i := range MaxSessionsLimit {
		id := person(fmt.Sprintf("user-%d", i))
		id.Account.Method = fmt.Sprintf("method-%d", i)
		id.Groups = []string{strings.Repeat("g", maxTextBytes)}
		blank, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		id.Claims = map[string]any{"x": strings.Repeat("x", maxIdentityBytes-len(blank)-len(`,"claims":{"x":""}`))}
		grant := grantOfSize(maxGrantBytes)
		grant.SID = fmt.Sprintf("%0*d", maxTextBytes, i)
		grant.Sealed = grant.Sealed[:len(grant.Sealed)-(maxTextBytes+len(`"sid":"",`))/4*3-3]
		done, err := w.SignIn(context.Background(), token, id, grant, Client{
			IP:        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%zone",
			UserAgent: strings.Repeat("<", 5000),
		})
		if err != nil {
			t.Fatalf("sign-in %d: %v", i, err)
		}
		token = done.Token
	}
	record, _, err := w.store.Get(context.Background(), token.Key().storeKey())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, %d terms", len(record.Value), len(record.Terms))
	if len(record.Value) < storage.MaxValueBytes*3/4 || len(record.Terms) != 2+5*MaxSessionsLimit {
		t.Error("the jar is not the largest that there can be")
	}
	active := w.visit(token).jar.Active
	w.settle()
	if err := w.recordUse(context.Background(), use{token.Key(), active, w.clock.now().Add(time.Hour)}); err != nil {
		t.Errorf("a full jar cannot be changed: %v", err)
	}

	big := person("big")
	big.Claims = map[string]any{"x": strings.Repeat("x", maxIdentityBytes)}
	was := w.stored(token)
	if _, err := w.SignIn(context.Background(), token, big, nil, Client{}); err == nil || errors.Is(err, storage.ErrInvalid) {
		t.Errorf("sign-in of an identity that is too large: %v, want a refusal of the identity", err)
	}
	if _, err := w.SignIn(context.Background(), token, person("big"), grantOfSize(maxGrantBytes+4), Client{}); err == nil || errors.Is(err, storage.ErrInvalid) {
		t.Errorf("sign-in with a grant that is too large: %v, want a refusal of the grant", err)
	}
	big.Claims = map[string]any{"x": func() {}}
	if _, err := w.SignIn(context.Background(), token, big, nil, Client{}); err == nil {
		t.Error("an identity that cannot be stored was signed in")
	}
	w.unchanged(token, was)
}

// grantOfSize returns a grant that takes so many bytes as it is stored, give or take three.
func grantOfSize(n int) *Grant {
	return &Grant{Sealed: bytes.Repeat([]byte{0xff}, (n-len(`{"sealed":""}`))/4*3)}
}

func FuzzDecodeJar(f *testing.F) {
	good, err := encodeJar(fullJar())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"v":3,"id":"x","sessions":null}`))
	pinned, err := encodeJar(pinnedJar())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pinned)
	f.Add([]byte(`{"v":4,"id":"x","pins":[{},{"site":"a.example.com","account":{"method":"m","subject":"s"}}],"sessions":[]}`))
	f.Add([]byte(`{"v":3,"id":"x","created_at":"0000-01-01T00:00:00+23:59","sessions":[{"id":"a","handle":"b","identity":{"account":{"method":"m","subject":"s"},"user_name":"u","claims":{"n":1e400}}}]}`))
	f.Add([]byte(`{"v":3}`))
	f.Add(bytes.Replace(good, []byte(`"v":3`), []byte(`"v":1`), 1))
	f.Add([]byte(`{"v":2,"id":"x","sessions":[{"id":"a","handle":"b","identity":{"account":{"method":"m","subject":"s"},"user_name":"u","epoch":1}}]}`))
	f.Add([]byte(`{"v":3,"id":"x","sessions":[` +
		`{"id":"a","handle":"b","identity":{"account":{"method":"m","subject":"s"},"issuer":"https://a","user_name":"u"},"grant":{"sid":"s"}},` +
		`{"id":"c","handle":"d","identity":{"account":{"method":"m","subject":"t"},"issuer":"https://a","user_name":"u"},"grant":{"sid":"s","sealed":"AA==","renew_at":"2026-03-01T12:00:00.5+01:00","expires_at":"0001-01-01T00:00:00Z"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		jar, err := decodeJar(data)
		if err != nil {
			if !errors.Is(err, ErrUnreadable) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		first, err := encodeJar(jar)
		if err != nil {
			t.Fatalf("decoded, but cannot be encoded: %v", err)
		}
		again, err := decodeJar(first)
		if err != nil {
			t.Fatalf("encoded to %q, which cannot be decoded: %v", first, err)
		}
		second, err := encodeJar(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("decoded to another jar: %v\n%s\n%s", err, first, second)
		}
		terms := make(map[string]bool)
		for _, term := range indexTerms(jar) {
			if terms[term] {
				t.Fatalf("term %q twice: the jar could never be written again", term)
			}
			terms[term] = true
		}
	})
}
