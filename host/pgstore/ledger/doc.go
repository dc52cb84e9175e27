// Package ledger is the cluster.Ledger of hosts that share a PostgreSQL database.
//
// Epochs. A take gives the epoch after the present one. A promoted standby begins above all epochs
// of the server before it (conn.Epoch): it may lack takes, whose epochs must not be given again. A
// server that was set back without a new timeline, as from a copy of its disk, may repeat epochs; by
// the time that it answers the leases of their owners have ended.
//
// Locks. A take locks its unit against writes (conn.LockUnits), so that the open ones under the
// unit's fence end before, then the row of the unit, and then its member's row against
// deletion. What removes a member locks the rows of the units that it has, ascending, then the
// member's; so no unit has an owner that is no member. It waits for no write: epochs stay. A
// Beat locks its own row only, and does not wait until it is durable.
//
// Read ledger.go first, then commands.go.
package ledger
