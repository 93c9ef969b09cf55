// Package portal is what the gateway answers itself: the pages and the JSON API under its path
// prefix, and the answers to requests that the gate does not let through.
//
// There are two doors, forms and JSON, and one set of functions behind them:
//
//	routes.go                       which path and method is whose
//	crossorigin.go                  who may change state: the page that a request comes from
//	cors.go                         who may read the API's answers: pages of trusted origins
//	body.go                         what a request brings along, bounded and read once
//	pages.go, pages_*.go            the door of the pages: forms in, pages and redirects out
//	api.go, api_*.go, wire.go       the door of the API: JSON in, JSON out
//	events.go, listeners.go         streams that tell pages of changes as they happen
//	openapi.go                      what the API promises, for programs
//	signin.go, signup.go            what both doors do: who comes in,
//	signin_provider.go, flow.go     who comes in by way of a provider, and what is kept on that way,
//	logout.go                       who is signed out at a provider too, or by it,
//	accounts.go, account.go         the accounts of the browser, and one account by its owner
//	view.go                         what browsers are to know by that what they have stored is another's
//	afresh.go                       a page by which browsers forget what they have in memory
//	gate.go, navigation.go          requests to an upstream that are not let through
//	returnto.go, origin.go          where a browser may be sent afterwards
//	answer.go, problem.go           what every answer has, and what a client is told about an error
//	audit.go, device.go             what can be read up later: by an administrator, by the owner
package portal

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/tokens"
)

// Config is what a Portal is made of. All but TrustedOrigins and SkipSignInPage is required, and Box,
// Notes, Names and Grants only where one of the logins is a provider.
type Config struct {
	Prefix         string // path of the portal on every site, such as "/.auth"
	Manager        *session.Manager
	Logins         *login.Methods
	Box            *seal.Box       // seals what is kept of sign-ins under way
	Notes          *session.Notes  // of what is not to happen twice
	Names          *login.Names    // of providers' accounts
	Grants         *tokens.Manager // of the tokens of sessions
	TrustedOrigins []string        // other origins that may use the API and be returned to
	SkipSignInPage bool            // where there is nothing to choose
	Now            func() time.Time
	Log            *zap.Logger
}

// Portal serves the gateway's own pages and API. Its methods may be called concurrently.
type Portal struct {
	prefix     string
	manager    *session.Manager
	logins     *login.Methods
	trusted    map[string]bool // canonical origins
	protection *http.CrossOriginProtection
	routes     map[string]route
	now        func() time.Time
	log        *zap.Logger
	audit      audit
	listeners  *listeners

	// For providers.
	flows          *flows
	signOutSealer  *seal.Sealer
	notes          *session.Notes
	names          *login.Names
	grants         *tokens.Manager
	skipSignInPage bool
}

// New returns the portal of a configuration, or an error that names what is wrong with it.
func New(c Config) (*Portal, error) {
	if c.Manager == nil || c.Logins == nil || c.Now == nil || c.Log == nil {
		return nil, errors.New("portal: a manager, logins, a clock and a log are required")
	}
	if len(c.Logins.Providers()) > 0 && (c.Box == nil || c.Notes == nil || c.Names == nil || c.Grants == nil) {
		return nil, errors.New("portal: a box, notes, names and grants are required where a login is a provider")
	}
	if err := ValidatePrefix(c.Prefix); err != nil {
		return nil, err
	}
	p := &Portal{
		prefix:     c.Prefix,
		manager:    c.Manager,
		logins:     c.Logins,
		trusted:    make(map[string]bool, len(c.TrustedOrigins)),
		protection: http.NewCrossOriginProtection(),
		now:        c.Now,
		log:        c.Log,
		audit:      newAudit(c.Log.Named("audit")),
		listeners:  newListeners(),

		notes:          c.Notes,
		names:          c.Names,
		grants:         c.Grants,
		skipSignInPage: c.SkipSignInPage,
	}
	if c.Box != nil {
		p.flows = newFlows(c.Box.Sealer("sign-in"), c.Now)
		p.signOutSealer = c.Box.Sealer("sign-out")
	}
	for _, text := range c.TrustedOrigins {
		trusted, err := origin.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("trusted origin %q: %w", text, err)
		}
		if err := p.protection.AddTrustedOrigin(trusted); err != nil {
			return nil, fmt.Errorf("trusted origin %q: %w", text, err)
		}
		p.trusted[trusted] = true
	}
	p.routes = p.table()
	return p, nil
}

var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// ValidatePrefix refuses a path that could not be told apart from its neighbours by every proxy and
// browser: it must begin with a slash and not end with one, and have plain segments, none of them a
// dot segment.
func ValidatePrefix(prefix string) error {
	if !plainPath.MatchString(prefix) || hasDotSegment(prefix) {
		return fmt.Errorf("path %q: must be like /.auth: begin with a slash, not end with one, and have only letters, digits and . _ ~ - between slashes", prefix)
	}
	return nil
}
