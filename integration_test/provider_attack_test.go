package integration

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// containsAll reports whether a text has all the parts.
func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// attacked is a sign-in that must come to nothing: a page that says so, no session, and one line that
// says why.
type attacked struct {
	status int
	reason string // of the audit line
}

// check looks at what an attack has come to.
func (a attacked) check(t *testing.T, r *reliant, b *browser, at reply) {
	t.Helper()
	at.isPage(t, a.status)
	if strings.Contains(at.body, "<b>") || strings.Contains(at.body, "goroutine") {
		t.Errorf("the page says\n%s", at.body)
	}
	if answer := b.get(getActivePath); strings.TrimSpace(answer.body) != "null" {
		t.Errorf("somebody is signed in: %s", answer.body)
	}
	b.wants()
	lines := r.audit("sign-in")
	if len(lines) == 0 {
		t.Fatal("there is no audit line")
	}
	line := lines[len(lines)-1]
	if line["outcome"] != "failure" || line["reason"] != a.reason || line["account"] != nil {
		t.Errorf("audit line %v, want the reason %s", line, a.reason)
	}
}

// TestAttackHostileProvider has a provider lie in every way there is. A lie leaves the next sign-in as
// it would be.
func TestAttackHostileProvider(t *testing.T) {
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	cases := map[string]struct {
		lie lie
		attacked
	}{
		"state missing":           {lie{answer: answering("state")}, attacked{400, "state"}},
		"state empty":             {lie{answer: answering("state", "")}, attacked{400, "state"}},
		"state of nobody":         {lie{answer: answering("state", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")}, attacked{400, "no flow"}},
		"state with more":         {lie{answer: func(a url.Values) { a.Set("state", a.Get("state")+"A") }}, attacked{400, "no flow"}},
		"state twice":             {lie{answer: func(a url.Values) { a.Add("state", "another") }}, attacked{400, "state"}},
		"answer's iss missing":    {lie{answer: answering("iss")}, attacked{400, "iss"}},
		"answer's iss of another": {lie{answer: answering("iss", "https://other.example")}, attacked{400, "iss"}},
		"answer's iss twice":      {lie{answer: func(a url.Values) { a.Add("iss", "https://other.example") }}, attacked{400, "iss"}},
		"error of another iss": {lie{answer: func(a url.Values) {
			a.Del("code")
			a.Set("error", "access_denied")
			a.Set("iss", "https://other.example")
		}}, attacked{400, "iss"}},
		"code missing": {lie{answer: answering("code")}, attacked{400, "no_code"}},
		"code twice":   {lie{answer: func(a url.Values) { a.Add("code", "another") }}, attacked{400, "no_code"}},
		"error with markup": {lie{answer: func(a url.Values) {
			a.Del("code")
			a.Set("error", "<b>x")
			a.Set("error_description", "<b>call us</b>")
		}}, attacked{403, "PROVIDER_ERROR"}},
		"nonce of another":            {lie{claims: setting("nonce", "another")}, attacked{400, "nonce"}},
		"nonce missing":               {lie{claims: setting("nonce", nil)}, attacked{400, "nonce"}},
		"nonce empty":                 {lie{claims: setting("nonce", "")}, attacked{400, "nonce"}},
		"nonce no text":               {lie{claims: setting("nonce", 1)}, attacked{400, "nonce"}},
		"aud of another":              {lie{claims: setting("aud", "another")}, attacked{400, "aud"}},
		"aud missing":                 {lie{claims: setting("aud", nil)}, attacked{400, "aud"}},
		"aud of several others":       {lie{claims: setting("aud", []string{"another", "third"})}, attacked{400, "aud"}},
		"azp missing with several":    {lie{claims: setting("aud", []string{clientID, "another"})}, attacked{400, "azp"}},
		"azp of another":              {lie{claims: setting("azp", "another")}, attacked{400, "azp"}},
		"iss of another":              {lie{claims: setting("iss", "https://other.example")}, attacked{400, "iss"}},
		"iss with a slash":            {lie{claims: func(c object) { c["iss"] = c["iss"].(string) + "/" }}, attacked{400, "iss"}},
		"iss missing":                 {lie{claims: setting("iss", nil)}, attacked{400, "iss"}},
		"exp in the past":             {lie{claims: setting("exp", past)}, attacked{400, "exp"}},
		"exp missing":                 {lie{claims: setting("exp", nil)}, attacked{400, "exp"}},
		"exp no number":               {lie{claims: setting("exp", "tomorrow")}, attacked{400, "exp"}},
		"iat in the future":           {lie{claims: setting("iat", future)}, attacked{400, "iat"}},
		"iat long ago":                {lie{claims: setting("iat", past)}, attacked{400, "iat"}},
		"nbf in the future":           {lie{claims: setting("nbf", future)}, attacked{400, "nbf"}},
		"sub missing":                 {lie{claims: setting("sub", nil)}, attacked{400, "sub"}},
		"sub empty":                   {lie{claims: setting("sub", "")}, attacked{400, "sub"}},
		"sub no text":                 {lie{claims: setting("sub", 1)}, attacked{400, "sub"}},
		"sub endless":                 {lie{claims: setting("sub", strings.Repeat("x", 5000)), userInfo: setting("sub", strings.Repeat("x", 5000))}, attacked{400, "claims"}},
		"user name with a line break": {lie{claims: setting("preferred_username", "mallory\r\nRemote-User: alice"), userInfo: setting("preferred_username", "mallory\r\nRemote-User: alice")}, attacked{400, "claims"}},
		"alg none":                    {lie{idToken: unsigned("none")}, attacked{400, "alg"}},
		"alg None":                    {lie{idToken: unsigned("None")}, attacked{400, "alg"}},
		"HS256 with the public key":   {lie{idToken: hmacWithPublicKey}, attacked{400, "alg"}},
		"HS256 with the secret":       {lie{idToken: hmacWithSecret}, attacked{400, "alg"}},
		"kid unknown":                 {lie{idToken: unknownKey}, attacked{400, "kid"}},
		"kid of another key":          {lie{idToken: forgedKey}, attacked{400, "signature"}},
		"claims tampered with":        {lie{idToken: tampered}, attacked{400, "signature"}},
		"typ of a logout token":       {lie{idToken: func(h *hostile, c object) any { return h.key.sign(h.t, "logout+jwt", c) }}, attacked{400, "typ"}},
		"at_hash of another token":    {lie{claims: setting("at_hash", "77QmUPtjPfzWtF2AnpK9RQ")}, attacked{400, "at_hash"}},
		"ID token missing":            {lie{tokens: setting("id_token", nil)}, attacked{400, "no_id_token"}},
		"ID token no token":           {lie{tokens: setting("id_token", "a.b.c")}, attacked{400, "malformed"}},
		"ID token no text":            {lie{tokens: setting("id_token", object{"sub": "x"})}, attacked{400, "no_id_token"}},
		"ID token huge":               {lie{claims: setting("more", strings.Repeat("x", 100<<10))}, attacked{400, "malformed"}},
		"access token missing":        {lie{tokens: setting("access_token", nil)}, attacked{503, "TEMPORARILY_UNAVAILABLE"}},
		"userinfo of another":         {lie{userInfo: setting("sub", "somebody-else")}, attacked{400, "userinfo_sub"}},
		"userinfo of nobody":          {lie{userInfo: setting("sub", nil)}, attacked{400, "userinfo_sub"}},
		"userinfo huge, and needed":   {lie{claims: setting("preferred_username", nil), endpoints: map[string]http.HandlerFunc{hostileUserInfo: huge}}, attacked{503, "TEMPORARILY_UNAVAILABLE"}},
		"tokens refused":              {lie{endpoints: map[string]http.HandlerFunc{hostileToken: refusing("invalid_grant")}}, attacked{400, "code"}},
		"tokens huge":                 {lie{endpoints: map[string]http.HandlerFunc{hostileToken: huge}}, attacked{503, "TEMPORARILY_UNAVAILABLE"}},
		"tokens no JSON":              {lie{endpoints: map[string]http.HandlerFunc{hostileToken: func(w http.ResponseWriter, _ *http.Request) { writePage(w, "Maintenance", "<b>later</b>") }}}, attacked{503, "TEMPORARILY_UNAVAILABLE"}},
		"tokens fail":                 {lie{endpoints: map[string]http.HandlerFunc{hostileToken: failing(http.StatusInternalServerError)}}, attacked{503, "TEMPORARILY_UNAVAILABLE"}},
		"tokens at another host":      {lie{endpoints: map[string]http.HandlerFunc{hostileToken: redirecting("http://127.0.0.1:1/token")}}, attacked{503, "TEMPORARILY_UNAVAILABLE"}},
	}
	r := newReliant(t)
	h := newHostile(t)
	r.serve(h.login("hostile"))
	b := r.browser()
	b.travel(b.visit(b.depart("hostile", nil)), "").seen(t) // what it does not lie about it does right
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h.tell(c.lie)
			b := r.browser()
			c.check(t, r, b, b.travel(b.visit(b.depart("hostile", nil)), ""))
		})
	}
	h.tell(lie{})
	b = r.browser()
	if got := b.travel(b.visit(b.depart("hostile", nil)), "").seen(t).Header.Get("Remote-User"); got != "mallory" {
		t.Errorf("without a lie: %q", got)
	}
	if strings.Contains(r.log.String(), "panic") {
		t.Error("something panicked")
	}
}

