package console

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Confirm asks a person at the terminal, and returns nil for y or yes. For any other answer,
// and without a terminal, it returns the error otherwise, which says what was not done and
// how to do it.
func (c *Console) Confirm(question, otherwise string) error {
	if !c.Interactive() {
		return errors.New(otherwise)
	}
	c.Note("%s [y/N] ", question)
	line, err := bufio.NewReader(io.LimitReader(c.In, 1024)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errors.New(otherwise)
}

// Interactive reports whether standard input is a terminal.
func (c *Console) Interactive() bool {
	return c.AtTerminal || IsTerminal(c.In)
}

// IsTerminal reports whether a stream is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
