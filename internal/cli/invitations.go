package cli

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// invitations returns the command group for invitations.
func (c *commands) invitations() *cobra.Command {
	return c.group(&cobra.Command{Use: "invitations", Short: "Lists, creates and deletes invitations to sign up"},
		c.invitationsList(), c.invitationsCreate(), c.invitationsDelete())
}

func (c *commands) invitationsList() *cobra.Command {
	return c.command("list", "Lists the invitations that can be used, newest first", cobra.NoArgs, accessRead, func(t *task) error {
		var answer admin.InvitationList
		if show, err := t.call(http.MethodGet, "/invitations", nil, nil, &answer); !show {
			return err
		}
		list := newTable(t.stdout(), "INVITATION", "E-MAIL", "GROUPS", "USES LEFT", "CREATED", "EXPIRES")
		for _, i := range answer.Invitations {
			list.row(i.ID, i.Email, strings.Join(i.Groups, ","), strconv.Itoa(i.Uses), formatTime(i.CreatedAt.Time), formatTime(i.ExpiresAt.Time))
		}
		return list.end()
	})
}

func (c *commands) invitationsCreate() *cobra.Command {
	var wanted admin.NewInvitation
	var uses int
	var expires string
	cmd := c.command("create", "Creates an invitation and shows its code, this once", cobra.NoArgs, accessWrite, func(t *task) error {
		wanted.Uses = flagValue(t, "uses", uses)
		wanted.ExpiresIn = flagValue(t, "expires-in", expires)
		var made admin.Invited
		if show, err := t.call(http.MethodPost, "/invitations", nil, wanted, &made); !show {
			return err
		}
		pages := made.URLs
		if len(pages) == 0 { // no server said which sites there are
			pages = []string{made.Path}
		}
		return writeDetails(t.stdout(),
			"Invitation", made.ID,
			"Code", made.Code,
			"Page", strings.Join(pages, ", "),
			"Expires", formatTime(made.ExpiresAt.Time),
		)
	})
	cmd.Flags().StringVar(&wanted.Email, "email", "", "Only for this e-mail address")
	cmd.Flags().StringSliceVar(&wanted.Groups, "groups", nil, "Groups of the users who sign up with it, separated by commas")
	cmd.Flags().IntVar(&uses, "uses", 1, "How many users can sign up with it")
	cmd.Flags().StringVar(&expires, "expires-in", "7d", "How long it is valid, such as 12h or 7d")
	for _, flag := range []string{"email", "groups", "uses", "expires-in"} {
		setCompletion(cmd, flag, cobra.NoFileCompletions)
	}
	return cmd
}

func (c *commands) invitationsDelete() *cobra.Command {
	cmd := c.command("delete <invitation>", "Deletes an invitation, by its id", cobra.ExactArgs(1), accessWrite, func(t *task) error {
		switch t.args[0] {
		case "", ".", "..": // these would name another path
			return errors.New("no such invitation")
		}
		if show, err := t.call(http.MethodDelete, "/invitations/"+url.PathEscape(t.args[0]), nil, nil, &struct{}{}); !show {
			return err
		}
		return t.say("Deleted invitation %s.", printable(t.args[0]))
	})
	cmd.ValidArgsFunction = c.completeInvitations()
	return cmd
}