// TestAttackSlowProvider: a provider that does not answer holds a browser up for as long as people
// wait, and nobody else.
func TestAttackSlowProvider(t *testing.T) {
	r := newReliant(t)
	var logins string
	var all []*hostile
	for _, path := range []string{hostileToken, hostileKeys, hostileUserInfo} {
		h := newHostile(t)
		h.tell(lie{endpoints: map[string]http.HandlerFunc{path: slow}})
		all = append(all, h)
		logins += h.login("slow" + path[1:])
	}
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(logins + p.login("idp"))
	var wait sync.WaitGroup
	for i, path := range []string{hostileToken, hostileKeys, hostileUserInfo} {
		b := r.browser()
		back := b.back(b.depart("slow"+path[1:], nil), "")
		wait.Go(func() {
			at, err := b.do(b.navigation(http.MethodGet, back, nil))
			if err != nil {
				t.Error(err)
				return
			}
			at.isPage(t, http.StatusServiceUnavailable)
			b.wants()
		})
		await(t, "the slow endpoint to be asked", func() bool { return all[i].count(path) > 0 })
	}
	begun := time.Now()
	r.browser().signInAt("idp", "alice")
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("another sign-in took %s meanwhile", took)
	}
	wait.Wait()
}

// TestAttackHostileDiscovery: a provider that describes itself as another, or leads elsewhere, is not
// there for the gateway, which says so and serves.
func TestAttackHostileDiscovery(t *testing.T) {
	other := newHostile(t)
	cases := map[string]lie{
		"issuer-of-another": {discovery: setting("issuer", other.issuer)},
		"issuer-with-slash": {discovery: func(m object) { m["issuer"] = m["issuer"].(string) + "/" }},
		"no-issuer":         {discovery: setting("issuer", nil)},
		"no-token-endpoint": {discovery: setting("token_endpoint", nil)},
		"no-keys":           {discovery: setting("jwks_uri", nil)},
		"endpoint-script":   {discovery: setting("authorization_endpoint", "javascript:alert(1)")},
		"endpoint-plain":    {discovery: setting("token_endpoint", "http://192.0.2.1/token")},
		"keys-plain":        {discovery: setting("jwks_uri", "http://192.0.2.1/keys")},
		"algorithms-none":   {discovery: setting("id_token_signing_alg_values_supported", []string{"none", "HS256"})},
		"elsewhere":         {endpoints: map[string]http.HandlerFunc{discoveryEndpoint: redirecting(strings.Replace(other.issuer, "localhost", "127.0.0.1", 1) + discoveryEndpoint)}},
		"huge":              {endpoints: map[string]http.HandlerFunc{discoveryEndpoint: huge}},
		"fails":             {endpoints: map[string]http.HandlerFunc{discoveryEndpoint: failing(http.StatusInternalServerError)}},
	}
	r := newReliant(t)
	logins := passwords
	for id, l := range cases {
		h := newHostile(t)
		h.tell(l)
		logins += h.login(id)
	}
	r.serve(logins)
	for id := range cases {
		t.Run(id, func(t *testing.T) {
			b := r.browser()
			answer := b.post(socialPath, object{"provider": id})
			if answer.StatusCode != http.StatusServiceUnavailable || answer.code() != "TEMPORARILY_UNAVAILABLE" {
				t.Errorf("%s %s", answer.Status, answer.body)
			}
			at := b.fill(b.open(signInPage), url.Values{"method": {id}}, "")
			attacked{503, "TEMPORARILY_UNAVAILABLE"}.check(t, r, b, at)
		})
	}
	if n := other.count(discoveryEndpoint); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
	b := r.browser()
	b.signIn("alice")
}

