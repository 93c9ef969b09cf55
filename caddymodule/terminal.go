package caddymodule

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

// terminal is what a command asks its user by. Questions go to where errors go, so that the output
// stays what was asked for.
type terminal struct {
	in  *os.File
	out io.Writer
}

// interactive reports whether there is somebody to ask.
func (t terminal) interactive() bool { return term.IsTerminal(int(t.in.Fd())) }

// confirm asks whether to go on, and is an error unless the answer is yes. Without a terminal nobody
// can be asked.
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

// readLine reads to the end of a line, byte by byte: what follows is not this question's.
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

// maxTypedPassword is longer than any password, in bytes: more than that is a file by mistake.
const maxTypedPassword = 64 << 10

// password returns a new password, typed twice without being shown, or the only line of the input
// where that is no terminal. It is never an argument, which other users of the machine could see.
func (t terminal) password(of string) (string, error) {
	if !t.interactive() {
		return t.pipedPassword()
	}
	first, err := t.hidden("New password of " + of + ": ")
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", errNoPassword
	}
	second, err := t.hidden("The same again: ")
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
		return "", errors.New("the input has more than one line, and a password is one")
	}
	return string(text), nil
}

// hidden reads a line that is not shown. Whoever interrupts it gets back a terminal that shows what
// is typed.
func (t terminal) hidden(prompt string) (string, error) {
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
