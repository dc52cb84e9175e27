package admin

import (
	"slices"
	"testing"

	"github.com/berth-host/berth/host/doctor"
)

func TestAdviceIsGivenOnce(t *testing.T) {
	got := advice([]doctor.Finding{doctor.Good("disk", "free"), doctor.Bad("store", "page 3", "restore a backup"), doctor.Bad("store", "page 4", "restore a backup"),
		doctor.Warn("store", "page 5", "restore a backup"), doctor.Bad("store", "event 6", "skip 6")})
	want := []string{"problem, store: restore a backup", "warning, store: restore a backup", "problem, store: skip 6"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