// TestAttackHostileKeys: keys that lead elsewhere or are none sign nobody in, and the provider is not
// asked again and again for one that it does not have.
func TestAttackHostileKeys(t *testing.T) {
	other := newHostile(t)
	symmetric := func(h *hostile) jose.JSONWebKeySet {
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: []byte("a key that is the same on both sides"), KeyID: h.key.id, Algorithm: "HS256", Use: "sig"}}}
	}
	cases := map[string]struct {
		lie lie
		attacked
	}{
		"elsewhere": {lie{endpoints: map[string]http.HandlerFunc{hostileKeys: redirecting(strings.Replace(other.issuer, "localhost", "127.0.0.1", 1) + hostileKeys)}}, attacked{503, "TEMPORARILY_UNAVAILABLE"}},
		"huge":      {lie{endpoints: map[string]http.HandlerFunc{hostileKeys: huge}}, attacked{503, "TEMPORARILY_UNAVAILABLE"}},
		"none":      {lie{keys: func(*hostile) jose.JSONWebKeySet { return jose.JSONWebKeySet{} }}, attacked{503, "TEMPORARILY_UNAVAILABLE"}},
		"symmetric": {lie{keys: symmetric}, attacked{503, "TEMPORARILY_UNAVAILABLE"}},
	}
	r := newReliant(t)
	providers := map[string]*hostile{"repeated": newHostile(t)}
	logins := providers["repeated"].login("repeated")
	for id, c := range cases {
		providers[id] = newHostile(t)
		providers[id].tell(c.lie)
		logins += providers[id].login(id)
	}
	r.serve(logins)
	for id, c := range cases {
		t.Run(id, func(t *testing.T) {
			b := r.browser()
			c.check(t, r, b, b.travel(b.visit(b.depart(id, nil)), ""))
		})
	}
	if n := other.count(hostileKeys); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}

	h := providers["repeated"]
	unknown := newSigner(t, jose.RS256)
	h.tell(lie{idToken: func(h *hostile, c object) any { return unknown.sign(h.t, "JWT", c) }})
	for range 5 {
		b := r.browser()
		attacked{400, "kid"}.check(t, r, b, b.travel(b.visit(b.depart("repeated", nil)), ""))
	}
	if n := h.count(hostileKeys); n > 2 {
		t.Errorf("the keys were asked for %d times for one name", n)
	}
}

