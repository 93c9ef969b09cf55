// Package claims makes identities of what providers say about accounts, and decides which of these
// are let in.
package claims

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// Mapping says which claim is what of an identity. A claim is named by its own name or by a dotted
// path into nested ones, as session.ClaimAt finds it. What is not named an identity does not have.
type Mapping struct {
	// Subject must be unique at the provider and never reassigned.
	Subject string

	// UserName is alternatives: the first that an account has. An e-mail address is one only where it
	// is verified.
	UserName []string

	// UserNamePrefix is put before the user name, so that those of several providers are told apart.
	UserNamePrefix string

	Name    string
	Email   string
	Picture string

	// EmailVerified says whether Email is verified: true, 1, or the text of either. Where it is not named
	// no address is.
	EmailVerified string

	// Groups is a list of texts, one text, or an object with a member for each role, as Zitadel has it.
	Groups string

	// GroupPrefix is put before each group: where people make groups at the provider themselves, one
	// could have the name of a group that means something here.
	GroupPrefix string

	// KeepGroups are the groups that an account has here: names as the provider has them, in which * is
	// any text. None is all. Large organisations have more groups than an account may.
	KeepGroups []string

	// Keep names the claims that are kept with the identity, for rules and headers. None is all but
	// those of the protocol, the picture, and the groups, which the identity has already.
	Keep []string

	needed []string // kept in any case
}

// Standard is the claims of OpenID Connect Core 1.0, section 5.1, and the one that most providers have
// groups in.
func Standard() Mapping {
	return Mapping{
		Subject:       "sub",
		UserName:      []string{"preferred_username", "email", "sub"},
		Name:          "name",
		Email:         "email",
		EmailVerified: "email_verified",
		Picture:       "picture",
		Groups:        "groups",
	}
}

// Or returns the mapping with those of defaults in the place of what it does not name. The default that
// says whether the e-mail address is verified goes with the default address: it says nothing about any
// other claim.
func (m Mapping) Or(defaults Mapping) Mapping {
	if m.EmailVerified == "" && (m.Email == "" || m.Email == defaults.Email) {
		m.EmailVerified = defaults.EmailVerified
	}
	m.Subject = cmp.Or(m.Subject, defaults.Subject)
	m.UserNamePrefix = cmp.Or(m.UserNamePrefix, defaults.UserNamePrefix)
	m.Name = cmp.Or(m.Name, defaults.Name)
	m.Email = cmp.Or(m.Email, defaults.Email)
	m.Picture = cmp.Or(m.Picture, defaults.Picture)
	m.Groups = cmp.Or(m.Groups, defaults.Groups)
	m.GroupPrefix = cmp.Or(m.GroupPrefix, defaults.GroupPrefix)
	if len(m.UserName) == 0 {
		m.UserName = defaults.UserName
	}
	if len(m.Keep) == 0 {
		m.Keep = defaults.Keep
	}
	if len(m.KeepGroups) == 0 {
		m.KeepGroups = defaults.KeepGroups
	}
	return m
}

// Keeping returns the mapping with the claims kept that the rules look at, whatever else is.
func (m Mapping) Keeping(rules Rules) Mapping {
	m.needed = slices.Clone(m.needed)
	for _, rule := range rules {
		if rule.Kind == RuleClaim {
			m.needed = append(m.needed, rule.Claim)
		}
	}
	return m
}

// ValidateRules refuses rules that could never let anybody in, with the groups that the mapping keeps.
func (m Mapping) ValidateRules(rules Rules) error {
	if err := rules.Validate(); err != nil {
		return err
	}
	for _, rule := range rules {
		for _, value := range rule.Values {
			name, ours := strings.CutPrefix(value, m.GroupPrefix)
			if rule.Kind == RuleGroup && ours && !m.keepsGroup(name) {
				return fmt.Errorf("allow %s %s: keep_groups leaves the group out", rule.Kind, value)
			}
		}
	}
	return nil
}

// Validate refuses a mapping that no account could have an identity by, or that says something else
// than it seems to.
func (m Mapping) Validate() error {
	switch {
	case m.Subject == "":
		return errors.New("claims: none is the subject")
	case len(m.UserName) == 0:
		return errors.New("claims: none is the user name")
	case strings.Contains(m.UserNamePrefix, ":"):
		// It would make "method:subject" of a name, which rules take for an account's id.
		return fmt.Errorf("user name prefix %q: must not have a colon", m.UserNamePrefix)
	case strings.Contains(m.GroupPrefix, ","):
		return fmt.Errorf("group prefix %q: must not have a comma, which separates groups", m.GroupPrefix)
	}
	for what, prefix := range map[string]string{"user name": m.UserNamePrefix, "group": m.GroupPrefix} {
		if err := session.ValidText(prefix + "x"); err != nil {
			return fmt.Errorf("%s prefix %q: %w", what, prefix, err)
		}
	}
	for _, path := range slices.Concat([]string{m.Subject, m.Name, m.Email, m.EmailVerified, m.Picture, m.Groups}, m.UserName, m.Keep) {
		if err := session.ValidText(path); err != nil {
			return fmt.Errorf("claim %q: %w", path, err)
		}
	}
	if slices.Contains(m.KeepGroups, "") {
		return errors.New("claims: keep_groups: the name of a group is empty")
	}
	if slices.Contains(m.UserName, "") || slices.Contains(m.Keep, "") {
		return errors.New("claims: the name of one is empty")
	}
	return nil
}
