package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/term"
)

// terminal asks the user questions. They go to standard error, so that standard output has only the
// command's result.
type terminal struct {
	in  *os.File
	out io.Writer
}

// interactive reports whether the input is a terminal.
func (t terminal) interactive() bool { return term.IsTerminal(int(t.in.Fd())) }

// confirm asks whether to continue. It returns an error unless the answer is yes, and always if
// there is no terminal.
func (t terminal) confirm(question string) error {
	if !t.interactive() {
		return errors.New("there is no terminal to ask at: say --yes if it is meant")
	}
	fmt.Fprintf(t.out, "%s [y/N] ", question)
	answer, err := readLine(t.in)
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}

// readLine reads to the end of a line. It reads byte by byte, to leave what follows for the next
// question.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' || errors.Is(err, io.EOF) {
			return string(line), nil
		}
		if err != nil {
			return "", err
		}
		line = append(line, b[:n]...)
	}
}

// maxTypedPassword is more bytes than any password has. A longer input is a file piped by mistake.
const maxTypedPassword = 64 << 10

// password asks for a new password, twice and without showing it. If the input is not a terminal,
// its only line is the password. Passwords are never arguments, which other users of the machine
// could see.
func (t terminal) password(of string) (string, error) {
	if !t.interactive() {
		return t.pipedPassword()
	}
	first, err := t.readHidden("New password of " + of + ": ")
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", errNoPassword
	}
	second, err := t.readHidden("The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ")
	}
	return first, nil
}

var errNoPassword = errors.New("the password is empty")

func (t terminal) pipedPassword() (string, error) {
	text, err := io.ReadAll(io.LimitReader(t.in, maxTypedPassword+1))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if line, ended := bytes.CutSuffix(text, []byte("\n")); ended {
		text = bytes.TrimSuffix(line, []byte("\r"))
	}
	switch {
	case len(text) == 0:
		return "", errNoPassword
	case bytes.ContainsRune(text, '\n') || len(text) > maxTypedPassword:
		return "", errors.New("the input has more than one line: a password is a single line")
	}
	return string(text), nil
}

// readHidden reads a line without showing it. An interrupt restores the terminal's echo before the
// process ends.
func (t terminal) readHidden(prompt string) (string, error) {
	fd := int(t.in.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	done := make(chan struct{})
	defer func() { signal.Stop(interrupted); close(done) }()
	go func() {
		select {
		case <-interrupted:
			_ = term.Restore(fd, state) // the process ends in any case
			fmt.Fprintln(t.out)
			os.Exit(1)
		case <-done:
		}
	}()
	fmt.Fprint(t.out, prompt)
	typed, err := term.ReadPassword(fd)
	fmt.Fprintln(t.out)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(typed), nil
}
