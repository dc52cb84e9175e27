package fault_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/berth-host/berth/host/fault"
)

func TestCodeOf(t *testing.T) {
	coded := fault.New(fault.Conflict, "order %s: %w", "7", fs.ErrExist)
	tests := []struct {
		name string
		err  error
		want fault.Code
	}{
		{"nil", nil, ""},
		{"plain", errors.New("x"), fault.Internal},
		{"coded", coded, fault.Conflict},
		{"wrapped", fmt.Errorf("save: %w", coded), fault.Conflict},
		{"outermost wins", fault.New(fault.Unavailable, "log: %w", coded), fault.Unavailable},
		{"field", fault.Field("a.b", "must be %d", 3), fault.Invalid},
	}
	for _, tt := range tests {
		if got := fault.CodeOf(tt.err); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if !errors.Is(coded, fs.ErrExist) {
		t.Error("the cause is not reachable")
	}
	if got, want := coded.Error(), "order 7: file already exists"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := fault.Field("a.b", "must be %d", 3).Error(), "a.b: must be 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPublic(t *testing.T) {
	const private = "dial 10.0.0.7:5432 as berth"
	lost := &fault.Error{Code: fault.Unavailable, Reason: "write: the connection is lost: " + private, Private: private}
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"alone", lost, "write: the connection is lost"},
		{"wrapped", fmt.Errorf("append: %w", lost), "append: write: the connection is lost"},
		{"by another Error", fault.New(fault.Timeout, "too late: %w", lost), "too late: write: the connection is lost"},
		{"joined", errors.Join(errors.New("first"), lost), "first\nwrite: the connection is lost"},
		{"inside of the text", fault.New(fault.Timeout, "%w, twice", &fault.Error{Reason: private, Private: private}), "…, twice"},
		{"nothing private", fault.New(fault.Invalid, "is 7: %w", fs.ErrExist), "is 7: file already exists"},
	} {
		if got := fault.Public(tt.err.Error(), tt.err); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
