package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

func (c *cli) check() *cobra.Command {
	return c.command("check", "Reads all of the database and says whether it is in order", cobra.NoArgs, looking, func(t *task) error {
		var found admin.Checked
		show, err := t.call(http.MethodGet, "/check", nil, nil, &found)
		var refused *refusedError
		if errors.As(err, &refused) {
			return errors.Join(t.showProblems(refused.said), err)
		}
		if !show {
			return err
		}
		return t.say("In order: %s, %s in %s.", plural(found.Users, "user"), plural(found.Sessions, "session"), plural(found.Jars, "browser"))
	})
}

// showProblems writes what a check has found.
func (t *task) showProblems(said admin.Error) error {
	if t.json {
		return json.NewEncoder(t.stdout()).Encode(said)
	}
	for _, problem := range said.Problems {
		if _, err := fmt.Fprintln(t.stdout(), harmless(problem)); err != nil {
			return err
		}
	}
	return nil
}
