package claims

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// decode is what a method hands over.
func decode(t testing.TB, text string) map[string]any {
	t.Helper()
	var claims map[string]any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

const issuer = "https://id.example"

func TestIdentity(t *testing.T) {
	claims := decode(t, `{
		"iss": "https://id.example", "aud": "gateway", "exp": 1, "iat": 1, "nonce": "n", "sid": "s", "azp": "gateway", "at_hash": "h",
		"_claim_sources": {"a": {"access_token": "secret"}},
		"sub": "248289761001", "preferred_username": "Alice", "name": " Alice Example ", "email": "Alice@Example.COM", "email_verified": true,
		"picture": "https://id.example/alice.png", "groups": ["dev", "admin", "dev"],
		"acr": "mfa", "number": 12345678901234567890, "nothing": null, "address": {"country": "NL"}
	}`)
	id, err := Standard().Identity("corp", issuer, claims)
	if err != nil {
		t.Fatal(err)
	}
	want := &session.Identity{
		Account:       session.Account{Method: "corp", Subject: "248289761001"},
		Issuer:        issuer,
		UserName:      "Alice",
		Name:          "Alice Example",
		Email:         "alice@example.com",
		EmailVerified: true,
		Picture:       "https://id.example/alice.png",
		Groups:        []string{"dev", "admin"},
		Claims: map[string]any{
			"sub": "248289761001", "preferred_username": "Alice", "name": " Alice Example ", "email": "Alice@Example.COM", "email_verified": true,
			"acr": "mfa", "number": json.Number("12345678901234567890"), "address": map[string]any{"country": "NL"},
		},
	}
	if !reflect.DeepEqual(id, want) {
		t.Errorf("got  %+v\nwant %+v", id, want)
	}
}

func TestClaimsAreNotShared(t *testing.T) {
	claims := decode(t, `{"sub": "1", "address": {"country": "NL"}, "list": ["a"], "groups": ["dev"]}`)
	id, err := Standard().Identity("corp", issuer, claims)
	if err != nil {
		t.Fatal(err)
	}
	claims["address"].(map[string]any)["country"] = "changed"
	claims["list"].([]any)[0] = "changed"
	claims["groups"].([]any)[0] = "changed"
	claims["sub"] = "changed"
	for path, want := range map[string]string{"address.country": "NL", "list": "a", "sub": "1"} {
		if got, _ := id.ClaimText(path); got != want {
			t.Errorf("%s = %q after the caller's was changed, want %q", path, got, want)
		}
	}
	if !slices.Equal(id.Groups, []string{"dev"}) {
		t.Errorf("groups = %q after the caller's were changed", id.Groups)
	}
}

func TestEmail(t *testing.T) {
	for name, tc := range map[string]struct {
		claims   string
		email    string
		verified bool
	}{
		"verified":                          {`"email": "a@x.example", "email_verified": true`, "a@x.example", true},
		"verified as text":                  {`"email": "a@x.example", "email_verified": "true"`, "a@x.example", true},
		"verified as 1":                     {`"email": "a@x.example", "email_verified": 1`, "a@x.example", true},
		"verified as text of 1":             {`"email": "a@x.example", "email_verified": "1"`, "a@x.example", true},
		"capitals":                          {`"email": "A.B@X.Example", "email_verified": true`, "a.b@x.example", true},
		"nothing said":                      {`"email": "a@x.example"`, "a@x.example", false},
		"not verified":                      {`"email": "a@x.example", "email_verified": false`, "a@x.example", false},
		"not verified as text":              {`"email": "a@x.example", "email_verified": "false"`, "a@x.example", false},
		"null":                              {`"email": "a@x.example", "email_verified": null`, "a@x.example", false},
		"zero":                              {`"email": "a@x.example", "email_verified": 0`, "a@x.example", false},
		"two":                               {`"email": "a@x.example", "email_verified": 2`, "a@x.example", false},
		"a list of true":                    {`"email": "a@x.example", "email_verified": [true]`, "a@x.example", false},
		"an object":                         {`"email": "a@x.example", "email_verified": {"email": true}`, "a@x.example", false},
		"some other text":                   {`"email": "a@x.example", "email_verified": "yes"`, "a@x.example", false},
		"none at all":                       {`"email_verified": true`, "", false},
		"empty":                             {`"email": "", "email_verified": true`, "", false},
		"no address":                        {`"email": "root", "email_verified": true`, "", false},
		"two addresses":                     {`"email": "a@evil.example,b@x.example", "email_verified": true`, "", false},
		"an address with a name":            {`"email": "Alice <a@x.example>", "email_verified": true`, "", false},
		"an address in quotes":              {`"email": "\"a@evil.example\"@x.example", "email_verified": true`, "", false},
		"a header smuggled in":              {`"email": "a@x.example\r\nRemote-Groups: admin", "email_verified": true`, "", false},
		"a Kelvin sign for a k":             {`"email": "a@\u212axample.org", "email_verified": true`, "", false},
		"a list of addresses":               {`"email": ["a@x.example"], "email_verified": true`, "", false},
		"a number":                          {`"email": 1, "email_verified": true`, "", false},
		"verified in another case of names": {`"email": "a@x.example", "Email_Verified": true`, "a@x.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := Standard().Identity("corp", issuer, decode(t, `{"sub": "1", `+tc.claims+`}`))
			if err != nil {
				t.Fatal(err)
			}
			if id.Email != tc.email || id.EmailVerified != tc.verified {
				t.Errorf("got %q, verified: %t, want %q, %t", id.Email, id.EmailVerified, tc.email, tc.verified)
			}
		})
	}
}

