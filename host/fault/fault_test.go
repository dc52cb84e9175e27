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
