package document

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

// Problem is one problem of a file. Its Path is "" for the file as a whole.
type Problem = wire.ErrorDetail

// Error lists the problems of a file, by line. It is wrapped in a fault.Invalid: use
// errors.As.
type Error struct {
	Problems []Problem // at least one, at most 100
	More     int       // problems that are not listed
}

// Error returns the problems, one a line.
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

// NewError returns a fault.Invalid that wraps an *Error of the problems, sorted by line.
func NewError(problems ...Problem) error {
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	e := &Error{Problems: problems}
	if n := len(problems); n > maxProblems {
		e.Problems, e.More = problems[:maxProblems], n-maxProblems
	}
	return &fault.Error{Code: fault.Invalid, Reason: e.Error(), Err: e}
}

// Details returns the problems.
func (e *Error) Details() []wire.ErrorDetail { return e.Problems }

// Problems returns the problems of an *Error that err wraps, nil when there is none.
func Problems(err error) []Problem {
	var e *Error
	if !errors.As(err, &e) {
		return nil
	}
	return slices.Clone(e.Problems)
}
