package claims

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// Kind says what of an identity a Rule looks at.
type Kind string

// The kinds of rules.
const (
	RuleEmailDomain Kind = "email_domain" // what is behind the @ of a verified e-mail address
	RuleGroup       Kind = "group"        // one of the account's groups
	RuleClaim       Kind = "claim"        // a claim, or an element of one that is a list
)

// Rule lets accounts in that have any of the values. Domains are compared without regard to case,
// all else exactly.
type Rule struct {
	Kind   Kind     `json:"kind"`
	Claim  string   `json:"claim,omitempty"` // with RuleClaim only: its name or path
	Values []string `json:"values"`
}

// Rules let in whom any of them lets in. None is everybody.
type Rules []Rule

// Validate refuses rules that could never let anybody in, or that say nothing.
func (r Rules) Validate() error {
	for _, rule := range r {
		if err := rule.validate(); err != nil {
			return fmt.Errorf("allow %s: %w", rule.Kind, err)
		}
	}
	return nil
}

func (r Rule) validate() error {
	switch r.Kind {
	case RuleEmailDomain, RuleGroup:
		if r.Claim != "" {
			return fmt.Errorf("has a claim, which is for allow %s", RuleClaim)
		}
	case RuleClaim:
		if r.Claim == "" {
			return errors.New("no claim is named")
		}
	default:
		return fmt.Errorf("must be %s, %s or %s", RuleEmailDomain, RuleGroup, RuleClaim)
	}
	if len(r.Values) == 0 {
		return errors.New("no value is named")
	}
	for _, value := range r.Values {
		switch {
		case value == "":
			return errors.New("a value is empty")
		case r.Kind == RuleEmailDomain && (user.ValidateEmail("x@"+value) != nil || strings.Contains(value, "*")):
			return fmt.Errorf("%q is not what is behind the @ of an e-mail address", value)
		}
	}
	return nil
}

// Check returns a *login.NotAllowedError unless the account is let in.
func (r Rules) Check(id *session.Identity) error {
	if !r.Allow(id) {
		return &login.NotAllowedError{Account: id.Account}
	}
	return nil
}

// Allow reports whether the account is let in.
func (r Rules) Allow(id *session.Identity) bool {
	return len(r) == 0 || slices.ContainsFunc(r, func(rule Rule) bool { return rule.lets(id) })
}

func (r Rule) lets(id *session.Identity) bool {
	switch r.Kind {
	case RuleEmailDomain:
		address := id.VerifiedEmail()
		at := strings.LastIndexByte(address, '@')
		return at > 0 && slices.ContainsFunc(r.Values, func(domain string) bool { return equalFold(domain, address[at+1:]) })
	case RuleGroup:
		return session.Rule{Kind: session.RequireGroup, Values: r.Values}.Holds(id)
	case RuleClaim:
		return session.Rule{Kind: session.RequireClaim, Claim: r.Claim, Values: r.Values}.Holds(id)
	}
	return false
}

// equalFold compares domains, without a copy on the way of every request.
func equalFold(a, b string) bool {
	return len(a) == len(b) && user.Fold(a) == user.Fold(b)
}
