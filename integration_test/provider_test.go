package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// reliant is a gateway at which people sign in at providers, in front of an app that tells who it
// takes them for.
type reliant struct {
	*gateway
	up      *echo
	address string // of the site
	config  string
}

// newReliant returns one that does not run yet, for providers want to know where it will be.
func newReliant(t testing.TB) *reliant {
	t.Helper()
	return &reliant{gateway: newGateway(t), up: newEcho(t), address: freeAddress(t)}
}

// serve runs the gateway with options of the app, such as logins, and directives of the site.
func (r *reliant) serve(options string, directives ...string) {
	r.t.Helper()
	if len(directives) == 0 {
		directives = []string{"multi_session"}
	}
	r.config = fmt.Sprintf("{\n\tmulti_session {\n%s\n\t}\n}\nhttp://%s {\n\t%s\n\treverse_proxy %s\n}\n",
		options, r.address, strings.Join(directives, "\n\t"), r.up.address())
	r.start(r.config)
}

// browser is a new one, on the site.
func (r *reliant) browser() *browser { return newBrowser(r.t, "http://"+r.address) }

// passwords is the login for the users of userOptions.
const passwords = "login password {\n\tthrottle off\n" + userOptions + "}\n"

const (
	socialPath  = "/.auth/sign-in/social"
	signInPage  = "/.auth/sign-in"
	chooserPage = "/.auth/accounts"
)

// depart begins a sign-in as the stock client does, and returns where the browser is to go.
func (b *browser) depart(id string, more object) string {
	b.t.Helper()
	body := object{"provider": id, "callbackURL": "/"}
	for name, value := range more {
		body[name] = value
	}
	answer := b.post(socialPath, body)
	var departure struct {
		URL      string
		Redirect bool
	}
	if answer.StatusCode != http.StatusOK {
		b.t.Fatalf("sign in at %s: %s: %s", id, answer.Status, answer.body)
	}
	answer.json(b.t, &departure)
	if departure.URL == "" || !departure.Redirect {
		b.t.Fatalf("sign in at %s: %s", id, answer.body)
	}
	return departure.URL
}

// back is the address at the gateway that somebody is sent back to who says at the provider that they
// are the user. What is there is not asked for yet.
func (b *browser) back(departure, user string) string {
	b.t.Helper()
	stop := b.base + "/.auth/"
	at := b.travel(b.visit(departure), stop)
	if strings.HasPrefix(at.Request.URL.String(), b.base) {
		b.t.Fatalf("%s does not lead to a provider", departure)
	}
	if at.StatusCode == http.StatusOK {
		at = b.fill(at, url.Values{"user": {user}}, stop)
	}
	location, err := at.Location()
	if err != nil {
		b.t.Fatalf("the provider answers %s at %s\n%s", at.Status, at.Request.URL, at.body)
	}
	return location.String()
}

// signInAt signs in at a provider as one of the people there, and returns what the browser shows then.
func (b *browser) signInAt(id, user string) reply {
	b.t.Helper()
	at := b.travel(b.visit(b.back(b.depart(id, nil), user)), "")
	if at.StatusCode != http.StatusOK {
		b.t.Fatalf("sign in at %s as %s: %s at %s\n%s", id, user, at.Status, at.Request.URL, at.body)
	}
	return at
}

// handles are those of the browser's sessions, by the accounts' ids.
func (b *browser) handles() map[string]string {
	b.t.Helper()
	var entries []entry
	b.get(listPath).json(b.t, &entries)
	handles := map[string]string{}
	for _, e := range entries {
		handles[e.User.ID] = e.Session.Token
	}
	return handles
}

// become makes the session of an account the active one.
func (b *browser) become(account string) {
	b.t.Helper()
	if answer := b.post(switchPath, object{"sessionToken": b.handles()[account]}); answer.StatusCode != http.StatusOK {
		b.t.Fatalf("switch to %s: %s: %s", account, answer.Status, answer.body)
	}
}

// account is the id of one of the people's at a provider.
func account(id, user string) string { return id + ":" + subjectOf(user) }

// wants fails the test unless these are the accounts that the browser has, in order.
func (b *browser) wants(accounts ...string) {
	b.t.Helper()
	if got := b.accounts(); !slices.Equal(got, append([]string{}, accounts...)) {
		b.t.Errorf("the browser has %v, want %v", got, accounts)
	}
}

// isPage fails the test unless an answer is a page for people, with a status.
func (r reply) isPage(t testing.TB, status int, texts ...string) {
	t.Helper()
	if r.StatusCode != status || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") || !strings.Contains(r.body, "<h1") {
		t.Errorf("%s is answered %s\n%s", r.Request.URL.Path, r.Status, r.body)
	}
	for _, text := range texts {
		if !strings.Contains(r.body, text) {
			t.Errorf("%s does not say %q:\n%s", r.Request.URL.Path, text, r.body)
		}
	}
}

// stored is what is in a stopped gateway's database, by key.
func (g *gateway) stored() map[string]string {
	g.t.Helper()
	db, err := bbolt.Open(g.database(), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		g.t.Fatal(err)
	}
	defer db.Close()
	records := map[string]string{}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("records")).ForEach(func(k, v []byte) error {
			records[string(k)] = string(v)
			return nil
		})
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return records
}

// database is where the gateway keeps it by default.
func (g *gateway) database() string { return g.dir + "/data/caddy/multi_session.db" }
