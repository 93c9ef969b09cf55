package oauth2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/claims"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
)

// PresetGitHub is GitHub, or a GitHub Enterprise Server at a base URL. Groups are the logins of
// organisations, and "organisation/team" for teams. Anybody can create an organisation with a free
// name, so rules must name organisations that exist.
const PresetGitHub = "github"

const publicGitHub = "https://github.com"

// fillGitHub sets the defaults of the preset.
func (c *Config) fillGitHub() error {
	base := strings.TrimRight(strings.ToLower(cmp.Or(c.BaseURL, publicGitHub)), "/")
	if err := oauthclient.ValidateURL(base, c.InsecureHTTP); err != nil {
		return fmt.Errorf("base_url: %w", err)
	}
	if u, err := url.Parse(base); err != nil || u.Path != "" || u.RawQuery != "" {
		return fmt.Errorf("base_url %q: must be a scheme and a host alone", c.BaseURL)
	}
	c.BaseURL = base
	c.Label = cmp.Or(c.Label, "GitHub")
	c.AuthorizationEndpoint = c.BaseURL + "/login/oauth/authorize"
	c.TokenEndpoint = c.BaseURL + "/login/oauth/access_token"
	c.UserInfoEndpoint = c.api() + "/user"
	c.ClientAuthentication = cmp.Or(c.ClientAuthentication, oauthclient.ClientSecretPost)
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"read:user", "user:email", "read:org"}
	}
	c.Claims = c.Claims.Or(claims.Mapping{
		Subject:       "id", // a login can be given up and taken by another account
		UserName:      []string{"login"},
		Name:          "name",
		Email:         "email",
		EmailVerified: "email_verified",
		Picture:       "avatar_url",
		Groups:        "groups",
		Keep:          []string{"id", "node_id", "login", "type", "name", "email", "email_verified", "company", "location", "html_url", "two_factor_authentication"},
	})
	return nil
}

// api returns the URL of the REST API. On github.com and for enterprises hosted by GitHub, the API
// has its own host.
func (c *Config) api() string {
	scheme, host, _ := strings.Cut(c.BaseURL, "://")
	if c.BaseURL == publicGitHub || strings.HasSuffix(host, ".ghe.com") {
		return scheme + "://api." + host
	}
	return c.BaseURL + "/api/v3"
}

// hintParameter returns the name of the parameter for a login hint. GitHub's differs from OpenID
// Connect's.
func (m *Method) hintParameter() string {
	if m.config.Preset == PresetGitHub {
		return "login"
	}
	return "login_hint"
}

// supportedPrompts returns the prompts that the service supports; nil if that is not known.
func (m *Method) supportedPrompts() []string {
	if m.config.Preset == PresetGitHub {
		return []string{oauthclient.PromptSelectAccount}
	}
	return nil
}

// github reads accounts from GitHub's REST API.
type github struct {
	api  string
	http *http.Client
}

const (
	githubPageSize = 100 // the maximum
	githubMaxPages = 10  // of a list; an account with more groups could not be stored
)

var githubHeader = map[string]string{"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}

// about returns the account's user, with "email" and "email_verified" of its primary address and
// "groups" of its organisations and teams. It lacks what the account or the scopes withhold.
func (g *github) about(ctx context.Context, accessToken string) (map[string]any, error) {
	var about map[string]any
	if _, err := oauthclient.GetJSON(ctx, g.http, g.api+"/user", accessToken, githubHeader, &about); err != nil {
		return nil, fmt.Errorf("GitHub's user: %w", err)
	}
	// The address in the profile is for display. Only the list of addresses says which are
	// verified.
	delete(about, "email_verified")
	switch address, err := g.email(ctx, accessToken); {
	case err != nil:
		return nil, err
	case address.Email != "":
		about["email"], about["email_verified"] = address.Email, address.Verified
	}
	groups, err := g.groups(ctx, accessToken)
	if err != nil {
		return nil, err
	}
	about["groups"] = groups
	return about, nil
}

type githubEmail struct {
	Email    string `json:"email"`
	Primary  bool   `json:"primary"`
	Verified bool   `json:"verified"`
}

// email returns the primary address or, without one, the first as unverified. If the account
// withholds its addresses, it returns the zero value.
func (g *github) email(ctx context.Context, accessToken string) (githubEmail, error) {
	emails, err := pages[githubEmail](ctx, g, "/user/emails", accessToken)
	if err != nil {
		return githubEmail{}, fmt.Errorf("GitHub's e-mail addresses: %w", err)
	}
	for _, e := range emails {
		if e.Primary {
			return e, nil
		}
	}
	if len(emails) > 0 {
		return githubEmail{Email: emails[0].Email}, nil
	}
	return githubEmail{}, nil
}

// groups returns the organisations and then the teams.
func (g *github) groups(ctx context.Context, accessToken string) ([]any, error) {
	type organisation struct {
		Login string `json:"login"`
	}
	type team struct {
		Slug         string       `json:"slug"`
		Organization organisation `json:"organization"`
	}
	orgs, err := pages[organisation](ctx, g, "/user/orgs", accessToken)
	if err != nil {
		return nil, fmt.Errorf("GitHub's organisations: %w", err)
	}
	teams, err := pages[team](ctx, g, "/user/teams", accessToken)
	if err != nil {
		return nil, fmt.Errorf("GitHub's teams: %w", err)
	}
	var groups []any
	for _, o := range orgs {
		if plain(o.Login) {
			groups = append(groups, o.Login)
		}
	}
	for _, t := range teams {
		if plain(t.Organization.Login) && plain(t.Slug) {
			groups = append(groups, t.Organization.Login+"/"+t.Slug)
		}
	}
	return groups, nil
}

// plain reports whether a name cannot be mistaken for an organisation with a team.
func plain(name string) bool { return name != "" && !strings.Contains(name, "/") }

// pages reads a list page by page while the answers announce a next page. It requests pages by
// number: an address from an answer could belong to anybody, who would get the token. A list that
// may not be read is empty: its scope was not requested or not granted.
func pages[T any](ctx context.Context, g *github, path, accessToken string) ([]T, error) {
	var all []T
	for page := 1; page <= githubMaxPages; page++ {
		var list []T
		address := fmt.Sprintf("%s%s?per_page=%d&page=%d", g.api, path, githubPageSize, page)
		header, err := oauthclient.GetJSON(ctx, g.http, address, accessToken, githubHeader, &list)
		var status *oauthclient.StatusError
		switch {
		case errors.As(err, &status) && !errors.Is(err, login.ErrProviderUnavailable) && (status.Status == http.StatusForbidden || status.Status == http.StatusNotFound):
			return nil, nil
		case err != nil:
			return nil, err
		}
		all = append(all, list...)
		if !hasNext(header) {
			break
		}
	}
	return all, nil
}

// hasNext reports whether a Link header has the relation "next" (RFC 8288, section 3).
func hasNext(header http.Header) bool {
	for _, field := range header.Values("Link") {
		for link := range strings.SplitSeq(field, ",") {
			if strings.Contains(link, `rel="next"`) {
				return true
			}
		}
	}
	return false
}
