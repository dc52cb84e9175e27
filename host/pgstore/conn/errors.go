package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/berth-host/berth/host/fault"
)

// retryAfter is the estimate for a server that restarts or fails over.
const retryAfter = time.Second

// unavailable returns an error whose cause, of the args, only operators see: it can name the
// address of the server and the user.
func unavailable(format string, args ...any) error {
	err := fault.New(fault.Unavailable, format, args...)
	var e *fault.Error
	if errors.As(err, &e) {
		e.RetryAfter = retryAfter
		for _, arg := range args {
			if cause, is := arg.(error); is {
				e.Private = cause.Error()
			}
		}
	}
	return err
}

// Coded wraps an error with the operation and gives it a fault code. Only this package
// interprets SQLSTATEs, and only those on which something depends here. nil stays nil, and
// an error that has a code keeps it.
func Coded(doing string, err error) error {
	var known *fault.Error
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.As(err, &refused):
		return codedState(doing, refused, err)
	case lost(err):
		return unavailable("%s: the connection to the PostgreSQL server is lost: %w", doing, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Timeout, "%s: %w", doing, err)
	case errors.Is(err, context.Canceled):
		return unavailable("%s: %w", doing, err)
	}
	return fault.New(fault.Internal, "%s: %w", doing, err)
}

// states are what SQLSTATEs, or classes of them, mean for a caller; the longest prefix counts.
var states = map[string]struct {
	code fault.Code
	text string
}{
	"08":    {fault.Unavailable, "the connection to the PostgreSQL server failed"},
	"0A":    {fault.Internal, "the PostgreSQL server lacks a feature"},
	"25006": {fault.Unavailable, "the PostgreSQL server takes no writes: it is a standby, or was set read-only"},
	"25P03": {fault.Unavailable, "the PostgreSQL server ended the transaction, which took too long"},
	"28":    {fault.Unavailable, "the PostgreSQL server refuses the user: check its password and pg_hba.conf"},
	"3D000": {fault.Unavailable, "the PostgreSQL database does not exist any more"},
	"40":    {fault.Unavailable, "the PostgreSQL server undid the transaction, which ran into others"},
	"42501": {fault.Unavailable, "the user of the PostgreSQL database lacks a permission: it must own the schema"},
	"53":    {fault.Unavailable, "the PostgreSQL server is out of memory or connections"},
	"53100": {fault.Exhausted, "the disk of the PostgreSQL server is full: free some space there"},
	"55P03": {fault.Unavailable, "a row in the PostgreSQL database is locked"},
	"57":    {fault.Unavailable, "the PostgreSQL server stops or starts"},
	"57014": {fault.Unavailable, "the PostgreSQL server took too long and gave up"},
	"58":    {fault.Unavailable, "the PostgreSQL server cannot read or write its files"},
	"XX":    {fault.Internal, "the PostgreSQL server reports a defect or a damaged table: examine it"},
}

func codedState(doing string, refused *pgconn.PgError, err error) error {
	for _, n := range []int{5, 2} {
		if len(refused.Code) < n {
			continue
		}
		state, found := states[refused.Code[:n]]
		if !found {
			continue
		}
		if state.code == fault.Unavailable {
			return unavailable("%s: %s: %w", doing, state.text, err)
		}
		return fault.New(state.code, "%s: %s: %w", doing, state.text, err)
	}
	return fault.New(fault.Internal, "%s: %w", doing, err)
}

// lost reports whether an error says that there is no connection to the server.
func lost(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &network) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// state returns the SQLSTATE of an error, or "".
func state(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// repeatable reports whether a transaction that failed so can succeed when it is run again.
func repeatable(err error) bool {
	code := state(err)
	return code == "40P01" || code == "40001"
}

// endedBy returns err as the consequence of the context's end, if that has ended: a
// cancelled statement has an error of the server's then.
func endedBy(ctx context.Context, err error) error {
	cause := ctx.Err()
	switch {
	case err == nil || cause != nil && errors.Is(err, cause):
		return err
	case cause == nil:
		return unanswered(ctx, err)
	}
	var known *fault.Error
	if errors.As(err, &known) || errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	return fmt.Errorf("%w: %v", cause, err) //nolint:errorlint // the server's words must not give the code
}

// unanswered returns err as that of a server that did not answer, if it is the end of this
// package's own limit and not that of ctx.
func unanswered(ctx context.Context, err error) error {
	var known *fault.Error
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &known) {
		return err
	}
	return unavailable("the PostgreSQL server did not answer within %v: %w", transactionLimit, err)
}
