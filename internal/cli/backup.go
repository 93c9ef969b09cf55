package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// stdio is the file name that stands for standard output or input.
const stdio = "-"

func (c *commands) backup() *cobra.Command {
	var force bool
	cmd := c.command("backup [<file>|-]", "Writes a backup of all users and invitations", cobra.MaximumNArgs(1), accessWrite, func(t *task) error {
		if len(t.args) == 0 || t.args[0] == stdio {
			return t.backupToOutput()
		}
		return t.backupToFile(t.args[0], force)
	})
	cmd.Long = `
Writes a backup of all users, with the hashes of their passwords, and of all
invitations. Sessions are not in it. Without a file, or with -, it goes to the
standard output, unless that is a terminal.`
	cmd.Flags().BoolVarP(&force, "force", "f", false, "Replace the file if it exists")
	cmd.ValidArgsFunction = completeFile
	return cmd
}

// completeFile completes the first argument as a file.
func completeFile(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

func (t *task) backupToOutput() error {
	if out, ok := t.stdout().(*os.File); ok && len(t.args) == 0 && term.IsTerminal(int(out.Fd())) {
		return errors.New("name a file, or - for this terminal")
	}
	_, err := t.writeBackup(t.stdout())
	return err
}

// backupToFile writes the backup to a temporary file in the same directory and renames it once it
// is complete and on disk. So the file is never half a backup.
func (t *task) backupToFile(path string, force bool) error {
	if _, err := os.Lstat(path); !force && !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return fmt.Errorf("%s exists: say --force to replace it", path)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	records, err := t.writeBackup(temp)
	if err == nil {
		err = temp.Sync()
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := publish(temp.Name(), path, force); err != nil {
		return err
	}
	if t.json {
		return nil
	}
	return t.say("Wrote %s: %s.", path, plural(records, "record"))
}

// publish gives the temporary file its final name. Without force it fails if a file of that name
// was created meanwhile; file systems without hard links cannot detect that.
func publish(temp, path string, force bool) error {
	if !force {
		err := os.Link(temp, path)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return os.Rename(temp, path)
}

// writeBackup fetches a backup, writes it and verifies that it is complete.
func (t *task) writeBackup(w io.Writer) (records int, err error) {
	if err := t.connect(); err != nil {
		return 0, err
	}
	response, err := t.client.send(t.cmd.Context(), http.MethodGet, "/backup", nil, "", nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	verifier := newBackupVerifier()
	if _, err := io.Copy(io.MultiWriter(w, verifier), response.Body); err != nil {
		return 0, fmt.Errorf("the backup is incomplete: %w", err)
	}
	return verifier.finish()
}

func (c *commands) restore() *cobra.Command {
	cmd := c.command("restore <file>|-", "Replaces all users and invitations by those of a backup, and ends all sessions", cobra.ExactArgs(1), accessWrite, func(t *task) error {
		backup, err := openBackup(t.args[0])
		if err != nil {
			return err
		}
		defer backup.Close()
		verifier := newBackupVerifier()
		if _, err := io.Copy(verifier, backup); err != nil {
			return err
		}
		if _, err := verifier.finish(); err != nil {
			return fmt.Errorf("%s: %w", t.args[0], err)
		}
		if _, err := backup.Seek(0, io.SeekStart); err != nil {
			return err
		}
		err = t.confirm("Replace all users and invitations by those of the backup of %s, and sign everybody out?", formatTime(verifier.takenAt()))
		if err != nil {
			return err
		}
		return t.sendBackup(backup)
	})
	cmd.ValidArgsFunction = completeFile
	return c.addYesFlag(cmd)
}

// backupFile is a backup that can be read twice: once to verify it, once to send it.
type backupFile interface {
	io.ReadSeeker
	io.Closer
}

func openBackup(path string) (backupFile, error) {
	if path != stdio {
		return os.Open(path)
	}
	all, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, err
	}
	return struct {
		*bytes.Reader
		io.Closer
	}{bytes.NewReader(all), io.NopCloser(nil)}, nil
}

func (t *task) sendBackup(backup io.Reader) error {
	if err := t.connect(); err != nil {
		return err
	}
	response, err := t.client.send(t.cmd.Context(), http.MethodPost, "/restore", nil, admin.BackupType, backup)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var restored admin.Restored
	if show, err := t.answer(answer, &restored); !show {
		return err
	}
	return t.say("Restored %s and %s. Everybody has to sign in again.", plural(restored.Users, "user"), plural(restored.Invitations, "invitation"))
}
