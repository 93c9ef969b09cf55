package integration

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// certified is an OpenID provider of another make than idp: npm's oidc-provider, in a process of its
// own. It has one session with a browser, which is over when somebody else signs in there.
type certified struct {
	issuer string
	key    *signer
	log    *buffer
}

// certifiedOptions are what there is to say about it.
type certifiedOptions struct {
	Gateway  string        // origin of the gateway's site, or its host:port
	ID       string        // of the login there; "certified" by default
	Lifetime time.Duration // of access tokens; an hour by default
	Quiet    bool          // it does not tell the gateway which sessions are over
	Plain    bool          // it is not set up for prompt=select_account
	Stranded bool          // it has no address at the gateway to send browsers back to after a sign-out
	Client   object        // what is changed about the gateway's registration; nil takes a member away
	Push     bool          // it takes authorization requests from the gateway alone (RFC 9126)
}

// newCertified runs the provider until the test ends.
func newCertified(t testing.TB, o certifiedOptions) *certified {
	t.Helper()
	nodePackages(t)
	if o.ID == "" {
		o.ID = "certified"
	}
	if o.Lifetime == 0 {
		o.Lifetime = time.Hour
	}
	p := &certified{key: newSigner(t, jose.RS256), log: new(buffer)}
	configuration, err := json.Marshal(object{
		"client":   certifiedClient(o),
		"jwks":     jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.key.jwk(true)}},
		"people":   claimsOfPeople(),
		"lifetime": int(o.Lifetime.Seconds()),
		"plain":    o.Plain,
		"push":     o.Push,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.issuer = p.run(t, append(configuration, '\n'))
	return p
}

// run starts the process with its configuration, and returns what it says its issuer is.
func (p *certified) run(t testing.TB, configuration []byte) (issuer string) {
	t.Helper()
	node := exec.Command("node", "provider.mjs")
	node.Dir = "provider"
	node.Stderr = p.log
	input, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		if err := node.Wait(); err != nil {
			t.Errorf("node provider.mjs: %v", err)
		}
		if t.Failed() {
			t.Logf("the provider's log:\n%s", p.log)
		}
	})
	if _, err := input.Write(configuration); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("the provider does not serve: %v\n%s", err, p.log)
	}
	return strings.TrimSpace(line)
}

// certifiedClient is the gateway, as the provider has it registered.
func certifiedClient(o certifiedOptions) object {
	client := object{
		"client_id":                 clientID,
		"client_secret":             clientSecret,
		"redirect_uris":             []string{callback(o.Gateway, o.ID)},
		"post_logout_redirect_uris": []string{siteOrigin(o.Gateway) + "/.auth/signed-out"},
		"grant_types":               []string{"authorization_code", "refresh_token"},
		"response_types":            []string{"code"},
	}
	if o.Stranded {
		delete(client, "post_logout_redirect_uris")
	}
	if !o.Quiet {
		client["backchannel_logout_uri"] = siteOrigin(o.Gateway) + "/.auth/oidc/" + o.ID + "/backchannel-logout"
		client["backchannel_logout_session_required"] = true
	}
	for member, value := range o.Client {
		if client[member] = value; value == nil {
			delete(client, member)
		}
	}
	return client
}

// claimsOfPeople are the claims of those whom providers know.
func claimsOfPeople() (all []object) {
	for _, p := range people() {
		all = append(all, object{
			"sub": p.Subject, "preferred_username": p.UserName, "name": p.Name,
			"email": p.Email, "email_verified": p.Verified, "groups": p.Groups,
		})
	}
	return all
}

// login is the block of a Caddyfile for this provider, with further options.
func (p *certified) login(id string, options ...string) string {
	return oidcLogin(id, p.issuer, append([]string{"scopes openid profile email groups"}, options...)...)
}

// logoutToken is logoutToken of idp.
func (p *certified) logoutToken(t testing.TB, changes object) string {
	return p.key.logoutToken(t, p.issuer, changes)
}
