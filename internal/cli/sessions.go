package cli

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// sessions returns the command group for sessions.
func (c *commands) sessions() *cobra.Command {
	return c.group(&cobra.Command{Use: "sessions", Short: "Lists and ends sessions"}, c.sessionsList(), c.sessionsEnd())
}

// addSelectors adds the flags that select sessions, named like the API's parameters. A session is
// selected if all of them match.
func (c *commands) addSelectors(cmd *cobra.Command) {
	cmd.Flags().String("user", "", "Only sessions of a user: name, e-mail address, id, or account id such as password:alice")
	cmd.Flags().String("jar", "", "Only sessions of a browser, by the id of its jar")
	cmd.Flags().String("method", "", "Only sessions of a login method")
	setCompletion(cmd, "user", c.completeUsers(0))
	setCompletion(cmd, "jar", c.completeSessions(func(s admin.Session) string { return s.Jar }))
	setCompletion(cmd, "method", c.completeSessions(func(s admin.Session) string { return s.Method }))
}

// selection returns the selectors that are set.
func (t *task) selection() url.Values {
	query := make(url.Values)
	for _, name := range []string{"user", "jar", "method"} {
		if flag := t.cmd.Flags().Lookup(name); flag.Changed {
			query.Set(name, flag.Value.String()) // the API refuses an empty value
		}
	}
	return query
}

func (c *commands) sessionsList() *cobra.Command {
	cmd := c.command("list", "Lists the sessions, latest sign-in first", cobra.NoArgs, accessRead, func(t *task) error {
		query := t.selection()
		if limit := t.cmd.Flags().Lookup("limit"); limit.Changed {
			query.Set("limit", limit.Value.String())
		}
		var answer admin.SessionList
		if show, err := t.call(http.MethodGet, "/sessions", query, nil, &answer); !show {
			return err
		}
		list := newTable(t.stdout(), "SESSION", "USER", "METHOD", "ACTIVE", "JAR", "SIGNED IN", "LAST USED", "ADDRESS", "USER AGENT")
		for _, s := range answer.Sessions {
			list.row(s.ID, s.User, s.Method, active(s), s.Jar, formatTime(s.CreatedAt.Time), formatTime(s.LastUsedAt.Time), s.IP, shorten(s.UserAgent))
		}
		t.warn(answer.Warning)
		if err := list.end(); err != nil || !answer.More {
			return err
		}
		return t.say("There are more.")
	})
	cmd.Flags().Int("limit", 0, "Maximum number of sessions")
	c.addSelectors(cmd)
	return setCompletion(cmd, "limit", cobra.NoFileCompletions)
}

// active returns whether a session is active or, if each host has an active session, the hosts
// where this one is.
func active(s admin.Session) string {
	if len(s.ActiveHosts) > 0 {
		return strings.Join(s.ActiveHosts, ",")
	}
	return yesNo(s.Active)
}

func (c *commands) sessionsEnd() *cobra.Command {
	var everybody bool
	cmd := c.command("end [<session>]", "Ends a session, or all sessions that the flags select", cobra.MaximumNArgs(1), accessWrite, func(t *task) error {
		query := t.selection()
		switch {
		case len(t.args) == 1 && (len(query) > 0 || everybody):
			return errors.New("a session and flags that select sessions do not go together")
		case len(t.args) == 1 && (t.args[0] == "" || t.args[0] == "." || t.args[0] == ".."): // these would name another path
			return errors.New("no such session")
		case len(t.args) == 1:
			return t.endSessions(http.MethodDelete, "/sessions/"+url.PathEscape(t.args[0]), nil, nil, "Done")
		case everybody && len(query) > 0:
			return errors.New("--everybody goes with no other selection")
		case everybody:
			if err := t.confirm("Sign everybody out?"); err != nil {
				return err
			}
			query.Set("everybody", "true")
		case len(query) == 0:
			return errors.New("name a session, or select sessions with --user, --jar, --method or --everybody")
		}
		return t.endSessions(http.MethodDelete, "/sessions", query, nil, "Done")
	})
	c.addSelectors(cmd)
	cmd.Flags().BoolVar(&everybody, "everybody", false, "All sessions")
	cmd.ValidArgsFunction = c.completeSessions(func(s admin.Session) string { return s.ID })
	return c.addYesFlag(cmd)
}

// endSessions sends a request that ends sessions, and prints what was done and how many ended.
func (t *task) endSessions(method, path string, query url.Values, in any, done string) error {
	var answer admin.SessionsEnded
	if show, err := t.call(method, path, query, in, &answer); !show {
		return err
	}
	t.warn(answer.Warning)
	return t.say("%s: %s ended.", done, plural(answer.SessionsEnded, "session"))
}
