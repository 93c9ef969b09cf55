package caddymodule

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// completing is how long completion may take: whoever pressed the key waits.
const completing = time.Second

// The query of what completion looks through.
var completed = url.Values{"limit": {"1000"}}

// completedBy sets how a flag's value is completed, and returns the command.
func completedBy(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) *cobra.Command {
	_ = cmd.RegisterFlagCompletionFunc(flag, complete) // fails only for a flag that is not there
	return cmd
}

// completeUsers completes user names where there are fewer arguments than most, or of a flag.
func (c *cli) completeUsers(most int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		query := url.Values{"limit": completed["limit"], "search": {typed}}
		var list admin.UserList
		c.ask("/users", query, &list)
		var found []cobra.Completion
		for _, u := range list.Users {
			found = append(found, cobra.CompletionWithDesc(harmless(u.Username), harmless(u.Name)))
		}
		return beginning(found, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeSessions completes what is taken of a session.
func (c *cli) completeSessions(take func(admin.Session) string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var list admin.SessionList
		if len(args) == 0 {
			c.ask("/sessions", completed, &list)
		}
		var found []cobra.Completion
		for _, s := range list.Sessions {
			found = append(found, cobra.CompletionWithDesc(harmless(take(s)), harmless(s.User)))
		}
		return beginning(found, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *cli) completeInvitations() cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var list admin.InvitationList
		if len(args) == 0 {
			c.ask("/invitations", nil, &list)
		}
		var found []cobra.Completion
		for _, i := range list.Invitations {
			found = append(found, cobra.CompletionWithDesc(harmless(i.ID), harmless(i.Email)))
		}
		return beginning(found, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// beginning returns the completions that begin with what was typed, each value once. They may have
// another case, as user names have.
func beginning(all []cobra.Completion, typed string) []cobra.Completion {
	seen := make(map[string]bool)
	return slices.DeleteFunc(all, func(completion cobra.Completion) bool {
		value, _, _ := strings.Cut(completion, "\t")
		again := seen[value]
		seen[value] = true
		return again || !strings.HasPrefix(strings.ToLower(value), strings.ToLower(typed))
	})
}

// ask asks the server that runs, and leaves answer as it is where that fails: completion has nobody
// to tell.
func (c *cli) ask(path string, query url.Values, answer any) {
	caddy.BufferedLog()
	if c.db != "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), completing)
	defer cancel()
	config, err := c.load()
	if err != nil {
		return
	}
	server, _, err := c.server(ctx, config)
	if err != nil || server == nil {
		return
	}
	defer server.Close()
	raw, err := client{server}.call(ctx, http.MethodGet, path, query, nil)
	if err == nil {
		_ = json.Unmarshal(raw, answer)
	}
}
