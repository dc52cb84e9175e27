// Package ledger is the cluster.Ledger of hosts that share a PostgreSQL database.
//
// Locks. A take locks its unit against writes (conn.LockUnit), so that the open ones under the
// unit's fence end before, then the row of the unit, and then its member's row against
// deletion. What removes a member locks the rows of the units that it has, ascending, then the
// member's; so no unit has an owner that is no member. It waits for no write: epochs stay. A
// Beat locks its own row only, and does not wait until it is durable.
//
// Read ledger.go first, then commands.go.
package ledger
