package caddymodule

import (
	"fmt"
	"strings"
	"testing"
)

// takes is what an option has behind it.
type takes int

const (
	nothing takes = iota
	oneValue
	oneSecret
	values
	theWordOff
)

// TestProviderOptionsAreGivenOnce holds each option of logins at providers to what it takes: nothing
// missing, nothing more, and once. Golden files have what is special about one.
func TestProviderOptionsAreGivenOnce(t *testing.T) {
	common := map[string]takes{
		"name": oneValue, "client_id": oneValue, "client_secret": oneSecret, "scopes": values, "redirect_uri": oneValue,
		"prompt": oneValue, "user_name_prefix": oneValue, "group_prefix": oneValue, "refresh": theWordOff, "insecure_http": nothing, "shared_user_names": nothing,
	}
	claims := map[string]takes{
		"user_name": values, "name": oneValue, "email": oneValue, "email_verified": oneValue, "picture": oneValue,
		"groups": oneValue, "keep": values,
	}
	for _, block := range []struct {
		login, inside string
		options       map[string]takes
	}{
		{"oidc", "", common},
		{"oidc", "", map[string]takes{"issuer": oneValue, "userinfo": theWordOff, "logout": theWordOff}},
		{"oidc", "claims", claims},
		{"oauth2", "", common},
		{"oauth2", "", map[string]takes{
			"preset": oneValue, "base_url": oneValue, "authorization_endpoint": oneValue, "token_endpoint": oneValue, "userinfo_endpoint": oneValue,
			"client_authentication": oneValue, "issuer": oneValue,
		}},
		{"oauth2", "claims", claims},
		{"oauth2", "claims", map[string]takes{"subject": oneValue}},
	} {
		for option, takes := range block.options {
			t.Run(block.login+"/"+block.inside+"/"+option, func(t *testing.T) {
				for lines, want := range misuses(option, takes) {
					caddyfile, line := loginWith(block.login, block.inside, lines)
					got := adapt(t, caddyfile)
					want := fmt.Sprintf(": %s, at Caddyfile:%d\n", want, line)
					if !strings.HasPrefix(got, "error: ") || !strings.HasSuffix(got, want) {
						t.Errorf("%q: got %q, want %q at its end", lines, got, want)
					}
				}
			})
		}
	}
}

// loginWith returns a Caddyfile with the lines in a login's block, or in one inside that, and the number
// of the last of them.
func loginWith(login, inside, lines string) (caddyfile string, last int) {
	before := "{\nmulti_session {\nlogin " + login + " corp {\n"
	after := "\n}\n}\n}\nexample.com {\nmulti_session\n}\n"
	if inside != "" {
		before, after = before+inside+" {\n", "\n}"+after
	}
	return before + lines + after, strings.Count(before+lines, "\n") + 1
}

// misuses are lines with an option, and what is said about the last of them.
func misuses(option string, takes takes) map[string]string {
	missing, twice := option+": a value is missing", option+": is given twice"
	switch takes {
	case nothing:
		return map[string]string{
			option + " on":         `surplus argument "on"`,
			option + "\n" + option: twice,
		}
	case oneSecret:
		return map[string]string{
			option:                          missing,
			option + ` ""`:                  option + ": a value is empty",
			option + " a b":                 option + ": takes one value; quote it if it has spaces",
			option + " a\n" + option + " b": twice,
		}
	case values:
		return map[string]string{
			option:                          missing,
			option + ` a ""`:                option + ": a value is empty",
			option + " a\n" + option + " b": twice,
		}
	case theWordOff:
		return map[string]string{
			option:                              missing,
			option + " on":                      option + `: "on" is not off`,
			option + " off now":                 `surplus argument "now"`,
			option + " off\n" + option + " off": twice,
		}
	default:
		return map[string]string{
			option:                          missing,
			option + ` ""`:                  option + ": the value is empty",
			option + " a b":                 `surplus argument "b"`,
			option + " a\n" + option + " b": twice,
		}
	}
}
