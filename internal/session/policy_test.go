package session

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestPolicyValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		rule Rule
		ok   bool
	}{
		{"group", Rule{Kind: RequireGroup, Values: []string{"a"}}, true},
		{"user, any of two", Rule{Kind: RequireUser, Values: []string{"a", "b"}}, true},
		{"claim", Rule{Kind: RequireClaim, Claim: "x", Values: []string{"a"}}, true},
		{"no kind", Rule{Values: []string{"a"}}, false},
		{"kind that there is not", Rule{Kind: "groups", Values: []string{"a"}}, false},
		{"no values", Rule{Kind: RequireGroup}, false},
		{"empty value", Rule{Kind: RequireGroup, Values: []string{"a", ""}}, false},
		{"claim that is not named", Rule{Kind: RequireClaim, Values: []string{"a"}}, false},
		{"group with a claim", Rule{Kind: RequireGroup, Claim: "x", Values: []string{"a"}}, false},
		{"user with a claim", Rule{Kind: RequireUser, Claim: "x", Values: []string{"a"}}, false},
	} {
		err := Policy{{Kind: RequireUser, Values: []string{"x"}}, c.rule}.Validate()
		if (err == nil) != c.ok {
			t.Errorf("%s: Validate = %v, want it accepted: %t", c.name, err, c.ok)
		}
	}
	if err := (Policy{}).Validate(); err != nil {
		t.Errorf("empty policy: %v", err)
	}
}

