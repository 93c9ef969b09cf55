package caddymodule

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// sessions is the command for sessions.
func (c *cli) sessions() *cobra.Command {
	return c.group(&cobra.Command{Use: "sessions", Short: "Lists and ends sessions"}, c.sessionsList(), c.sessionsEnd())
}

// selectors are the flags that say which sessions are meant, by the names of the API's parameters.
// They must all apply.
func (c *cli) selectors(cmd *cobra.Command) {
	cmd.Flags().String("user", "", "Only those of a user: name, e-mail address, id, or account id as password:alice")
	cmd.Flags().String("jar", "", "Only those of a browser, by the id of its jar")
	cmd.Flags().String("method", "", "Only those of a login")
	completedBy(cmd, "user", c.completeUsers(0))
	completedBy(cmd, "jar", c.completeSessions(func(s admin.Session) string { return s.Jar }))
	completedBy(cmd, "method", c.completeSessions(func(s admin.Session) string { return s.Method }))
}

// selected returns the selectors that are given.
func (t *task) selected() url.Values {
	query := make(url.Values)
	for _, name := range []string{"user", "jar", "method"} {
		if flag := t.cmd.Flags().Lookup(name); flag.Changed {
			query.Set(name, flag.Value.String()) // also an empty one, for the API to refuse
		}
	}
	return query
}

func (c *cli) sessionsList() *cobra.Command {
	cmd := c.command("list", "Lists the sessions there are, those signed in last first", cobra.NoArgs, looking, func(t *task) error {
		query := t.selected()
		if limit := t.cmd.Flags().Lookup("limit"); limit.Changed {
			query.Set("limit", limit.Value.String())
		}
		var answer admin.SessionList
		if show, err := t.call(http.MethodGet, "/sessions", query, nil, &answer); !show {
			return err
		}
		list := newTable(t.stdout(), "SESSION", "USER", "METHOD", "ACTIVE", "JAR", "SIGNED IN", "LAST USED", "ADDRESS", "USER AGENT")
		for _, s := range answer.Sessions {
			list.row(s.ID, s.User, s.Method, active(s), s.Jar, moment(s.CreatedAt.Time), moment(s.LastUsedAt.Time), s.IP, shortened(s.UserAgent))
		}
		t.warn(answer.Warning)
		if err := list.end(); err != nil || !answer.More {
			return err
		}
		return t.say("There are more.")
	})
	cmd.Flags().Int("limit", 0, "At most so many")
	c.selectors(cmd)
	return completedBy(cmd, "limit", cobra.NoFileCompletions)
}

// active says whether a session is active, and on which hosts if each has an active one of its own.
func active(s admin.Session) string {
	if len(s.ActiveHosts) > 0 {
		return strings.Join(s.ActiveHosts, ",")
	}
	return yesNo(s.Active)
}

func (c *cli) sessionsEnd() *cobra.Command {
	var everybody bool
	cmd := c.command("end [<session>]", "Ends a session, or all that the flags select", cobra.MaximumNArgs(1), changing, func(t *task) error {
		query := t.selected()
		switch {
		case len(t.args) == 1 && (len(query) > 0 || everybody):
			return errors.New("a session and flags that select sessions do not go together")
		case len(t.args) == 1 && (t.args[0] == "" || t.args[0] == "." || t.args[0] == ".."): // another path
			return errors.New("no such session")
		case len(t.args) == 1:
			return t.ended(http.MethodDelete, "/sessions/"+url.PathEscape(t.args[0]), nil, nil, "Done")
		case everybody && len(query) > 0:
			return errors.New("--everybody goes with no other selection")
		case everybody:
			if err := t.confirm("Sign everybody out?"); err != nil {
				return err
			}
			query.Set("everybody", "true")
		case len(query) == 0:
			return errors.New("name a session, or say which by --user, --jar, --method or --everybody")
		}
		return t.ended(http.MethodDelete, "/sessions", query, nil, "Done")
	})
	c.selectors(cmd)
	cmd.Flags().BoolVar(&everybody, "everybody", false, "All sessions there are")
	cmd.ValidArgsFunction = c.completeSessions(func(s admin.Session) string { return s.ID })
	return c.confirmed(cmd)
}

// ended sends a request whose answer is how many sessions it ended, and says what was done.
func (t *task) ended(method, path string, query url.Values, in any, done string) error {
	var answer admin.SessionsEnded
	if show, err := t.call(method, path, query, in, &answer); !show {
		return err
	}
	t.warn(answer.Warning)
	return t.say("%s: %s ended.", done, plural(answer.SessionsEnded, "session"))
}