// What is said about "email" must not verify what somebody typed into a profile.
func TestAttackVerifyAnotherClaim(t *testing.T) {
	claims := decode(t, `{"sub": "1", "email": "mallory@evil.example", "email_verified": true, "mail": "victim@x.example", "mail_verified": "true"}`)
	for name, tc := range map[string]struct {
		mapping  Mapping
		verified bool
	}{
		"not named":                {Mapping{Email: "mail"}, false},
		"named":                    {Mapping{Email: "mail", EmailVerified: "mail_verified"}, true},
		"the default named itself": {Mapping{Email: "email"}, true},
	} {
		id, err := tc.mapping.Or(Standard()).Identity("corp", issuer, claims)
		if err != nil {
			t.Fatal(err)
		}
		if id.EmailVerified != tc.verified {
			t.Errorf("%s: %s is verified: %t, want %t", name, id.Email, id.EmailVerified, tc.verified)
		}
	}
}

func TestUserName(t *testing.T) {
	for name, tc := range map[string]struct {
		mapping Mapping
		claims  string
		want    string
	}{
		"preferred":                       {Mapping{}, `"preferred_username": "alice", "email": "a@x.example", "email_verified": true`, "alice"},
		"e-mail address":                  {Mapping{}, `"email": "A@x.example", "email_verified": true`, "a@x.example"},
		"e-mail address, not verified":    {Mapping{}, `"email": "a@x.example"`, "1"},
		"empty":                           {Mapping{}, `"preferred_username": ""`, "1"},
		"null":                            {Mapping{}, `"preferred_username": null`, "1"},
		"of a number":                     {Mapping{UserName: []string{"uid"}}, `"uid": 1000`, "1000"},
		"nested":                          {Mapping{UserName: []string{"account.login"}}, `"account": {"login": "alice"}`, "alice"},
		"prefix":                          {Mapping{UserNamePrefix: "corp-"}, `"preferred_username": "alice"`, "corp-alice"},
		"an address nobody verified":      {Mapping{Email: "mail", EmailVerified: "mail_verified", UserName: []string{"email", "sub"}}, `"email": "victim@x.example", "mail": "a@x.example", "mail_verified": true`, "1"},
		"the address of another claim":    {Mapping{Email: "mail", EmailVerified: "mail_verified", UserName: []string{"mail"}}, `"mail": "a@x.example", "mail_verified": true`, "a@x.example"},
		"the address of that, unverified": {Mapping{Email: "mail", EmailVerified: "mail_verified", UserName: []string{"mail", "sub"}}, `"mail": "a@x.example"`, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := tc.mapping.Or(Standard()).Identity("corp", issuer, decode(t, `{"sub": "1", `+tc.claims+`}`))
			if err != nil {
				t.Fatal(err)
			}
			if id.UserName != tc.want {
				t.Errorf("got %q, want %q", id.UserName, tc.want)
			}
		})
	}
}

