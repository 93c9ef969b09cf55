package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// terminalSession is a command at a terminal.
type terminalSession struct {
	t     *testing.T
	cmd   *exec.Cmd
	tty   *os.File
	shown *buffer // what the terminal shows
	ended chan struct{}
}

func (g *gateway) atTerminal(t *testing.T, args ...string) *terminalSession {
	t.Helper()
	s := &terminalSession{t: t, cmd: g.command(append([]string{"multi-session"}, args...)...), shown: new(buffer), ended: make(chan struct{})}
	tty, err := pty.Start(s.cmd)
	if err != nil {
		t.Skipf("missing: a pseudo-terminal: %v", err)
	}
	s.tty = tty
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); <-s.ended; tty.Close() })
	read := make(chan struct{})
	go func() { _, _ = io.Copy(s.shown, tty); close(read) }() // ends with an error when the command does
	go func() { _ = s.cmd.Wait(); <-read; close(s.ended) }()
	return s
}

// answers waits for a question and types an answer.
func (s *terminalSession) answers(question, answer string) {
	s.t.Helper()
	await(s.t, fmt.Sprintf("the question %q", question), func() bool { return strings.HasSuffix(s.shown.String(), question) })
	if _, err := io.WriteString(s.tty, answer); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the command, and returns its exit code.
func (s *terminalSession) ends() int {
	s.t.Helper()
	await(s.t, "the command to end", func() bool {
		select {
		case <-s.ended:
			return true
		default:
			return false
		}
	})
	return s.cmd.ProcessState.ExitCode()
}

// TestPasswordsAtTheTerminal types passwords: they are asked for twice, and are seen nowhere.
func TestPasswordsAtTheTerminal(t *testing.T) {
	a := startAdministered(t)
	const secret, other = "first-secret-42", "other-secret-42"
	// While the command waits at a prompt it is there for others on the machine to see.
	visible := func(s *terminalSession) string {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.cmd.Process.Pid)) // none where there is no /proc
		environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.cmd.Process.Pid))
		return s.shown.String() + string(line) + string(environment)
	}
	var seen strings.Builder
	s := a.atTerminal(t, "users", "create", "dave")
	s.answers("New password of dave: ", secret+"\n")
	s.answers("The same again: ", "")
	seen.WriteString(visible(s))
	s.answers("The same again: ", other+"\n")
	if code := s.ends(); code != 1 || !strings.Contains(s.shown.String(), "the two passwords differ") {
		t.Errorf("exit code %d: %q", code, s.shown)
	}
	seen.WriteString(s.shown.String())

	s = a.atTerminal(t, "users", "create", "dave")
	s.answers("New password of dave: ", "\n")
	if code := s.ends(); code != 1 || !strings.Contains(s.shown.String(), "the password is empty") {
		t.Errorf("exit code %d: %q", code, s.shown)
	}

	s = a.atTerminal(t, "users", "create", "dave")
	s.answers("New password of dave: ", secret+"\n")
	s.answers("The same again: ", secret+"\n")
	if code := s.ends(); code != 0 || !strings.Contains(s.shown.String(), "Created user dave") {
		t.Errorf("exit code %d: %q", code, s.shown)
	}
	seen.WriteString(s.shown.String())
	if !a.signsIn("dave", secret) {
		t.Error("dave does not sign in")
	}

	s = a.atTerminal(t, "users", "password", "dave", "--json")
	s.answers("New password of dave: ", other+"\n")
	s.answers("The same again: ", other+"\n")
	if code := s.ends(); code != 0 {
		t.Errorf("exit code %d: %q", code, s.shown)
	}
	seen.WriteString(s.shown.String())
	if !a.signsIn("dave", other) || a.signsIn("dave", secret) {
		t.Error("the password was not changed")
	}

	for name, text := range map[string]string{
		"what the terminal shows":      seen.String(),
		"the log":                      a.log.String(),
		"the output of other commands": a.succeeds("users", "show", "dave") + a.succeeds("users", "list", "--json") + a.succeeds("backup", "-"),
	} {
		for _, password := range []string{secret, other} {
			if strings.Contains(text, password) {
				t.Errorf("%s has a password", name)
			}
		}
	}
}

// TestInterruptedPrompt: whoever gives up at the prompt has a terminal that shows what is typed.
func TestInterruptedPrompt(t *testing.T) {
	g := newGateway(t)
	s := g.atTerminal(t, "users", "create", "dave")
	s.answers("New password of dave: ", "\x03")
	if code := s.ends(); code == 0 {
		t.Errorf("exit code %d", code)
	}
	if echo := echoes(t, s.tty); !echo {
		t.Error("the terminal does not echo")
	}
}

// echoes reports whether a terminal shows what is typed.
func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	stty := exec.Command("stty", "-a")
	stty.Stdin = tty
	out, err := stty.Output()
	if err != nil {
		t.Skipf("missing: stty: %v", err)
	}
	return strings.Contains(string(out), " echo ")
}

// TestQuestionsAtTheTerminal: what cannot be undone is asked for, and only yes means yes.
func TestQuestionsAtTheTerminal(t *testing.T) {
	a := startAdministered(t)
	a.createUser("dave")
	b := a.browser()
	b.signIn("dave")
	backup := a.dir + "/backup"
	a.succeeds("backup", backup)
	for _, c := range []struct {
		question string
		args     []string
		done     string
	}{
		{"Sign everybody out? [y/N] ", []string{"sessions", "end", "--everybody"}, "Done: 1 session ended."},
		{"and sign everybody out? [y/N] ", []string{"restore", backup}, "Restored 1 user"},
		{"Delete user dave for ever? [y/N] ", []string{"users", "delete", "dave"}, "Deleted user dave"},
	} {
		for _, answer := range []string{"\n", "n\n", "yes please\n", "\x04"} {
			s := a.atTerminal(t, c.args...)
			s.answers(c.question, answer)
			if code := s.ends(); code != 1 || !strings.Contains(s.shown.String(), "nothing was changed") {
				t.Errorf("%v, answered %q: exit code %d: %q", c.args, answer, code, s.shown)
			}
		}
		if got := a.jsonOf("users", "show", "dave"); got["username"] != "dave" {
			t.Fatalf("%v: dave is %v", c.args, got)
		}
		s := a.atTerminal(t, c.args...)
		s.answers(c.question, "y\n")
		if code := s.ends(); code != 0 || !strings.Contains(s.shown.String(), c.done) {
			t.Errorf("%v, answered yes: exit code %d: %q", c.args, code, s.shown)
		}
	}
	if got := b.user(); got != "" {
		t.Errorf("%q is signed in", got)
	}
	// A backup is not for a screen.
	s := a.atTerminal(t, "backup")
	if code := s.ends(); code != 1 || !strings.Contains(s.shown.String(), "name a file") {
		t.Errorf("exit code %d: %q", code, s.shown)
	}
}
