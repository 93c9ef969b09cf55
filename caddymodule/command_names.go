package caddymodule

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// names is the command for the user names of providers' accounts.
func (c *cli) names() *cobra.Command {
	return c.group(&cobra.Command{Use: "names", Short: "Shows and releases user names of accounts of identity providers"}, c.namesShow(), c.namesRelease())
}

func (c *cli) namesShow() *cobra.Command {
	return c.command("show <username>", "Shows which account a user name belongs to", cobra.ExactArgs(1), looking, func(t *task) error {
		var answer admin.HeldName
		if show, err := t.nameCall(http.MethodGet, &answer); !show {
			return err
		}
		return details(t.stdout(), "User name", answer.UserName, "Account", answer.Account)
	})
}

func (c *cli) namesRelease() *cobra.Command {
	return c.command("release <username>", "Lets the next account that signs in with a user name have it", cobra.ExactArgs(1), changing, func(t *task) error {
		var answer admin.HeldName
		if show, err := t.nameCall(http.MethodDelete, &answer); !show {
			return err
		}
		return t.say("Released %s, which was of %s.", harmless(answer.UserName), harmless(answer.Account))
	})
}

func (t *task) nameCall(method string, answer *admin.HeldName) (show bool, err error) {
	switch t.args[0] {
	case "", ".", "..": // which would be another path
		return false, errors.New("no account of a provider has that user name")
	}
	return t.call(method, "/names/"+url.PathEscape(t.args[0]), nil, nil, answer)
}
