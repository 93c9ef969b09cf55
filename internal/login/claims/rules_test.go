package claims

import (
	"encoding/json"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

func TestAllow(t *testing.T) {
	domain := func(values ...string) Rule { return Rule{RuleEmailDomain, "", values} }
	group := func(values ...string) Rule { return Rule{RuleGroup, "", values} }
	claim := func(name string, values ...string) Rule { return Rule{RuleClaim, name, values} }
	verified := func(address string) session.Identity { return session.Identity{Email: address, EmailVerified: true} }
	claims := session.Identity{Groups: []string{"dev"}, Claims: map[string]any{
		"hd": "x.example", "mfa": true, "level": json.Number("3"), "nested": map[string]any{"roles": []any{"admin"}},
	}}
	for name, tc := range map[string]struct {
		rules    Rules
		identity session.Identity
		want     bool
	}{
		"no rules":                      {nil, session.Identity{}, true},
		"domain":                        {Rules{domain("x.example")}, verified("a@x.example"), true},
		"one of several domains":        {Rules{domain("y.example", "x.example")}, verified("a@x.example"), true},
		"domain in capitals":            {Rules{domain("X.Example")}, verified("a@x.example"), true},
		"domain, unverified":            {Rules{domain("x.example")}, session.Identity{Email: "a@x.example"}, false},
		"no address":                    {Rules{domain("x.example")}, verified(""), false},
		"another domain":                {Rules{domain("x.example")}, verified("a@y.example"), false},
		"a domain below":                {Rules{domain("x.example")}, verified("a@evil.x.example"), false},
		"a domain that ends like it":    {Rules{domain("x.example")}, verified("a@evilx.example"), false},
		"a domain that begins like it":  {Rules{domain("x.example")}, verified("a@x.example.evil"), false},
		"the domain ahead of the @":     {Rules{domain("x.example")}, verified("x.example@evil.example"), false},
		"a Kelvin sign for a k":         {Rules{domain("kxample.org")}, verified("a@\u212axample.org"), false},
		"group":                         {Rules{group("ops", "dev")}, claims, true},
		"group in capitals":             {Rules{group("DEV")}, claims, false},
		"another group":                 {Rules{group("ops")}, claims, false},
		"claim":                         {Rules{claim("hd", "x.example")}, claims, true},
		"boolean claim":                 {Rules{claim("mfa", "true")}, claims, true},
		"number claim":                  {Rules{claim("level", "3")}, claims, true},
		"element of a nested claim":     {Rules{claim("nested.roles", "admin")}, claims, true},
		"claim of another value":        {Rules{claim("hd", "y.example")}, claims, false},
		"claim that is not there":       {Rules{claim("nowhere", "")}, claims, false},
		"any rule":                      {Rules{group("ops"), claim("hd", "x.example")}, claims, true},
		"no rule":                       {Rules{group("ops"), claim("hd", "y.example"), domain("x.example")}, claims, false},
		"a kind that is none":           {Rules{{"user", "", []string{"dev"}}}, claims, false},
		"a group as a claim's value":    {Rules{claim("groups", "dev")}, claims, false},
		"an unverified claim is a text": {Rules{domain("x.example")}, session.Identity{Claims: map[string]any{"email": "a@x.example"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.rules.Allow(&tc.identity); got != tc.want {
				t.Errorf("let in: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestValidateRules(t *testing.T) {
	for name, tc := range map[string]struct {
		rule Rule
		ok   bool
	}{
		"domain":                 {Rule{RuleEmailDomain, "", []string{"x.example"}}, true},
		"group":                  {Rule{RuleGroup, "", []string{"a b"}}, true},
		"claim":                  {Rule{RuleClaim, "hd", []string{"x"}}, true},
		"no kind":                {Rule{"", "", []string{"x"}}, false},
		"another kind":           {Rule{"user", "", []string{"x"}}, false},
		"claim without a name":   {Rule{RuleClaim, "", []string{"x"}}, false},
		"group with a claim":     {Rule{RuleGroup, "hd", []string{"x"}}, false},
		"domain with a claim":    {Rule{RuleEmailDomain, "hd", []string{"x"}}, false},
		"no value":               {Rule{RuleGroup, "", nil}, false},
		"an empty value":         {Rule{RuleGroup, "", []string{"a", ""}}, false},
		"domain with an @":       {Rule{RuleEmailDomain, "", []string{"@x.example"}}, false},
		"a whole address":        {Rule{RuleEmailDomain, "", []string{"a@x.example"}}, false},
		"domain with a wildcard": {Rule{RuleEmailDomain, "", []string{"*.x.example"}}, false},
		"domain with a space":    {Rule{RuleEmailDomain, "", []string{"x.example y.example"}}, false},
		"domain with a comma":    {Rule{RuleEmailDomain, "", []string{"x.example,y.example"}}, false},
		"domain not in ASCII":    {Rule{RuleEmailDomain, "", []string{"bücher.example"}}, false},
	} {
		if err := (Rules{tc.rule}).Validate(); (err == nil) != tc.ok {
			t.Errorf("%s: Validate = %v, want it accepted: %t", name, err, tc.ok)
		}
	}
}

// Rules are asked on the way of every request.
func TestAllowDoesNotAllocate(t *testing.T) {
	rules := Rules{{RuleGroup, "", []string{"ops"}}, {RuleClaim, "hd", []string{"y"}}, {RuleEmailDomain, "", []string{"x.example"}}}
	id := &session.Identity{Email: "a@x.example", EmailVerified: true, Groups: []string{"dev"}, Claims: map[string]any{"hd": "x"}}
	if n := testing.AllocsPerRun(100, func() {
		if !rules.Allow(id) {
			t.Fatal("not let in")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRulesOfGroupsThatAreNotKept(t *testing.T) {
	allow := func(group string) Rules { return Rules{{Kind: RuleGroup, Values: []string{group}}} }
	m := Mapping{KeepGroups: []string{"app-*"}, GroupPrefix: "corp/"}
	for group, ok := range map[string]bool{"corp/app-dev": true, "corp/dev": false, "dev": true} { // the last is of no group here, as ever
		if err := m.ValidateRules(allow(group)); (err == nil) != ok {
			t.Errorf("%s: %v", group, err)
		}
	}
	if err := (Mapping{}).ValidateRules(allow("dev")); err != nil {
		t.Error(err)
	}
}
