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

// groups returns the groups in the order that the provider has them in, each once.
func (m Mapping) groups(claims map[string]any) (groups, unusable []string) {
	value, _ := session.ClaimAt(claims, m.Groups)
	for _, element := range elements(value) {
		group, ok := element.(string)
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
