package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "multi-session",
		Short: "Administers the users and sessions of the multi-session gateway",
		Long: `
Administers the users and sessions of the multi-session gateway, takes backups
and restores them.

The commands ask the server that runs, at its admin endpoint: at --address, or
at the one of the configuration file, or at the default. Where no server
answers, they open the database of the configuration themselves, or the default
one, and do the same there. With --db they open a database file and ask no
server.

With --json the output is what the admin endpoint answers.
`,
		CobraFunc: func(cmd *cobra.Command) { new(cli).build(cmd) },
	})
}

// cli is the command `caddy multi-session`: what its subcommands have in common.
type cli struct {
	connection
	json bool
	yes  bool
}

func (c *cli) build(cmd *cobra.Command) {
	c.connection.flags(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&c.json, "json", false, "Print the answer as JSON")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w (before an id that begins with a hyphen, write --)", err)
	})
	completedBy(cmd, "address", cobra.NoFileCompletions)
	completedBy(cmd, "adapter", cobra.NoFileCompletions)
	c.group(cmd, c.users(), c.sessions(), c.invitations(), c.names(), c.backup(), c.restore(), c.check())
}

// group makes a command one that only has others: alone it says which.
func (c *cli) group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs // else what was mistyped would be help, and a success
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(commands...)
	return cmd
}

// task is one run of a command.
type task struct {
	*cli
	cmd    *cobra.Command
	args   []string
	needs  access
	client client // the zero client until connect
}

// command returns a command that is run by do.
func (c *cli) command(use, short string, args cobra.PositionalArgs, needs access, do func(*task) error) *cobra.Command {
	return &cobra.Command{
		Use:               use,
		Short:             short,
		Args:              args,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			// What Caddy says while it reads a configuration is not what was asked for.
			caddy.BufferedLog()
			t := &task{cli: c, cmd: cmd, args: args, needs: needs}
			err := do(t)
			if t.client.requester != nil {
				err = errors.Join(err, t.client.Close())
			}
			return oneLine(err)
		},
	}
}

// confirmed gives a command that cannot be undone the flag --yes.
func (c *cli) confirmed(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "Do not ask")
	return cmd
}

// connect finds the server, or opens the database. It comes after all questions: nobody is to wait
// for a lock while somebody thinks.
func (t *task) connect() error {
	found, err := t.open(t.cmd.Context(), t.needs)
	if err != nil {
		return err
	}
	t.client = client{found}
	return nil
}

// call sends a request, once connected, and decodes the answer into out. With --json it prints the
// answer instead, and says by false that all is done.
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

// answer decodes an answer into out, or prints it, as call does.
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
		return fmt.Errorf("%s answered what is not understood: %w", t.client, err)
	}
	return nil
}

func (t *task) stdout() io.Writer { return t.cmd.OutOrStdout() }

// say writes a sentence.
func (t *task) say(format string, args ...any) error {
	_, err := fmt.Fprintf(t.stdout(), format+"\n", args...)
	return err
}

// warn writes what went wrong beside what was done.
func (t *task) warn(warning string) {
	if warning != "" {
		fmt.Fprintln(t.cmd.ErrOrStderr(), "Warning:", harmless(warning))
	}
}

func (t *task) terminal() terminal { return terminal{os.Stdin, t.cmd.ErrOrStderr()} }

// confirm asks before what cannot be undone.
func (t *task) confirm(format string, args ...any) error {
	if t.yes {
		return nil
	}
	return t.terminal().confirm(fmt.Sprintf(format, args...))
}

// flagged returns a flag's value if it was given.
func flagged[T any](t *task, name string, value T) *T {
	if !t.cmd.Flags().Changed(name) {
		return nil
	}
	return &value
}
