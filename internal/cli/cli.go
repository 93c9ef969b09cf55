package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/spf13/cobra"
)

// Long is the help text of `caddy multi-session`.
const Long = `
Administers the users and sessions of the multi-session gateway, takes backups
and restores them.

The commands ask the server that runs, at its admin endpoint: at --address, or
at the one of the configuration file, or at the default. Where no server
answers, they open the database of the configuration themselves, or the default
one, and do the same there. With --db they open a database file and ask no
server.

With --json the output is what the admin endpoint answers.
`

// Build returns a function that adds the subcommands and their flags to the command
// `caddy multi-session`.
func Build(caddy Caddy) func(*cobra.Command) {
	return func(cmd *cobra.Command) {
		c := &commands{connection: connection{caddy: caddy}}
		c.build(cmd)
	}
}

// commands are the subcommands of `caddy multi-session`, and the flags that they share.
type commands struct {
	connection
	json bool
	yes  bool
}

func (c *commands) build(cmd *cobra.Command) {
	c.addFlags(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&c.json, "json", false, "Print the answer as JSON")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w (write -- before an id that begins with a hyphen)", err)
	})
	setCompletion(cmd, "address", cobra.NoFileCompletions)
	setCompletion(cmd, "adapter", cobra.NoFileCompletions)
	c.group(cmd, c.users(), c.sessions(), c.invitations(), c.names(), c.backup(), c.restore(), c.check())
}

// group gives a command subcommands. The command alone prints its help.
func (c *commands) group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs // so that a mistyped subcommand is an error
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(commands...)
	return cmd
}

// task is one run of a command.
type task struct {
	*commands
	cmd    *cobra.Command
	args   []string
	needs  access
	client client // the zero client until connect
}

// command returns a command that runs do.
func (c *commands) command(use, short string, args cobra.PositionalArgs, needs access, do func(*task) error) *cobra.Command {
	return &cobra.Command{
		Use:               use,
		Short:             short,
		Args:              args,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c.caddy.SilenceLog()
			t := &task{commands: c, cmd: cmd, args: args, needs: needs}
			err := do(t)
			if t.client.requester != nil {
				err = errors.Join(err, t.client.Close())
			}
			return oneLine(err)
		},
	}
}

// addYesFlag adds the flag --yes to a command that cannot be undone.
func (c *commands) addYesFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "Do not ask")
	return cmd
}

// connect finds the server or opens the database. Commands ask their questions first, so that they
// never hold the database's lock while a person thinks.
func (t *task) connect() error {
	found, err := t.open(t.cmd.Context(), t.needs)
	if err != nil {
		return err
	}
	t.client = client{found}
	return nil
}

// call sends a request and decodes the answer into out. It connects first if needed. With --json it
// prints the answer instead and returns false: there is nothing left to show.
func (t *task) call(method, path string, query url.Values, in, out any) (show bool, err error) {
	if t.client.requester == nil {
		if err := t.connect(); err != nil {
			return false, err
		}
	}
	answer, err := t.client.call(t.cmd.Context(), method, path, query, in)
	if err != nil {
		return false, err
	}
	return t.answer(answer, out)
}

// answer decodes an answer into out or prints it, like call.
func (t *task) answer(raw []byte, out any) (show bool, err error) {
	if t.json {
		_, err := t.stdout().Write(raw)
		return false, err
	}
	err = t.decode(raw, out)
	return err == nil, err
}

func (t *task) decode(raw []byte, out any) error {
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s sent an answer that could not be decoded: %w", t.client, err)
	}
	return nil
}

func (t *task) stdout() io.Writer { return t.cmd.OutOrStdout() }

// say prints a sentence.
func (t *task) say(format string, args ...any) error {
	_, err := fmt.Fprintf(t.stdout(), format+"\n", args...)
	return err
}

// warn prints a warning of the API, if there is one.
func (t *task) warn(warning string) {
	if warning != "" {
		fmt.Fprintln(t.cmd.ErrOrStderr(), "Warning:", printable(warning))
	}
}

func (t *task) terminal() terminal { return terminal{os.Stdin, t.cmd.ErrOrStderr()} }

// confirm asks the user before a change that cannot be undone, unless --yes is set.
func (t *task) confirm(format string, args ...any) error {
	if t.yes {
		return nil
	}
	return t.terminal().confirm(fmt.Sprintf(format, args...))
}

// flagValue returns the value of a flag, nil if the flag is not set.
func flagValue[T any](t *task, name string, value T) *T {
	if !t.cmd.Flags().Changed(name) {
		return nil
	}
	return &value
}
