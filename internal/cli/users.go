package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// users returns the command group for users.
func (c *commands) users() *cobra.Command {
	return c.group(&cobra.Command{Use: "users", Short: "Lists, creates and changes users"},
		c.usersList(), c.usersShow(), c.usersCreate(), c.usersUpdate(),
		c.usersSetDisabled("disable", "Ends a user's sessions and prevents further sign-ins", true),
		c.usersSetDisabled("enable", "Lets a disabled user sign in again", false),
		c.usersPassword(), c.usersDelete(),
	)
}

// userCommand returns a command about one user, named by user name, e-mail address or id.
func (c *commands) userCommand(name, short string, needs access, do func(t *task, path string) error) *cobra.Command {
	cmd := c.command(name+" <user>", short, cobra.ExactArgs(1), needs, func(t *task) error {
		switch t.args[0] {
		case "", ".", "..": // these would name another path
			return errors.New("no such user")
		}
		return do(t, "/users/"+url.PathEscape(t.args[0]))
	})
	cmd.ValidArgsFunction = c.completeUsers(1)
	return cmd
}

func (c *commands) usersList() *cobra.Command {
	var search string
	cmd := c.command("list", "Lists all users of the configuration and the database", cobra.NoArgs, accessRead, func(t *task) error {
		users, err := t.allUsers(search)
		if err != nil || t.json {
			return err
		}
		list := newTable(t.stdout(), "USERNAME", "NAME", "E-MAIL", "GROUPS", "STATE", "SOURCE", "CREATED")
		for _, u := range users {
			list.row(u.Username, u.Name, u.Email, strings.Join(u.Groups, ","), userState(u), u.Source, formatTime(u.CreatedAt.Time))
		}
		return list.end()
	})
	cmd.Flags().StringVar(&search, "search", "", "Only users with this text in user name, name, e-mail address or id")
	return setCompletion(cmd, "search", cobra.NoFileCompletions)
}

// allUsers returns the users of all pages. With --json it also prints them, as one page.
func (t *task) allUsers(search string) ([]admin.User, error) {
	if err := t.connect(); err != nil {
		return nil, err
	}
	all := struct {
		Users []json.RawMessage `json:"users"`
	}{Users: []json.RawMessage{}}
	var users []admin.User
	query := make(url.Values)
	if search != "" {
		query.Set("search", search)
	}
	for {
		answer, err := t.client.call(t.cmd.Context(), http.MethodGet, "/users", query, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Users []json.RawMessage `json:"users"`
			Next  string            `json:"next"`
		}
		if err := t.decode(answer, &page); err != nil {
			return nil, err
		}
		for _, raw := range page.Users {
			var u admin.User
			if err := t.decode(raw, &u); err != nil {
				return nil, err
			}
			all.Users, users = append(all.Users, raw), append(users, u)
		}
		if page.Next == "" {
			break
		}
		query.Set("after", page.Next)
	}
	if t.json {
		return users, json.NewEncoder(t.stdout()).Encode(all)
	}
	return users, nil
}

// userState says whether a user can sign in, and why not.
func userState(u admin.User) string {
	switch {
	case u.Disabled:
		return "disabled"
	case u.Shadowed:
		return "shadowed"
	case !u.Password:
		return "no password"
	}
	return "active"
}

func (c *commands) usersShow() *cobra.Command {
	return c.userCommand("show", "Shows a user", accessRead, func(t *task, path string) error {
		var u admin.User
		if show, err := t.call(http.MethodGet, path, nil, nil, &u); !show {
			return err
		}
		email := u.Email
		if email != "" && !u.EmailVerified {
			email += " (not verified)"
		}
		return writeDetails(t.stdout(),
			"Username", u.Username,
			"Id", u.ID,
			"Name", u.Name,
			"E-mail", email,
			"Groups", strings.Join(u.Groups, ", "),
			"Picture", u.Picture,
			"State", userState(u),
			"Source", u.Source,
			"Created", formatTime(u.CreatedAt.Time),
			"Changed", formatTime(u.UpdatedAt.Time),
		)
	})
}

// userFlags are the flags that set a user's properties.
type userFlags struct {
	email, name, picture string
	groups               []string
	verified             bool
	hash                 string
}

func (f *userFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.email, "email", "", "E-mail address")
	cmd.Flags().BoolVar(&f.verified, "email-verified", true, "Whether the address is known to be the user's; a new address counts as verified")
	cmd.Flags().StringVar(&f.name, "name", "", "Display name")
	cmd.Flags().StringVar(&f.picture, "picture", "", "URL of a picture")
	cmd.Flags().StringSliceVar(&f.groups, "groups", nil, "All groups of the user, separated by commas")
	for _, flag := range []string{"email", "name", "picture", "groups"} {
		setCompletion(cmd, flag, cobra.NoFileCompletions)
	}
}

