package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/pgstore/pgserver"
)

// needs is the environment variable that makes a missing PostgreSQL a failure.
const needs = "BERTH_NEEDS_POSTGRES"

// shared is the server of this test binary.
var shared struct {
	once   sync.Once
	server *pgserver.Server
	err    error
}

// Start runs the tests of a binary and exits with their result; the server ends before. Call it
// in TestMain.
func Start(m *testing.M) { os.Exit(Wrap(m).Run()) }

// Runner runs tests, such as a *testing.M.
type Runner interface{ Run() int }

type runner struct{ tests Runner }

// Wrap returns a Runner that ends the server after the tests, for goleak.VerifyTestMain.
func Wrap(tests Runner) Runner { return runner{tests} }

func (r runner) Run() int {
	defer func() {
		if shared.server != nil {
			shared.server.Close()
		}
	}()
	return r.tests.Run()
}

// Shared returns the server of this test binary, and starts it at the first call.
func Shared(t testing.TB) *pgserver.Server {
	t.Helper()
	shared.once.Do(func() { shared.server, shared.err = pgserver.New() })
	switch {
	case shared.err == nil:
	case errors.Is(shared.err, pgserver.ErrNoPrograms) && os.Getenv(needs) == "":
		t.Skipf("%v; set %s to make this a failure", shared.err, needs)
	default:
		t.Fatalf("start PostgreSQL: %v", shared.err)
	}
	return shared.server
}

// URL returns the URL of a database of this test binary's server, as the superuser.
func URL(t testing.TB) string {
	t.Helper()
	return Shared(t).URL()
}

var schemas atomic.Int64

// Schema returns the name of a schema that no other test uses and that does not exist.
func Schema(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("test_%d", schemas.Add(1))
}

// Exec runs statements on the server, as its superuser, outside the engine under test.
func Exec(t testing.TB, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // every statement is committed
	for _, text := range statements {
		if _, err := c.Exec(ctx, text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// Kill kills the server as a power failure does, and Restart starts it again. Tests that call
// them must not run beside others.
func Kill(t testing.TB) {
	t.Helper()
	if err := Shared(t).Kill(); err != nil {
		t.Fatal(err)
	}
}

// Restart starts the server after Kill; it returns when it answers.
func Restart(t testing.TB) {
	t.Helper()
	if err := Shared(t).Start(); err != nil {
		t.Fatal(err)
	}
}
