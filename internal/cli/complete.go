package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// completionTimeout bounds completion: somebody pressed a key and waits.
const completionTimeout = time.Second

// completionQuery asks for as many items as completion looks through.
var completionQuery = url.Values{"limit": {"1000"}}

// setCompletion sets how the value of a flag is completed, and returns the command.
func setCompletion(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) *cobra.Command {
	_ = cmd.RegisterFlagCompletionFunc(flag, complete) // fails only if there is no such flag
	return cmd
}

// completeUsers completes user names: up to most arguments, or the value of a flag if most is 0.
func (c *commands) completeUsers(most int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		query := url.Values{"limit": completionQuery["limit"], "search": {typed}}
		var list admin.UserList
		c.ask("/users", query, &list)
		var found []cobra.Completion
		for _, u := range list.Users {
			found = append(found, cobra.CompletionWithDesc(printable(u.Username), printable(u.Name)))
		}
		return keepMatching(found, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeSessions completes the values that take returns for the sessions.
func (c *commands) completeSessions(take func(admin.Session) string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var list admin.SessionList
		if len(args) == 0 {
			c.ask("/sessions", completionQuery, &list)
		}
		var found []cobra.Completion
		for _, s := range list.Sessions {
			found = append(found, cobra.CompletionWithDesc(printable(take(s)), printable(s.User)))
		}
		return keepMatching(found, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *commands) completeInvitations() cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var list admin.InvitationList
		if len(args) == 0 {
			c.ask("/invitations", nil, &list)
		}
		var found []cobra.Completion
		for _, i := range list.Invitations {
			found = append(found, cobra.CompletionWithDesc(printable(i.ID), printable(i.Email)))
		}
		return keepMatching(found, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// keepMatching keeps the completions that begin with the typed text, each value once. It ignores
// case, as user names do.
func keepMatching(all []cobra.Completion, typed string) []cobra.Completion {
	seen := make(map[string]bool)
	return slices.DeleteFunc(all, func(completion cobra.Completion) bool {
		value, _, _ := strings.Cut(completion, "\t")
		again := seen[value]
		seen[value] = true
		return again || !strings.HasPrefix(strings.ToLower(value), strings.ToLower(typed))
	})
}

// ask sends a request to the running server and decodes its answer. On failure it leaves answer as
// it is: completion cannot report an error.
func (c *commands) ask(path string, query url.Values, answer any) {
	c.caddy.SilenceLog()
	if c.db != "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	config, err := c.load()
	if err != nil {
		return
	}
	server, _, err := c.findServer(ctx, config)
	if err != nil || server == nil {
		return
	}
	defer server.Close()
	raw, err := client{server}.call(ctx, http.MethodGet, path, query, nil)
	if err == nil {
		_ = json.Unmarshal(raw, answer)
	}
}