func TestRefusedClaims(t *testing.T) {
	long := strings.Repeat("x", 1025)
	for name, tc := range map[string]struct {
		claims string
		claim  string
	}{
		"no subject":                   {`{}`, "sub"},
		"subject null":                 {`{"sub": null}`, "sub"},
		"subject empty":                {`{"sub": ""}`, "sub"},
		"subject a list":               {`{"sub": ["1"]}`, "sub"},
		"subject true":                 {`{"sub": true}`, "sub"},
		"subject an object":            {`{"sub": {"id": "1"}}`, "sub"},
		"subject with a fraction":      {`{"sub": 1.5}`, "sub"},
		"subject with an exponent":     {`{"sub": 1e3}`, "sub"},
		"subject with NUL":             {`{"sub": "a\u0000b"}`, "sub"},
		"subject with a space behind":  {`{"sub": "1 "}`, "sub"},
		"subject too long":             {`{"sub": "` + long + `"}`, "sub"},
		"user name with a newline":     {`{"sub": "1", "preferred_username": "x\r\nRemote-Groups: admin"}`, "preferred_username"},
		"user name with a space ahead": {`{"sub": "1", "preferred_username": " admin"}`, "preferred_username"},
		"user name a list":             {`{"sub": "1", "preferred_username": ["admin"]}`, "preferred_username"},
		"name with a tab":              {`{"sub": "1", "name": "a\tb"}`, "name"},
		"name too long":                {`{"sub": "1", "name": "` + long + `"}`, "name"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := Standard().Identity("corp", issuer, decode(t, tc.claims))
			var refused *Error
			if !errors.As(err, &refused) || refused.Claim != tc.claim {
				t.Errorf("got %+v, %v, want an error that names %s", id, err, tc.claim)
			}
		})
	}
	t.Run("no user name", func(t *testing.T) {
		_, err := Mapping{UserName: []string{"login", "email"}}.Or(Standard()).Identity("corp", issuer, decode(t, `{"sub": "1", "email": "a@x.example"}`))
		if err == nil || !strings.Contains(err.Error(), "login or email") {
			t.Errorf("got %v, want an error that names both claims", err)
		}
	})
	t.Run("a number that lost digits", func(t *testing.T) {
		if id, err := Standard().Identity("corp", issuer, map[string]any{"sub": float64(12345678901234567890)}); err == nil {
			t.Errorf("got %+v", id)
		}
	})
	t.Run("larger than can be stored", func(t *testing.T) {
		_, err := Standard().Identity("corp", issuer, map[string]any{"sub": "1", "photo": strings.Repeat("x", 20<<10)})
		if err == nil || !strings.Contains(err.Error(), `"photo"`) {
			t.Errorf("got %v, want an error that names the claim", err)
		}
	})
}

