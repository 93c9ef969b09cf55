package session

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind says which part of an identity a Rule checks.
type Kind string

// Kinds of rules.
const (
	RequireGroup Kind = "group" // one of the account's groups
	RequireUser  Kind = "user"  // the user name, or with a colon the account id "method:subject"
	RequireClaim Kind = "claim" // a claim, or a nested one by a dotted path
)

// Rule is one line of a policy. It holds if the identity has any of the values.
type Rule struct {
	Kind   Kind     `json:"kind"`
	Claim  string   `json:"claim,omitempty"` // with RequireClaim only
	Values []string `json:"values"`          // compared exactly
}

// Policy is a list of rules that must all hold. The empty policy admits every account.
type Policy []Rule

// Validate refuses rules that can never hold or that check nothing.
func (p Policy) Validate() error {
	for _, rule := range p {
		switch rule.Kind {
		case RequireGroup, RequireUser:
			if rule.Claim != "" {
				return fmt.Errorf("require %s: has a claim, which is for require claim", rule.Kind)
			}
		case RequireClaim:
			if rule.Claim == "" {
				return fmt.Errorf("require %s: no claim is named", rule.Kind)
			}
		default:
			return fmt.Errorf("require %q: must be group, user or claim", rule.Kind)
		}
		if len(rule.Values) == 0 {
			return fmt.Errorf("require %s: no value is named", rule.Kind)
		}
		if slices.Contains(rule.Values, "") {
			return fmt.Errorf("require %s: a value is empty", rule.Kind)
		}
	}
	return nil
}

// Unmet returns the first rule that does not hold for the identity, and false if all hold.
func (p Policy) Unmet(id *Identity) (Rule, bool) {
	for _, rule := range p {
		if !rule.Holds(id) {
			return rule, true
		}
	}
	return Rule{}, false
}

// Holds reports whether the rule holds for the identity.
func (r Rule) Holds(id *Identity) bool {
	switch r.Kind {
	case RequireGroup:
		return slices.ContainsFunc(id.Groups, r.has)
	case RequireUser:
		// A value with a colon is an account id. Users who can choose their user name could
		// otherwise choose one that reads like another account's id.
		return r.has(id.Account.ID()) || r.has(id.UserName) && !strings.Contains(id.UserName, ":")
	case RequireClaim:
		value, _ := id.Claim(r.Claim)
		return r.claims(value)
	}
	return false
}

func (r Rule) has(value string) bool { return slices.Contains(r.Values, value) }

// claims reports whether a claim's value, or an element of it if it is a list, is one of the rule's
// values.
func (r Rule) claims(value any) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, r.claims)
	default:
		text, ok := claimText(v)
		return ok && r.has(text)
	}
}

// Claim returns the claim at a path, like ClaimAt.
func (id *Identity) Claim(path string) (any, bool) { return ClaimAt(id.Claims, path) }

// ClaimAt returns the claim at a path, which is a claim's name or a dotted path into claims that
// are objects. A name that contains dots wins over a path.
func ClaimAt(claims map[string]any, path string) (any, bool) {
	if value, ok := claims[path]; ok {
		return value, true
	}
	for i := strings.IndexByte(path, '.'); i >= 0; {
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if value, ok := ClaimAt(inner, path[i+1:]); ok {
				return value, true
			}
		}
		next := strings.IndexByte(path[i+1:], '.')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return nil, false
}

// ClaimText returns a claim as text: strings as they are, numbers and booleans in their JSON form,
// lists of these joined by commas. It returns false for other claims, and for text that a header
// field would change.
func (id *Identity) ClaimText(path string) (string, bool) {
	value, ok := id.Claim(path)
	if !ok {
		return "", false
	}
	list, ok := value.([]any)
	if !ok {
		return claimText(value)
	}
	texts := make([]string, len(list))
	for i, element := range list {
		text, ok := claimText(element)
		if !ok || strings.Contains(text, ",") {
			return "", false
		}
		texts[i] = text
	}
	return strings.Join(texts, ","), true
}

func claimText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, ValidText(v) == nil
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		return v.String(), ValidText(v.String()) == nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	default:
		return "", false
	}
}
