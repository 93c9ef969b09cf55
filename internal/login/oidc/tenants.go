package oidc

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// A provider with many tenants, such as Microsoft Entra ID, has one set of metadata for all of them,
// whose issuer has tenantPlaceholder in the place of a path segment. Tokens name their tenant in tid and
// in that segment. Anybody can have a tenant, so those that may sign in are listed.
//
// A subject is unique within its issuer only, so the subject of an account begins with its tenant. The
// issuer of an account is the configured one.
const tenantPlaceholder = "{tenantid}"

// tenants are the tenants that may sign in; none means that the provider is not one of tenants.
type tenants []string

// tenantID matches the ids that tenants can have.
var tenantID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

func (t tenants) validate() error {
	for _, id := range t {
		if !tenantID.MatchString(id) {
			return fmt.Errorf("tenants: %q is not the id of a tenant", id)
		}
	}
	return nil
}

// isTemplateOf reports whether a template is the issuer with the placeholder in the place of one path
// segment.
func isTemplateOf(template, issuer string) bool {
	before, after, ok := strings.Cut(template, tenantPlaceholder)
	if !ok || strings.Contains(after, tenantPlaceholder) || len(issuer) < len(before)+len(after) {
		return false
	}
	middle := issuer[len(before) : len(issuer)-len(after)]
	return strings.HasPrefix(issuer, before) && strings.HasSuffix(issuer, after) && strings.HasSuffix(before, "/") &&
		tenantID.MatchString(middle)
}

// check returns the tenant that issued a token, whose signature is verified. Errors are
// *login.RejectedError, and *login.NotAllowedError for a tenant that is not listed.
func (t tenants) check(template, loginID string, claims payload) (tenant string, err error) {
	tenant, ok := claims.text("tid")
	if !ok || !tenantID.MatchString(tenant) {
		return "", rejected("tid", errors.New("is missing, or is not the id of a tenant"))
	}
	if issuer, ok := claims.text("iss"); !ok || issuer != strings.Replace(template, tenantPlaceholder, tenant, 1) {
		return "", rejected("iss", errors.New("is not the issuer of the tenant in tid"))
	}
	if !slices.Contains(t, tenant) {
		subject, _ := claims.text("sub")
		return "", &login.NotAllowedError{Account: session.Account{Method: loginID, Subject: tenant + "/" + subject}}
	}
	return tenant, nil
}

// accountSubject returns the subject of an account, whose tenant is empty if there are none.
func accountSubject(tenant, sub string) string {
	if tenant == "" {
		return sub
	}
	return tenant + "/" + sub
}

// split returns the tenant and the sub of an account's subject, and false if the tenant is not listed.
func (t tenants) split(subject string) (tenant, sub string, ok bool) {
	if len(t) == 0 {
		return "", subject, true
	}
	tenant, sub, ok = strings.Cut(subject, "/")
	return tenant, sub, ok && slices.Contains(t, tenant)
}

// isIssuer reports whether an answer that names an issuer is the provider's: with tenants, that of any
// of those that may sign in.
func (m *Method) isIssuer(known *metadata, issuer string) bool {
	if len(m.tenants) == 0 {
		return issuer == m.issuer
	}
	return known != nil && slices.ContainsFunc(m.tenants, func(tenant string) bool {
		return issuer == strings.Replace(known.issuer, tenantPlaceholder, tenant, 1)
	})
}

// checkKeyIssuer refuses a token of one tenant that is signed with a key of another. Such a provider
// names the issuer of each key, which may have the placeholder too.
func (v verifier) checkKeyIssuer(token *signedToken, claims payload) error {
	issuer := v.metadata.keys.issuer(token.signed.Signatures[0].Protected.KeyID)
	if len(v.tenants) == 0 || issuer == "" {
		return nil
	}
	tenant, _ := claims.text("tid")
	if issued, _ := claims.text("iss"); issued != strings.Replace(issuer, tenantPlaceholder, tenant, 1) {
		return rejected("kid", errors.New("is a key of another issuer"))
	}
	return nil
}
