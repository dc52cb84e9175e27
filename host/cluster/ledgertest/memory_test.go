package ledgertest_test

import (
	"testing"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/cluster/ledgertest"
)

func TestMemory(t *testing.T) {
	ledgertest.Run(t, func(*testing.T) (a, b cluster.Ledger) {
		m := ledgertest.NewMemory()
		return m.Host(), m.Host()
	})
}
