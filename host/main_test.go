package host_test

import (
	"testing"

	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/sandbox/vet"
)

// TestMain lets this test binary be the child process that vets modules for a Host.
func TestMain(m *testing.M) {
	vet.RunIfChild()
	pgtest.Start(m)
}
