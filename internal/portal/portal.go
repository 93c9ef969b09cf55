// Package portal serves what the gateway answers itself: the pages and the JSON API under its path
// prefix, and the answers to requests that the gate does not forward.
//
// Forms and JSON are two ways to call one set of functions:
//
//	routes.go                       paths and methods
//	crossorigin.go                  which pages may change state
//	cors.go                         which origins may read the API's answers
//	body.go                         request bodies, bounded and read once
//	pages.go, pages_*.go            pages: forms in, pages and redirects out
//	api.go, api_*.go, wire.go       API: JSON in, JSON out
//	events.go, listeners.go         streams that tell pages of changes
//	openapi.go                      the API's description
//	signin.go, signup.go            sign-in by password, sign-up
//	signin_provider.go, flow.go     sign-in at a provider
//	logout.go                       sign-out at providers, and by providers
//	accounts.go, account.go         the browser's accounts, and one account by its owner
//	view.go                         the view that answers are stored under
//	doubles.go                      browsers that send several cookies of a jar
//	confirm.go                      jars that a host has not used before
//	reset.go                        the reset page
//	gate.go, navigation.go          requests to an upstream that are not forwarded
//	returnto.go                     where a browser may be sent afterwards
//	answer.go, problem.go           headers of all answers, and errors that clients learn
//	audit.go, device.go             the audit log, and the list of an account's devices
package portal

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/tokens"
)

// Config configures a Portal. TrustedOrigins and SkipSignInPage are optional. Box, Notes, Names and
// Grants are required only where one of the logins is a provider.
type Config struct {
	Prefix         string // path of the portal on every site, such as "/.auth"
	Manager        *session.Manager
	Logins         *login.Methods
	Box            *seal.Box       // seals sign-ins and sign-outs that are under way
	Notes          *session.Notes  // remembers what must not happen twice
	Names          *login.Names    // keeps the user names of providers' accounts unique
	Grants         *tokens.Manager // keeps the providers' tokens of sessions
	TrustedOrigins []string        // other origins that may use the API and be returned to
	SkipSignInPage bool            // go to the provider at once where it is the only login method
	Now            func() time.Time
	Log            *zap.Logger
}

// Portal serves the gateway's own pages and API. Its methods are safe for concurrent use.
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

	// For providers; nil or zero without any.
	flows          *flows
	signOutSealer  *seal.Sealer
	notes          *session.Notes
	names          *login.Names
	grants         *tokens.Manager
	unsolicited    *rate.Limiter // of notes about front-channel logouts
	skipSignInPage bool
}

// New returns the portal of a configuration. Its error names what is wrong with the configuration.
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
		unsolicited:    rate.NewLimiter(rate.Every(time.Minute/maxUnsolicited), maxUnsolicited),
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

// ValidatePrefix refuses a path that proxies and browsers could read differently. A valid prefix
// begins with a slash, does not end with one, and has only plain segments, none of them a dot
// segment.
func ValidatePrefix(prefix string) error {
	if !plainPath.MatchString(prefix) || hasDotSegment(prefix) {
		return fmt.Errorf("path %q: must be like /.auth: begin with a slash, not end with one, and have only letters, digits and . _ ~ - between slashes", prefix)
	}
	return nil
}
