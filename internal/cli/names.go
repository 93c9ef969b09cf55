package cli

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// names returns the command group for user names of accounts at identity providers.
func (c *commands) names() *cobra.Command {
	return c.group(&cobra.Command{Use: "names", Short: "Shows and releases user names of accounts of identity providers"}, c.namesShow(), c.namesRelease())
}

func (c *commands) namesShow() *cobra.Command {
	return c.command("show <username>", "Shows which account a user name belongs to", cobra.ExactArgs(1), accessRead, func(t *task) error {
		var answer admin.HeldName
		if show, err := t.nameCall(http.MethodGet, &answer); !show {
			return err
		}
		return writeDetails(t.stdout(), "User name", answer.UserName, "Account", answer.Account)
	})
}

func (c *commands) namesRelease() *cobra.Command {
	return c.command("release <username>", "Frees a user name for the next account that signs in with it, and ends the owner's sessions", cobra.ExactArgs(1), accessWrite, func(t *task) error {
		var answer admin.ReleasedName
		if show, err := t.nameCall(http.MethodDelete, &answer); !show {
			return err
		}
		t.warn(answer.Warning)
		return t.say("Released %s, which belonged to %s. Sessions ended: %d.", printable(answer.UserName), printable(answer.Account), answer.SessionsEnded.SessionsEnded)
	})
}

func (t *task) nameCall(method string, answer any) (show bool, err error) {
	switch t.args[0] {
	case "", ".", "..": // these would name another path
		return false, errors.New("no account of a provider has that user name")
	}
	return t.call(method, "/names/"+url.PathEscape(t.args[0]), nil, nil, answer)
}
