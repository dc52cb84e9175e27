// Package orders keeps orders and moves them from status to status. It is the
// built-in event source: every order that is created or moved is one event of
// type order_status_changed, and the row and its event are written both or
// neither.
//
// Service checks input and decides; a Repository stores. A change is decided
// on a version that was read before, and written only if that version is still
// the present one, so of several concurrent moves from one status exactly one
// wins and the others are decided again. Everything here is safe for
// concurrent use. Memory is the only type with a lock, and holds it while it
// publishes.
//
// Read service.go first, then status.go.
package orders
