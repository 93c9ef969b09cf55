package claims

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// Unusable returns those of the groups, as JSON or as text, that Identity leaves out: they have a
// comma, control characters or white space at an end, or are no text. It is for the log.
func (m Mapping) Unusable(claims map[string]any) []string {
	_, unusable := m.groups(claims)
	return unusable
}

// GroupsElsewhere reports whether the provider says that the account has groups, and leaves them out for
// their number: Microsoft Entra ID does so above some 200, by a reference in the place of the claim
// (OpenID Connect Core 1.0, section 5.6.2) or by hasgroups.
func (m Mapping) GroupsElsewhere(claims map[string]any) bool {
	if _, ok := session.ClaimAt(claims, m.Groups); ok || m.Groups == "" {
		return false
	}
	elsewhere, _ := claims["_claim_names"].(map[string]any)
	_, referred := elsewhere[m.Groups]
	return referred || claims["hasgroups"] == true || claims["hasgroups"] == "true"
}

// keepsGroup reports whether an account may have a group, which is named as the provider names it.
func (m Mapping) keepsGroup(name string) bool {
	return len(m.KeepGroups) == 0 || slices.ContainsFunc(m.KeepGroups, func(pattern string) bool { return matchText(pattern, name) })
}

// matchText reports whether a text is the pattern, in which * is any text.
func matchText(pattern, text string) bool {
	first, rest, any := strings.Cut(pattern, "*")
	text, ok := strings.CutPrefix(text, first)
	if !ok || !any {
		return ok && text == ""
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, last)
}

// groups returns the groups in the order that the provider has them in, each once.
func (m Mapping) groups(claims map[string]any) (groups, unusable []string) {
	value, _ := session.ClaimAt(claims, m.Groups)
	for _, element := range elements(value) {
		group, ok := element.(string)
		if ok && !m.keepsGroup(group) {
			continue
		}
		group = m.GroupPrefix + group
		switch {
		case !ok || element == "" || strings.Contains(group, ",") || session.ValidText(group) != nil:
			unusable = append(unusable, describe(element))
		case !slices.Contains(groups, group):
			groups = append(groups, group)
		}
	}
	return groups, unusable
}

// elements are what could be a group each. One text is one group: what separates several in it, if
// anything does, differs.
func elements(value any) []any {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		return v
	case []string:
		list := make([]any, len(v))
		for i, text := range v {
			list[i] = text
		}
		return list
	case map[string]any:
		if roles, ok := roleNames(v); ok {
			return roles
		}
	}
	return []any{value}
}

// roleNames returns the names of an object of roles, of which each has the organisations that gave
// it: {"admin": {"2194": "example.com"}}. Any other object is not one. {"admin": false} is far from
// saying that somebody is an admin.
func roleNames(object map[string]any) ([]any, bool) {
	var names []any
	for _, name := range slices.Sorted(maps.Keys(object)) {
		givers, ok := object[name].(map[string]any)
		if !ok || len(givers) == 0 {
			return nil, false
		}
		for _, giver := range givers {
			if _, ok := giver.(string); !ok {
				return nil, false
			}
		}
		names = append(names, name)
	}
	return names, true
}

// describe is a value for the log, cut short.
func describe(value any) string {
	const most = 64
	text, ok := value.(string)
	if !ok {
		encoded, _ := json.Marshal(value)
		text = string(encoded)
	}
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