func (f *userFlags) change(t *task) admin.UserChange {
	change := admin.UserChange{
		Email:   flagValue(t, "email", f.email),
		Name:    flagValue(t, "name", f.name),
		Picture: flagValue(t, "picture", f.picture),

		EmailVerified: flagValue(t, "email-verified", f.verified),
	}
	if t.cmd.Flags().Changed("groups") {
		groups := append([]string{}, f.groups...) // an empty list removes all groups
		change.Groups = &groups
	}
	return change
}

func (c *commands) usersCreate() *cobra.Command {
	var flags userFlags
	var disabled, none bool
	cmd := c.command("create <username>", "Creates a user and asks for the password", cobra.ExactArgs(1), accessWrite, func(t *task) error {
		wanted := admin.NewUser{UserChange: flags.change(t), PasswordHash: flagValue(t, "password-hash", flags.hash)}
		wanted.Username = &t.args[0]
		wanted.Disabled = flagValue(t, "disabled", disabled)
		if wanted.PasswordHash == nil && !none {
			typed, err := t.terminal().password(printable(t.args[0]))
			if err != nil {
				return err
			}
			wanted.Password = &typed
		}
		var u admin.User
		if show, err := t.call(http.MethodPost, "/users", nil, wanted, &u); !show {
			return err
		}
		t.warn(u.Warning)
		return t.say("Created user %s with the id %s.", printable(u.Username), printable(u.ID))
	})
	flags.register(cmd)
	cmd.Flags().BoolVar(&disabled, "disabled", false, "The user cannot sign in until enabled")
	cmd.Flags().BoolVar(&none, "no-password", false, "The user has no password until one is set")
	cmd.Flags().StringVar(&flags.hash, "password-hash", "", "Hash of the password, as caddy hash-password prints it, instead of the password")
	cmd.MarkFlagsMutuallyExclusive("no-password", "password-hash")
	return setCompletion(cmd, "password-hash", cobra.NoFileCompletions)
}

func (c *commands) usersUpdate() *cobra.Command {
	var flags userFlags
	var username string
	cmd := c.userCommand("update", "Changes the given properties of a user", accessWrite, func(t *task, path string) error {
		wanted := flags.change(t)
		wanted.Username = flagValue(t, "username", username)
		return t.updateUser(path, wanted, "Changed")
	})
	flags.register(cmd)
	cmd.Flags().StringVar(&username, "username", "", "User name; sign-up gives the previous one to nobody else")
	return setCompletion(cmd, "username", cobra.NoFileCompletions)
}

func (c *commands) usersSetDisabled(name, short string, disabled bool) *cobra.Command {
	done := map[bool]string{true: "Disabled", false: "Enabled"}[disabled]
	return c.userCommand(name, short, accessWrite, func(t *task, path string) error {
		return t.updateUser(path, admin.UserChange{Disabled: &disabled}, done)
	})
}

func (t *task) updateUser(path string, wanted admin.UserChange, done string) error {
	var u admin.User
	if show, err := t.call(http.MethodPatch, path, nil, wanted, &u); !show {
		return err
	}
	t.warn(u.Warning)
	return t.say("%s user %s.", done, printable(u.Username))
}

func (c *commands) usersPassword() *cobra.Command {
	var hash string
	var keep bool
	cmd := c.userCommand("password", "Sets a user's password and ends the user's sessions", accessWrite, func(t *task, path string) error {
		wanted := admin.PasswordChange{PasswordHash: flagValue(t, "password-hash", hash), KeepSessions: keep}
		if wanted.PasswordHash == nil {
			typed, err := t.terminal().password(printable(t.args[0]))
			if err != nil {
				return err
			}
			wanted.Password = &typed
		}
		return t.endSessions(http.MethodPut, path+"/password", nil, wanted, fmt.Sprintf("Set the password of %s", printable(t.args[0])))
	})
	cmd.Flags().StringVar(&hash, "password-hash", "", "Hash of the password, as caddy hash-password prints it, instead of the password")
	cmd.Flags().BoolVar(&keep, "keep-sessions", false, "Keep the user's sessions")
	return setCompletion(cmd, "password-hash", cobra.NoFileCompletions)
}

func (c *commands) usersDelete() *cobra.Command {
	return c.addYesFlag(c.userCommand("delete", "Deletes a user and ends the user's sessions", accessWrite, func(t *task, path string) error {
		if err := t.confirm("Delete user %s for ever?", printable(t.args[0])); err != nil {
			return err
		}
		return t.endSessions(http.MethodDelete, path, nil, nil, fmt.Sprintf("Deleted user %s", printable(t.args[0])))
	}))
}
