package conn_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/pgstore/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Wrap(m)) }
