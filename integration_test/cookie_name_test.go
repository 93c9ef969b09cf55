package integration

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// portSite is one gateway of several on the ports of one host.
const portSite = `{
	multi_session {
		%s
		login password {
			throttle off
			%s
		}
	}
}
http://localhost:%s {
	multi_session
	reverse_proxy %s
}
`

// TestGatewaysOnTwoPortsOfAHost has a browser use two gateways whose cookies it sends to both, because
// cookies know no ports. Neither may sign it out of the other, take the cookies of its apps, or show
// its cookies to its own app.
func TestGatewaysOnTwoPortsOfAHost(t *testing.T) {
	var sites []*browser
	for _, option := range []string{"", "cookie_name nas"} {
		up := newEcho(t)
		address := freeAddress(t)
		startGateway(t, fmt.Sprintf(portSite, option, userOptions, port(address), up.address()))
		b := named(t, address, "http://localhost:"+port(address))
		if len(sites) > 0 {
			b.client.Jar = sites[0].client.Jar
		}
		sites = append(sites, b)
	}
	for _, round := range []struct {
		at   int
		user string
	}{{0, "alice"}, {1, "bob"}, {0, "carol"}, {1, "alice"}} {
		b := sites[round.at]
		b.signIn(round.user)
		for i, site := range sites {
			page := site.open("/page")
			if i != round.at && len(site.accounts()) == 0 {
				continue // nobody has signed in there yet
			}
			if page.StatusCode != http.StatusOK {
				t.Errorf("after %s at gateway %d, gateway %d answers %s", round.user, round.at, i, page.Status)
				continue
			}
			if cookies := page.seen(t).Header["Cookie"]; len(cookies) > 0 {
				t.Errorf("the app behind gateway %d is sent %q", i, cookies)
			}
		}
	}
	if got := sites[0].accounts(); !slices.Equal(got, []string{"alice", "carol"}) {
		t.Errorf("the first gateway has %v", got)
	}
	if got := sites[1].accounts(); !slices.Equal(got, []string{"bob", "alice"}) {
		t.Errorf("the second gateway has %v", got)
	}
}