// claimsOf decodes claims as a login method does.
func claimsOf(t *testing.T, text string) map[string]any {
	t.Helper()
	var claims map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestPolicyUnmet(t *testing.T) {
	alice := &Identity{
		Account:  Account{"google", "42"},
		UserName: "alice",
		Email:    "alice@example.com",
		Groups:   []string{"dev", "ops"},
		Claims: claimsOf(t, `{
			"role": "editor", "level": 3, "ratio": 1.5, "big": 9007199254740993, "on": true, "off": false, "none": null, "empty": "",
			"list": ["a", 7, true, null, {"x": "y"}], "object": {"x": "y"},
			"realm_access": {"roles": ["user", "auditor"], "deep": {"er": "yes"}},
			"https://example.com/roles": ["boss"], "a.b": "dotted", "a": {"b": "nested", "c": "other"},
			"p": {"q.r": "inner"}, "broken": "x\ny", "admin,dev": "key"
		}`),
	}
	group := func(values ...string) Rule { return Rule{Kind: RequireGroup, Values: values} }
	user := func(values ...string) Rule { return Rule{Kind: RequireUser, Values: values} }
	claim := func(name string, values ...string) Rule {
		return Rule{Kind: RequireClaim, Claim: name, Values: values}
	}
	for _, c := range []struct {
		name   string
		policy Policy
		holds  bool
	}{
		{"empty", nil, true},
		{"group", Policy{group("dev")}, true},
		{"any of several values", Policy{group("admin", "ops")}, true},
		{"group that is not one's own", Policy{group("admin")}, false},
		{"case of a group", Policy{group("Dev")}, false},
		{"part of a group", Policy{group("de")}, false},
		{"groups joined", Policy{group("dev,ops")}, false},
		{"all lines", Policy{group("dev"), group("ops")}, true},
		{"all lines but one", Policy{group("dev"), group("admin"), group("ops")}, false},
		{"user name", Policy{user("alice")}, true},
		{"account id", Policy{user("google:42")}, true},
		{"account of another method", Policy{user("password:42")}, false},
		{"subject alone", Policy{user("42")}, false},
		{"e-mail is no user", Policy{user("alice@example.com")}, false},
		{"case of a user", Policy{user("Alice")}, false},
		{"claim", Policy{claim("role", "editor")}, true},
		{"claim of another value", Policy{claim("role", "admin")}, false},
		{"claim that is not there", Policy{claim("rank", "editor")}, false},
		{"number", Policy{claim("level", "3")}, true},
		{"fraction", Policy{claim("ratio", "1.5")}, true},
		{"long number", Policy{claim("big", "9007199254740993")}, true},
		{"its neighbour", Policy{claim("big", "9007199254740992")}, false},
		{"true", Policy{claim("on", "true")}, true},
		{"false", Policy{claim("off", "false")}, true},
		{"false is not true", Policy{claim("off", "true")}, false},
		{"null", Policy{claim("none", "null")}, false},
		{"null by Go's name", Policy{claim("none", "<nil>")}, false},
		{"element", Policy{claim("list", "a")}, true},
		{"number in a list", Policy{claim("list", "7")}, true},
		{"object in a list", Policy{claim("list", "y")}, false},
		{"list as a whole", Policy{claim("list", "a,7,true")}, false},
		{"object", Policy{claim("object", "y")}, false},
		{"path", Policy{claim("object.x", "y")}, true},
		{"path to a list", Policy{claim("realm_access.roles", "auditor")}, true},
		{"path of three", Policy{claim("realm_access.deep.er", "yes")}, true},
		{"path into text", Policy{claim("role.editor", "editor")}, false},
		{"path into a list", Policy{claim("list.0", "a")}, false},
		{"path that goes on", Policy{claim("realm_access.roles.auditor", "auditor")}, false},
		{"path that begins with a dot", Policy{claim(".role", "editor")}, false},
		{"path that ends with a dot", Policy{claim("role.", "editor")}, false},
		{"name with dots", Policy{claim("https://example.com/roles", "boss")}, true},
		{"name with dots wins", Policy{claim("a.b", "dotted")}, true},
		{"over the path", Policy{claim("a.b", "nested")}, false},
		{"path beside it", Policy{claim("a.c", "other")}, true},
		{"name with dots within", Policy{claim("p.q.r", "inner")}, true},
		{"text that breaks a header", Policy{claim("broken", "x\ny")}, false},
		{"kind that there is not", Policy{{Kind: "any", Values: []string{"alice"}}}, false},
		{"rule of nothing", Policy{{}}, false},
		{"group without values", Policy{group()}, false},
	} {
		rule, unmet := c.policy.Unmet(alice)
		if unmet == c.holds {
			t.Errorf("%s: unmet %t (%v), want it to hold: %t", c.name, unmet, rule, c.holds)
		}
	}
}

func TestUnmetNamesTheFirstRule(t *testing.T) {
	policy := Policy{
		{Kind: RequireUser, Values: []string{"alice"}},
		{Kind: RequireGroup, Values: []string{"admin"}},
		{Kind: RequireGroup, Values: []string{"dev"}},
	}
	rule, unmet := policy.Unmet(person("alice"))
	if !unmet || rule.Kind != RequireGroup || rule.Values[0] != "admin" {
		t.Errorf("Unmet = %v, %t; want the rule of group admin", rule, unmet)
	}
}

// Whoever signs up chooses a user name; "google:42" must not make of it Google's account 42.
func TestUserNameIsNoAccountID(t *testing.T) {
	policy := Policy{{Kind: RequireUser, Values: []string{"google:42"}}}
	forger := &Identity{Account: Account{"password", "7"}, UserName: "google:42"}
	if _, unmet := policy.Unmet(forger); !unmet {
		t.Error("a user name passed for the account id of somebody else")
	}
	policy[0].Values = []string{"password:7"}
	if _, unmet := policy.Unmet(forger); unmet {
		t.Error("an account with a colon in its user name is not known by its id")
	}
}

func TestClaimText(t *testing.T) {
	id := person("alice")
	id.Claims = claimsOf(t, `{
		"text": "a b", "number": 1e3, "bool": true, "null": null, "object": {"x": ["p", 1]},
		"list": ["a", 2, false], "comma": ["a,b"], "nested": [["a"]], "of objects": [{}], "empty list": [],
		"newline": "a\nb", "newline in list": ["a\n"], "spaces": " a", "template": "{env.SECRET}"
	}`)
	id.Claims["float"] = 1234567.0
	id.Claims["long number"] = json.Number(strings.Repeat("9", maxTextBytes+1))
	id.Claims["not a number"] = math.NaN()
	for _, c := range []struct {
		path, want string
		ok         bool
	}{
		{"text", "a b", true},
		{"number", "1e3", true},
		{"float", "1234567", true},
		{"bool", "true", true},
		{"null", "", false},
		{"object", "", false},
		{"object.x", "p,1", true},
		{"list", "a,2,false", true},
		{"empty list", "", true},
		{"comma", "", false},
		{"nested", "", false},
		{"of objects", "", false},
		{"newline", "", false},
		{"newline in list", "", false},
		{"spaces", "", false},
		{"long number", "", false},
		{"template", "{env.SECRET}", true},
		{"not there", "", false},
		{"", "", false},
	} {
		if got, ok := id.ClaimText(c.path); got != c.want && c.ok || ok != c.ok {
			t.Errorf("%q: ClaimText = %q, %t; want %q, %t", c.path, got, ok, c.want, c.ok)
		}
	}
}

// Both the path and the claims may be made to be slow: every object is looked into once.
func TestDeepClaims(t *testing.T) {
	depth := 2000
	claims := claimsOf(t, strings.Repeat(`{"a":`, depth)+`"x"`+strings.Repeat("}", depth))
	id := &Identity{Claims: claims}
	path := strings.TrimSuffix(strings.Repeat("a.", depth), ".")
	if got, ok := id.ClaimText(path); got != "x" || !ok {
		t.Errorf("ClaimText = %q, %t; want x", got, ok)
	}
	if _, ok := id.ClaimText(path + ".a"); ok {
		t.Error("a path that goes on found something")
	}
}
