package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

func (c *commands) check() *cobra.Command {
	return c.command("check", "Reads the whole database and reports whether it is in order", cobra.NoArgs, accessRead, func(t *task) error {
		var found admin.Checked
		show, err := t.call(http.MethodGet, "/check", nil, nil, &found)
		var refused *apiError
		if errors.As(err, &refused) {
			return errors.Join(t.showProblems(refused.said), err)
		}
		if !show {
			return err
		}
		return t.say("In order: %s, %s in %s.", plural(found.Users, "user"), plural(found.Sessions, "session"), plural(found.Jars, "browser"))
	})
}

// showProblems prints the problems that a check found.
func (t *task) showProblems(said admin.Error) error {
	if t.json {
		return json.NewEncoder(t.stdout()).Encode(said)
	}
	for _, problem := range said.Problems {
		if _, err := fmt.Fprintln(t.stdout(), printable(problem)); err != nil {
			return err
		}
	}
	return nil
}
