package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// confirm asks a person at the terminal, and answers nil for y or yes. For any
// other answer, for none, and where there is no terminal to ask at, the answer is
// an error: otherwise, which says what was not done and how to do it.
func (a *app) confirm(question, otherwise string) error {
	if !a.interactive() {
		return errors.New(otherwise)
	}
	a.note("%s [y/N] ", question)
	line, err := bufio.NewReader(io.LimitReader(a.stdin, 1024)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errors.New(otherwise)
}

// interactive reports whether a person sits at standard input.
func (a *app) interactive() bool {
	f, ok := a.stdin.(*os.File)
	return a.atTerminal || ok && term.IsTerminal(int(f.Fd()))
}
