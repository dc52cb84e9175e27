package pgstore_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/pgstore/pgtest"
)

// TestMain has the models of the suites run fewer sequences than in memory, unless -rapid.checks
// says how many: each step of one is a transaction on a server.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(pgtest.Wrap(m))
}