// TestAttackReplayedAnswer: one and the same answer twenty times at once is good once, even at a
// provider that takes its codes as often as they come.
func TestAttackReplayedAnswer(t *testing.T) {
	r := newReliant(t)
	h := newHostile(t)
	r.serve(h.login("hostile"))
	b := r.browser()
	back := b.back(b.depart("hostile", nil), "")
	// Each of these has the cookies of before any of them is answered.
	cookies := b.cookieHeader()
	statuses := make([]int, 20)
	var wait sync.WaitGroup
	for i := range statuses {
		stranger := r.browser()
		request := stranger.navigation(http.MethodGet, back, nil)
		request.Header.Set("Cookie", cookies)
		wait.Go(func() {
			if answer, err := stranger.do(request); err == nil {
				statuses[i] = answer.StatusCode
			}
		})
	}
	wait.Wait()
	through := 0
	for _, status := range statuses {
		switch status {
		case http.StatusSeeOther:
			through++
		case http.StatusBadRequest:
		default:
			t.Errorf("status %d", status)
		}
	}
	if through != 1 || h.count(hostileToken) != 1 {
		t.Errorf("%d of 20 came through, and %d codes were redeemed", through, h.count(hostileToken))
	}
	if n := len(r.sessionsOf("hostile:mallory-1")); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// TestAttackAnswerOfAnotherProvider: what one provider answers is nothing at the callback of another
// (RFC 9700, section 4.4).
func TestAttackAnswerOfAnotherProvider(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	h := newHostile(t)
	r.serve(p.login("idp") + h.login("hostile"))

	b := r.browser()
	back := b.back(b.depart("idp", nil), "alice")
	attacked{400, "mix-up"}.check(t, r, b, b.visit(strings.Replace(back, "/callback/idp", "/callback/hostile", 1)))
	if n := h.count(hostileToken); n != 0 {
		t.Error("the code of the one was sent to the other")
	}
	// Nor is it good where it belongs any more.
	attacked{400, "no flow"}.check(t, r, b, b.visit(back))

	// A code of the one with the state of the other: the hostile one does not know the code.
	b = r.browser()
	code := queryOf(t, b.back(b.depart("idp", nil), "alice")).Get("code")
	mixed := b.back(b.depart("hostile", nil), "")
	query := queryOf(t, mixed)
	query.Set("code", code)
	attacked{400, "code"}.check(t, r, b, b.visit(strings.Split(mixed, "?")[0]+"?"+query.Encode()))
}

func queryOf(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// TestAttackCallbackInAnotherBrowser: somebody is sent an answer that belongs to somebody else's
// account, to work in it unawares (RFC 6749, section 10.12).
func TestAttackCallbackInAnotherBrowser(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	mallory, victim := r.browser(), r.browser()
	back := mallory.back(mallory.depart("idp", nil), "bob")
	attacked{400, "no flow"}.check(t, r, victim, victim.visit(back))

	// Also not one who has begun to sign in, nor one who is signed in already.
	victim.depart("idp", nil)
	attacked{400, "no flow"}.check(t, r, victim, victim.visit(back))
	victim.signInAt("idp", "alice")
	victim.visit(back).isPage(t, http.StatusBadRequest)
	victim.wants(account("idp", "alice"))

	// It was not used up by those who could not use it.
	mallory.travel(mallory.visit(back), "").seen(t)
	mallory.wants(account("idp", "bob"))
	mallory.visit(back).isPage(t, http.StatusBadRequest)
	mallory.wants(account("idp", "bob"))
}

// TestAttackNoSecretInLogs: nothing that lets somebody in is in any log, whatever goes wrong.
func TestAttackNoSecretInLogs(t *testing.T) {
	r := newReliant(t)
	h := newHostile(t)
	r.serveLogged(h.login("hostile", "expose access_token id_token"))
	lies := []lie{
		{}, {claims: setting("nonce", "another")}, {idToken: unknownKey}, {idToken: unsigned("none")}, {answer: answering("iss")},
		{answer: func(a url.Values) { a.Add("state", "another") }}, {userInfo: setting("sub", "somebody-else")},
		{tokens: setting("id_token", "a.b.c")}, {tokens: setting("access_token", nil)}, {tokens: setting("expires_in", 1)},
		{endpoints: map[string]http.HandlerFunc{hostileToken: failing(http.StatusInternalServerError)}},
		{endpoints: map[string]http.HandlerFunc{hostileToken: refusing("invalid_grant")}},
		{endpoints: map[string]http.HandlerFunc{hostileToken: echoing}},
	}
	for _, l := range lies {
		h.tell(l)
		b := r.browser()
		at := b.travel(b.visit(b.depart("hostile", nil)), "")
		b.visit(at.Request.URL.String())
		b.open("/")
	}
	r.stop()
	// The server's access log has addresses as they are, and with them what is good once and in one
	// browser. All else is a secret there too.
	var own, access []string
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, `"logger":"http.log.access`) {
			access = append(access, line)
		} else {
			own = append(own, line)
		}
	}
	if !containsAll(strings.Join(access, ""), "/.auth/callback/hostile") {
		t.Error("the access log has no callback")
	}
	lasting := append(h.issued(), clientSecret, url.QueryEscape(clientSecret), "eyJ")
	for _, secret := range append(h.told(), lasting...) {
		if strings.Contains(strings.Join(own, ""), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	for _, secret := range lasting {
		if strings.Contains(strings.Join(access, ""), secret) {
			t.Errorf("%q is in the access log", secret)
		}
	}
}

// echoing refuses with what it was asked, in all places that a client may show.
func echoing(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	writeStatus(w, http.StatusBadRequest, object{"error": "invalid_" + r.PostForm.Get("code"), "error_description": r.PostForm.Encode(), "error_uri": r.Header.Get("Authorization")})
}

// serveLogged is serve with every log there is at its most talkative.
func (r *reliant) serveLogged(options string) {
	r.t.Helper()
	r.serve("\t\t"+options, "log", "multi_session")
	r.stop()
	r.config = strings.Replace(r.config, "{\n", "{\n\tdebug\n\tlog {\n\t\tformat json\n\t\tlevel DEBUG\n\t}\n", 1)
	r.start(r.config)
}

// sessionsOf are the live sessions of an account, as an administrator sees them.
func (r *reliant) sessionsOf(account string) (found []object) {
	r.t.Helper()
	sessions, _ := r.done(http.MethodGet, "/sessions", nil)["sessions"].([]any)
	for _, s := range sessions {
		if s := s.(object); s["account"] == account {
			found = append(found, s)
		}
	}
	return found
}
