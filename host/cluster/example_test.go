package cluster_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/cluster/ledgertest"
	"github.com/berth-host/berth/host/spec"
)

// printer is a worker that prints what it is to run.
type printer struct{ running chan struct{} }

func (p printer) Units() []string { return []string{"mail"} }

func (p printer) Own(_ context.Context, unit string, t *cluster.Tenure) error {
	fmt.Println("run", unit, "in epoch", t.Fence().Epoch, "valid:", t.Valid())
	close(p.running)
	return nil
}

func (p printer) Disown(_ context.Context, unit string) error {
	fmt.Println("stop", unit)
	return nil
}

// A host joins, runs the units that are its own, and gives them away at the end.
func Example() {
	p := printer{make(chan struct{})}
	c := cluster.New(cluster.Config{
		Ledger: ledgertest.NewMemory().Host(), // host/pgstore has the one for production
		Worker: p,
		Member: func() spec.Member { return spec.Member{ID: "5b0c", Name: "berth-1"} },
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		<-p.running
		stop()
	}()
	if err := c.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// run mail in epoch 1 valid: true
	// stop mail
}
