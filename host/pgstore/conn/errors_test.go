package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

func TestCodesOfErrors(t *testing.T) {
	sql := func(code string) error { return fmt.Errorf("statement: %w", &pgconn.PgError{Code: code, Message: "m"}) }
	for _, tt := range []struct {
		err   error
		code  fault.Code
		retry bool
		want  string
	}{
		{sql("53100"), fault.Exhausted, false, "disk of the PostgreSQL server is full"},
		{sql("53300"), fault.Unavailable, true, "out of memory or connections"},
		{sql("57P01"), fault.Unavailable, true, "stops or starts"},
		{sql("57P03"), fault.Unavailable, true, "stops or starts"},
		{sql("57014"), fault.Unavailable, true, "took too long"},
		{sql("25006"), fault.Unavailable, true, "takes no writes"},
		{sql("25P03"), fault.Unavailable, true, "ended the transaction"},
		{sql("40P01"), fault.Unavailable, true, "ran into others"},
		{sql("40001"), fault.Unavailable, true, "ran into others"},
		{sql("08006"), fault.Unavailable, true, "connection"},
		{sql("28P01"), fault.Unavailable, true, "refuses the user"},
		{sql("58030"), fault.Unavailable, true, "cannot read or write its files"},
		{sql("42501"), fault.Unavailable, true, "lacks a permission"},
		{sql("XX001"), fault.Internal, false, "damaged"},
		{sql("42P01"), fault.Internal, false, "SQLSTATE 42P01"},
		{sql("22021"), fault.Internal, false, "SQLSTATE 22021"},
		{sql(""), fault.Internal, false, "do something"},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), fault.Unavailable, true, "is lost"},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, fault.Unavailable, true, "is lost"},
		{context.DeadlineExceeded, fault.Timeout, false, "deadline"},
		{context.Canceled, fault.Unavailable, true, "canceled"},
		{errors.New("scan"), fault.Internal, false, "scan"},
		{fault.New(fault.Conflict, "taken"), fault.Conflict, false, "taken"},
		{fmt.Errorf("unit: %w", spec.ErrFenced), fault.Conflict, false, "another host"},
	} {
		err := Coded("do something", tt.err)
		if fault.CodeOf(err) != tt.code || (fault.RetryAfter(err) > 0) != tt.retry || !strings.Contains(err.Error(), tt.want) ||
			!strings.HasPrefix(err.Error(), "do something: ") || !errors.Is(err, tt.err) {
			t.Errorf("%v: got %q (%s, %v), want %q (%s)", tt.err, err, fault.CodeOf(err), fault.RetryAfter(err), tt.want, tt.code)
		}
	}
	if err := Coded("do something", nil); err != nil {
		t.Error(err)
	}
}

// The cause of what passes names the server and the user: the log has it, and clients do not.
func TestAddressIsPrivate(t *testing.T) {
	_, err := pgconn.Connect(t.Context(), "postgres://secretary:x@127.0.0.1:1/books?sslmode=disable")
	for _, err := range []error{Coded("append", err), Coded("append", unavailable("the result is not known: %w", err)),
		Coded("append", &pgconn.PgError{Code: "28P01", Message: "password authentication failed for user \"secretary\" at 127.0.0.1"})} {
		public := fault.Public(err.Error(), err)
		if !strings.Contains(err.Error(), "secretary") || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("operators see %q", err)
		}
		if strings.Contains(public, "secretary") || strings.Contains(public, "127.0.0.1") || !strings.HasPrefix(public, "append: the ") {
			t.Errorf("clients see %q", public)
		}
	}
}
