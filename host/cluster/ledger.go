package cluster

import (
	"context"

	"github.com/berth-host/berth/host/spec"
)

// Ledger is what the hosts of a cluster share: the members, the units with their owners and
// epochs, and commands. Every method is one transaction and safe for concurrent use; package
// ledgertest states the same in tests. Errors of a database that cannot be reached are
// fault.Unavailable. The owner of a unit is always a member: what removes a member frees its
// units in the same transaction.
type Ledger interface {
	// Beat writes the row of a member, or makes it, unless the row has a higher Beat already, and
	// returns everything as of that transaction. It need not survive a crash of the database:
	// it waits neither for a disk nor for a standby, so that leases outlast slow ones. Of two members
	// of one name that are Joining, one at least sees the other. Its error is fault.Unavailable or
	// fault.Timeout only when the database has not answered.
	Beat(ctx context.Context, m spec.Beating) (spec.ClusterView, error)
	// Leave deletes a member and frees its units. It is no error when there is no such member.
	Leave(ctx context.Context, id string) error
	// Expire deletes those of the members (their IDs) whose Beat is still the one that is given,
	// and frees their units. Other members are unchanged.
	Expire(ctx context.Context, dead []spec.Beating) error

	// Take makes owner, a member, the owner of a unit in its next epoch, which it returns; a ledger
	// can end epochs without a take, when its database fails over. The unit
	// must be as seen, in owner and epoch (a zero Unit: it has no row), and free or the owner's own;
	// fault.Conflict otherwise, also when owner is no member. Open writes under a fence of the unit
	// end before; later ones under an earlier epoch are refused.
	Take(ctx context.Context, unit string, seen spec.Unit, owner string) (epoch uint64, err error)
	// Give frees a unit. Its epoch stays, so that writes under it are possible until the next Take.
	// An error that wraps spec.ErrFenced when the epoch is not the present one. It is no error
	// when the unit is free in this epoch.
	Give(ctx context.Context, f spec.Fence) error

	// Ask stores a command for the owner of its unit; one of the same ID is stored once. Asked
	// returns the unanswered commands for these units, ascending by the time of Ask; it may omit those
	// that are older than Do awaits an answer. Answer stores
	// what came of one: a body, or a failure, which is not "". It is no error when the command is
	// answered already, which stays, or gone. Answered returns what was stored, and whether
	// anything was. Commands and answers are kept for a minute after they were stored, at least,
	// and are removed within two.
	Ask(ctx context.Context, c spec.ClusterCommand) error
	Asked(ctx context.Context, units []string) ([]spec.ClusterCommand, error)
	Answer(ctx context.Context, id string, body []byte, failure string) error
	Answered(ctx context.Context, id string) (body []byte, failure string, done bool, err error)

	// Wake has a token soon after another host has called one of the methods except Beat with an
	// effect, or has changed a shared document. It may have too many and too few: Cluster looks by
	// itself. nil is never.
	Wake() <-chan struct{}
}

// Worker runs the units of this host.
type Worker interface {
	// Units returns the units that this host can run now, such as its active plugins.
	Units() []string
	// Own starts a unit and returns when it runs. It is called for a unit that does not run.
	// After an error the unit is given back, and is tried again later, here or elsewhere. The error
	// is fault.Conflict where the unit is not to run here now, which is no failure.
	Own(ctx context.Context, unit string, t *Tenure) error
	// Disown stops a unit: no attempt begins from the call on; it waits for the open ones until
	// ctx ends, then cancels them; and it returns when nothing of the unit runs or will be written.
	// After an error it is called again: the unit stays this host's for as long as the host
	// renews its lease.
	Disown(ctx context.Context, unit string) error
}
