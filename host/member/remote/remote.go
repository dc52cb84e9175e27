// Package remote has the actions of operators that one host of a cluster has to carry out: the one
// that runs the handler, or the job. The host that an operator calls has the owner carry the action
// out, and answers as that would. When no live host runs the handler, the host that is called takes
// it for the action. A host that runs alone acts itself.
//
// Read actions.go first.
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Caller has the owner of a unit carry out a command; see cluster.Cluster.
type Caller interface {
	Do(ctx context.Context, unit, method string, body []byte) ([]byte, error)
	HostsWith(plugin string) []string
}

// Way is how to the other hosts. It is safe for concurrent use.
type Way struct {
	Shared bool          // there are other hosts
	Joined func() Caller // nil while this host is not, or not yet, a member
}

// NewWay returns the way to the others; joined returns nil while this host is not a member.
func NewWay(shared bool, joined func() *cluster.Cluster) Way {
	return Way{Shared: shared, Joined: func() Caller {
		if c := joined(); c != nil {
			return c
		}
		return nil
	}}
}

// call carries out an action where its unit runs.
func call[In, Out any](ctx context.Context, w Way, unit, method string, in In, here func(context.Context, string, In) (Out, error)) (out Out, err error) {
	if !w.Shared {
		return here(ctx, unit, in)
	}
	c := w.Joined()
	if c == nil {
		return out, notJoined()
	}
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("%s: %w", method, err)
	}
	answer, err := c.Do(ctx, unit, method, body)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("the answer to %s of another host: %w", method, err)
	}
	return out, nil
}

func notJoined() error {
	return fault.New(fault.Unavailable, "this host has not joined the cluster yet: try again")
}

// method makes a command of an action.
func method[In, Out any](name string, here func(context.Context, string, In) (Out, error)) cluster.Method {
	return func(ctx context.Context, unit string, body []byte) ([]byte, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, fault.New(fault.Invalid, "the command %s of another host: %w", name, err)
		}
		out, err := here(ctx, unit, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	}
}

// nothing is the answer of an action without one.
type nothing struct{}

const (
	changesFor = 5 * time.Second // that a handler is started or stopped meanwhile
	lookEvery  = 20 * time.Millisecond
)

// await waits until ok returns true. After changesFor it returns spec.ErrFenced: the action is for
// the next owner of the unit.
func await(ctx context.Context, ok func() bool) error {
	if ok() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, changesFor)
	defer cancel()
	for {
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return spec.ErrFenced
			}
			return ctx.Err()
		}
		if ok() {
			return nil
		}
	}
}
