package password

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

func TestNewRefuses(t *testing.T) {
	alice := User{Name: "alice", Email: "alice@example.com", Hash: caddySmall}
	with := func(change func(*User)) []User {
		u := alice
		change(&u)
		return []User{u}
	}
	named := func(name string) []User { return with(func(u *User) { u.Name = name }) }
	mailed := func(email string) []User { return with(func(u *User) { u.Email = email }) }
	const prefix = `login password: user "alice": `
	for name, tc := range map[string]struct {
		users []User
		err   string // "" where it is accepted
	}{
		"a user":                   {[]User{alice}, ""},
		"all characters":           {named("Az09._-"), ""},
		"name of one character":    {named("a"), ""},
		"name of 64 characters":    {named(strings.Repeat("a", 64)), ""},
		"name that is a number":    {named("007"), ""},
		"name with an underscore":  {named("_svc"), ""},
		"no e-mail, for two":       {[]User{{Name: "a", Hash: caddySmall}, {Name: "b", Hash: caddySmall}}, ""},
		"e-mail with signs":        {mailed("o'neil+tag=x/y@sub.example.com"), ""},
		"e-mail on a bare host":    {mailed("root@localhost"), ""},
		"e-mail in another script": {mailed("post@xn--bcher-kva.example"), ""},
		"display name, any script": {with(func(u *User) { u.DisplayName = "Älice 愛" }), ""},

		"no name":                   {named(""), `login password: user "": name: missing`},
		"name of 65 characters":     {named(strings.Repeat("a", 65)), "name: longer than 64 characters"},
		"name with a space":         {named("al ice"), "name: only letters"},
		"name with a colon":         {named("al:ice"), "name: only letters"},
		"name with a comma":         {named("al,ice"), "name: only letters"},
		"name like an e-mail":       {named("alice@example.com"), "name: only letters"},
		"name in another script":    {named("аlice"), "name: only letters"},
		"name that is not UTF-8":    {named("al\xffice"), "name: only letters"},
		"name with a line break":    {named("alice\n"), "name: only letters"},
		"name that is a directory":  {named(".."), "name: must not begin"},
		"name that is an option":    {named("-rf"), "name: must not begin"},
		"two of a name":             {[]User{alice, {Name: "ALICE", Hash: caddySmall}}, `user "ALICE": name: another user has it`},
		"two of an e-mail":          {[]User{alice, {Name: "bob", Email: "ALICE@example.COM", Hash: caddySmall}}, `user "bob": e-mail "ALICE@example.COM": user "alice" has it`},
		"e-mail without domain":     {mailed("alice"), prefix + `e-mail "alice": not a plain`},
		"e-mail without local part": {mailed("@example.com"), "not a plain"},
		"e-mail with display name":  {mailed("Alice <alice@example.com>"), "not a plain"},
		"e-mail in brackets":        {mailed("<alice@example.com>"), "not a plain"},
		"e-mail with a comment":     {mailed("alice@example.com (home)"), "not a plain"},
		"e-mail with quotes":        {mailed(`"al ice"@example.com`), "not a plain"},
		"e-mail with a space":       {mailed(" alice@example.com"), "not a plain"},
		"e-mail with a line break":  {mailed("alice@example.com\r\n"), "not a plain"},
		"e-mail with two dots":      {mailed("al..ice@example.com"), "not a plain"},
		"e-mail of an IP address":   {mailed("alice@[192.0.2.1]"), "not a plain"},
		"two e-mails":               {mailed("alice@example.com,bob@example.com"), "not a plain"},
		"e-mail not in ASCII":       {mailed("älice@example.com"), "only ASCII"},
		"e-mail not in UTF-8":       {mailed("al\xffice@example.com"), "only ASCII"},
		"e-mail too long":           {mailed(strings.Repeat("a", 64) + "@" + strings.Repeat("b.", 94) + "example"), "longer than 254 bytes"},
		"display name with breaks":  {with(func(u *User) { u.DisplayName = "Alice\r\nRemote-User: bob" }), "control characters"},
		"group with a comma":        {with(func(u *User) { u.Groups = []string{"dev,admin"} }), prefix + "group"},
		"empty group":               {with(func(u *User) { u.Groups = []string{""} }), prefix + "group"},
		"picture with a space":      {with(func(u *User) { u.Picture = " https://example.com" }), prefix + "picture"},
		"no hash":                   {with(func(u *User) { u.Hash = "" }), prefix + "hash: missing"},
		"a password for a hash":     {with(func(u *User) { u.Hash = "wonderland" }), prefix + "hash: neither an argon2id nor a bcrypt hash as caddy hash-password prints it; make one with caddy hash-password --algorithm argon2id"},
		"hash beyond the budget": {with(func(u *User) { u.Hash = strings.Replace(caddySmall, "m=64", "m=262145", 1) }),
			prefix + "hash: takes 262145 KiB of memory, more than the 262144 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newMethod(t, Config{Users: tc.users})
			switch {
			case tc.err == "" && err != nil:
				t.Errorf("%v, want it accepted", err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Errorf("got the error %v, want one with %s", err, tc.err)
			case err != nil && strings.Contains(err.Error(), "xzXqNxOMXI7wUcsq9go6FQ"):
				t.Errorf("the error has the hash in it: %v", err)
			}
		})
	}
}

func TestNewRefusesTheMethod(t *testing.T) {
	throttle, budget := login.NewThrottle(nil), NewBudget(DefaultMemory)
	for name, tc := range map[string]struct {
		config Config
		budget *Budget
		err    string
	}{
		"no id":              {Config{}, budget, `login "": the id must not be empty`},
		"a colon in the id":  {Config{ID: "a:b"}, budget, `login "a:b": the id must not be empty or have a colon`},
		"half of the limits": {Config{ID: "p", Limits: login.Limits{Failures: 10}}, budget, "login p: throttle: window of 0s"},
		"no room for decoys": {Config{ID: "p"}, NewBudget(32), "login p: a hash as caddy hash-password makes it takes 64 KiB"},
		"a negative budget":  {Config{ID: "p"}, NewBudget(-1), "more than the 0 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.config, throttle, tc.budget)
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got the error %v, want one with %s", err, tc.err)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	groups, claims := []string{"admin", "dev"}, map[string]any{"team": "blue"}
	m := mustMethod(t, Config{Users: []User{
		{
			Name: "Alice", Email: "Alice@Example.com", Hash: caddySmall, DisplayName: "Alice Example",
			Picture: "https://example.com/alice.png", Groups: groups, Claims: claims,
		},
		{Name: "bob", Hash: caddySmall},
	}})
	groups[0], claims["team"] = "changed", "after New"

	for subject, want := range map[string]*session.Identity{
		"Alice": {
			Account:       session.Account{Method: "password", Subject: "Alice"},
			UserName:      "Alice",
			Name:          "Alice Example",
			Email:         "alice@example.com",
			EmailVerified: true,
			Picture:       "https://example.com/alice.png",
			Groups:        []string{"admin", "dev"},
			Claims:        map[string]any{"team": "blue"},
			Epoch:         hashEpoch(caddySmall),
		},
		"bob": {
			Account:  session.Account{Method: "password", Subject: "bob"},
			UserName: "bob",
			Epoch:    hashEpoch(caddySmall),
		},
	} {
		if got := m.identities[subject]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, want %+v", subject, got, want)
		}
	}
}