func TestGroups(t *testing.T) {
	for name, tc := range map[string]struct {
		mapping  Mapping
		claims   string
		want     []string
		unusable []string
	}{
		"a list":                         {Mapping{}, `{"groups": ["dev", "/admin", "爱"]}`, []string{"dev", "/admin", "爱"}, nil},
		"a text":                         {Mapping{}, `{"groups": "dev"}`, []string{"dev"}, nil},
		"a text with spaces is one":      {Mapping{}, `{"groups": "dev admin"}`, []string{"dev admin"}, nil},
		"none":                           {Mapping{}, `{}`, nil, nil},
		"null":                           {Mapping{}, `{"groups": null}`, nil, nil},
		"an empty list":                  {Mapping{}, `{"groups": []}`, nil, nil},
		"an empty text":                  {Mapping{}, `{"groups": ""}`, nil, []string{""}},
		"nested":                         {Mapping{Groups: "realm_access.roles"}, `{"realm_access": {"roles": ["dev"]}}`, []string{"dev"}, nil},
		"a name with dots wins":          {Mapping{Groups: "realm_access.roles"}, `{"realm_access.roles": ["a"], "realm_access": {"roles": ["b"]}}`, []string{"a"}, nil},
		"a name that is an address":      {Mapping{Groups: "https://x.example/roles"}, `{"https://x.example/roles": ["dev"]}`, []string{"dev"}, nil},
		"each once":                      {Mapping{}, `{"groups": ["a", "b", "a"]}`, []string{"a", "b"}, nil},
		"roles with their organisations": {Mapping{}, `{"groups": {"dev": {"1": "x.example"}, "admin": {"1": "x.example", "2": "y.example"}}}`, []string{"admin", "dev"}, nil},
		"roles that are false":           {Mapping{}, `{"groups": {"admin": false}}`, nil, []string{`{"admin":false}`}},
		"roles of nobody":                {Mapping{}, `{"groups": {"admin": {}}}`, nil, []string{`{"admin":{}}`}},
		"clients and their roles":        {Mapping{Groups: "resource_access"}, `{"resource_access": {"admin": {"roles": ["view"]}}}`, nil, []string{`{"admin":{"roles":["view"]}}`}},
		"a comma makes two of one":       {Mapping{}, `{"groups": ["dev,admin", "ops"]}`, []string{"ops"}, []string{"dev,admin"}},
		"a comma in a text":              {Mapping{}, `{"groups": "dev,admin"}`, nil, []string{"dev,admin"}},
		"a newline":                      {Mapping{}, `{"groups": ["dev\nadmin"]}`, nil, []string{"dev\nadmin"}},
		"a space ahead":                  {Mapping{}, `{"groups": [" admin"]}`, nil, []string{" admin"}},
		"objects":                        {Mapping{}, `{"groups": [{"name": "admin"}, "dev"]}`, []string{"dev"}, []string{`{"name":"admin"}`}},
		"numbers and booleans":           {Mapping{}, `{"groups": [1, true, null, "dev"]}`, []string{"dev"}, []string{"1", "true", "null"}},
		"lists in a list":                {Mapping{}, `{"groups": [["admin"]]}`, nil, []string{`["admin"]`}},
		"true":                           {Mapping{}, `{"groups": true}`, nil, []string{"true"}},
		"those that are kept":            {Mapping{KeepGroups: []string{"dev", "ops"}}, `{"groups": ["ops", "admin", "dev", "dev2"]}`, []string{"ops", "dev"}, nil},
		"by a pattern":                   {Mapping{KeepGroups: []string{"app-*"}}, `{"groups": ["app-dev", "app-", "app", "xapp-dev", "app-a/b"]}`, []string{"app-dev", "app-", "app-a/b"}, nil},
		"by a pattern with two stars":    {Mapping{KeepGroups: []string{"*/app/*-rw"}}, `{"groups": ["/x/app/y-rw", "/x/app/y-ro", "/app/-rw", "/app-rw"]}`, []string{"/x/app/y-rw", "/app/-rw"}, nil},
		"by a pattern of all":            {Mapping{KeepGroups: []string{"*"}}, `{"groups": ["dev"]}`, []string{"dev"}, nil},
		"by a pattern that overlaps":     {Mapping{KeepGroups: []string{"ab*ba"}}, `{"groups": ["aba", "abba", "ab-ba"]}`, []string{"abba", "ab-ba"}, nil},
		"kept, with a prefix":            {Mapping{KeepGroups: []string{"dev"}, GroupPrefix: "corp/"}, `{"groups": ["dev", "corp/dev"]}`, []string{"corp/dev"}, nil},
		"what is not kept is no fault":   {Mapping{KeepGroups: []string{"dev"}}, `{"groups": ["a,b", " x", "dev"]}`, []string{"dev"}, nil},
		"in other cases":                 {Mapping{KeepGroups: []string{"Dev"}}, `{"groups": ["dev"]}`, nil, nil},
		"prefix":                         {Mapping{GroupPrefix: "corp/"}, `{"groups": ["admin", ""]}`, []string{"corp/admin"}, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			claims := decode(t, tc.claims)
			claims["sub"] = "1"
			m := tc.mapping.Or(Standard())
			id, err := m.Identity("corp", issuer, claims)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(id.Groups, tc.want) {
				t.Errorf("groups = %q, want %q", id.Groups, tc.want)
			}
			if unusable := m.Unusable(claims); !slices.Equal(unusable, tc.unusable) {
				t.Errorf("unusable: %q, want %q", unusable, tc.unusable)
			}
		})
	}
}

