package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// maxProblems bounds how many problems one Error lists.
const maxProblems = 100

// Problem is one thing that is wrong with a file.
type Problem struct {
	File   string
	Line   int    // from 1
	Path   string // "handlers.fraud-check.limits.timeout"; "" for the file as a whole
	Reason string // what is wrong and, where it is not plain, what to write instead
}

// String returns "file:line: path: reason".
func (p Problem) String() string {
	if p.Path == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Reason)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Path, p.Reason)
}

// Error is everything that is wrong with a file, by line. Load and Parse wrap
// it in a fault.Invalid; reach it with errors.As.
type Error struct {
	Problems []Problem // at least one, at most 100
	More     int       // how many were left off
}

// Error lists the problems, one a line.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\nand %d more", e.More)
	}
	return b.String()
}

// NewError returns the problems, by line, as a fault.Invalid that wraps an *Error.
// Package host uses it for what only other parts can check, such as expressions.
func NewError(problems ...Problem) error {
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	e := &Error{Problems: problems}
	if n := len(problems); n > maxProblems {
		e.Problems, e.More = problems[:maxProblems], n-maxProblems
	}
	return &fault.Error{Code: fault.Invalid, Reason: e.Error(), Err: e}
}

// Gone is the error about a file that was there.
func Gone(path string) error {
	return NewError(Problem{File: path, Line: 1, Reason: "the file is gone; what was read from it stays in force until it is back"})
}

// Details returns the problems as the API shows them.
func (e *Error) Details() []wire.ErrorDetail {
	list := make([]wire.ErrorDetail, len(e.Problems))
	for i, p := range e.Problems {
		list[i] = wire.ErrorDetail{File: p.File, Line: p.Line, Path: p.Path, Reason: p.Reason}
	}
	return list
}

// Problems returns what is wrong with a file, one by one, when err came from
// Load, Parse or an Editor; nil otherwise.
func Problems(err error) []Problem {
	var e *Error
	if !errors.As(err, &e) {
		return nil
	}
	return slices.Clone(e.Problems)
}