func TestPicture(t *testing.T) {
	for name, tc := range map[string]struct{ claim, want string }{
		"https":              {`"https://x.example/a.png"`, "https://x.example/a.png"},
		"http":               {`"http://x.example/a.png"`, "http://x.example/a.png"},
		"a script":           {`"javascript:alert(1)"`, ""},
		"in the text itself": {`"data:image/png;base64,AAAA"`, ""},
		"a path":             {`"/a.png"`, ""},
		"a newline":          {`"https://x.example/\n"`, ""},
		"too long":           {`"https://x.example/` + strings.Repeat("x", 1024) + `"`, ""},
		"an object":          {`{"url": "https://x.example/a.png"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := Standard().Identity("corp", issuer, decode(t, `{"sub": "1", "picture": `+tc.claim+`}`))
			if err != nil {
				t.Fatal(err)
			}
			if id.Picture != tc.want {
				t.Errorf("got %q, want %q", id.Picture, tc.want)
			}
			if _, kept := id.Claims["picture"]; kept {
				t.Error("it is kept twice")
			}
		})
	}
}

func TestKeep(t *testing.T) {
	claims := decode(t, `{"sub": "1", "sid": "s", "groups": ["dev"], "department": "it", "realm_access": {"roles": ["admin"], "other": 1}, "more": 1}`)
	for name, tc := range map[string]struct {
		keep  []string
		rules Rules
		want  map[string]any
	}{
		"one":                       {[]string{"department"}, nil, map[string]any{"department": "it"}},
		"a path":                    {[]string{"realm_access.roles"}, nil, map[string]any{"realm_access.roles": []any{"admin"}}},
		"of the protocol":           {[]string{"sid"}, nil, map[string]any{"sid": "s"}},
		"one that is not there":     {[]string{"nowhere"}, nil, nil},
		"what a rule looks at":      {[]string{"more"}, Rules{{RuleClaim, "realm_access.roles", []string{"admin"}}, {RuleGroup, "", []string{"x"}}}, map[string]any{"more": json.Number("1"), "realm_access.roles": []any{"admin"}}},
		"groups, for a rule":        {[]string{"more"}, Rules{{RuleClaim, "groups", []string{"dev"}}}, map[string]any{"more": json.Number("1"), "groups": []any{"dev"}}},
		"without a list, no groups": {nil, nil, map[string]any{"sub": "1", "department": "it", "more": json.Number("1"), "realm_access": map[string]any{"roles": []any{"admin"}, "other": json.Number("1")}}},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := Mapping{Keep: tc.keep}.Or(Standard()).Keeping(tc.rules).Identity("corp", issuer, claims)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(id.Claims, tc.want) {
				t.Errorf("got %v, want %v", id.Claims, tc.want)
			}
		})
	}
}

func TestValidateMapping(t *testing.T) {
	for name, tc := range map[string]struct {
		mapping Mapping
		ok      bool
	}{
		"standard":                    {Standard(), true},
		"paths":                       {Mapping{Subject: "user.id", UserName: []string{"user.login"}}, true},
		"none":                        {Mapping{}, false},
		"no subject":                  {Mapping{UserName: []string{"login"}}, false},
		"no user name":                {Mapping{Subject: "id"}, false},
		"an empty user name":          {Mapping{UserName: []string{"login", ""}}.Or(Standard()), false},
		"an empty name to keep":       {Mapping{Keep: []string{""}}.Or(Standard()), false},
		"a name with a newline":       {Mapping{Email: "a\nb"}.Or(Standard()), false},
		"prefix":                      {Mapping{UserNamePrefix: "corp-", GroupPrefix: "corp:"}.Or(Standard()), true},
		"prefix that makes ids":       {Mapping{UserNamePrefix: "corp:"}.Or(Standard()), false},
		"prefix with a newline":       {Mapping{UserNamePrefix: "a\n"}.Or(Standard()), false},
		"prefix with a space ahead":   {Mapping{UserNamePrefix: " a"}.Or(Standard()), false},
		"group prefix with a comma":   {Mapping{GroupPrefix: "a,"}.Or(Standard()), false},
		"group prefix with a newline": {Mapping{GroupPrefix: "a\n"}.Or(Standard()), false},
	} {
		if err := tc.mapping.Validate(); (err == nil) != tc.ok {
			t.Errorf("%s: Validate = %v, want it accepted: %t", name, err, tc.ok)
		}
	}
}

// FuzzIdentity looks for claims that make an identity which could not be stored or told, or one that
// is not the same for the same claims.
func FuzzIdentity(f *testing.F) {
	for _, seed := range []string{
		`{"sub": "1", "preferred_username": "alice", "email": "a@x.example", "email_verified": true, "groups": ["dev"]}`,
		`{"sub": 1, "groups": {"admin": {"1": "x"}}, "picture": "https://x.example"}`,
		`{"sub": "1", "name": " \u0000", "groups": [" a", "b,c"], "email": "\u212a@x.example"}`,
	} {
		f.Add(seed)
	}
	m := Mapping{UserNamePrefix: "p-"}.Or(Standard())
	f.Fuzz(func(t *testing.T, text string) {
		var claims map[string]any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if decoder.Decode(&claims) != nil {
			return
		}
		id, err := m.Identity("corp", issuer, claims)
		if err != nil {
			return
		}
		if err := errors.Join(id.Validate(), id.Fits()); err != nil {
			t.Fatalf("%+v: %v", id, err)
		}
		if !strings.HasPrefix(id.UserName, "p-") || id.EmailVerified && claims["email_verified"] == nil {
			t.Fatalf("%+v", id)
		}
		if again, err := m.Identity("corp", issuer, claims); err != nil || !reflect.DeepEqual(id, again) {
			t.Fatalf("%+v, and then %+v, %v", id, again, err)
		}
	})
}

// TestTooManyGroups has more groups than an account may, of which few matter here.
func TestTooManyGroups(t *testing.T) {
	var all []any
	for i := range 1000 {
		all = append(all, fmt.Sprintf("b9a4ec1c-1c6b-4d2a-9f4e-%012d", i))
	}
	given := map[string]any{"sub": "1", "email": "alice@example.com", "preferred_username": "alice", "wids": []any{"x"}, "groups": all}
	var failed *Error
	if _, err := Standard().Identity("corp", issuer, given); !errors.As(err, &failed) || failed.Claim != "groups" || !strings.Contains(err.Error(), "keep_groups") {
		t.Errorf("%v does not name the claim and what helps", err)
	}
	m := Mapping{KeepGroups: []string{"b9a4ec1c-1c6b-4d2a-9f4e-000000000007", "*99"}}.Or(Standard())
	id, err := m.Identity("corp", issuer, given)
	if err != nil || len(id.Groups) != 11 {
		t.Errorf("%v, %v", id, err)
	}
	given["groups"], given["history"] = []any{"dev"}, strings.Repeat("x", 20<<10)
	if _, err := Standard().Identity("corp", issuer, given); !errors.As(err, &failed) || failed.Claim != "history" {
		t.Errorf("%v does not name the claim", err)
	}
}

func TestGroupsElsewhere(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: false,
		`{"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example.com"}}}`: true,
		`{"_claim_names": {"address": "src1"}}`:                   false,
		`{"_claim_names": {"groups": "src1"}, "groups": ["dev"]}`: false,
		`{"_claim_names": ["groups"]}`:                            false,
		`{"hasgroups": true}`:                                     true,
		`{"hasgroups": "true"}`:                                   true,
		`{"hasgroups": false}`:                                    false,
	} {
		if got := Standard().GroupsElsewhere(decode(t, text)); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
}
