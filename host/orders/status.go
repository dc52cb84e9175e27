package orders

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/fault"
)

// The statuses of an order. An order starts as Pending; Refunded is final.
const (
	Pending    = "pending"
	Confirmed  = "confirmed"
	Processing = "processing"
	Shipped    = "shipped"
	Delivered  = "delivered"
	Cancelled  = "cancelled"
	Refunded   = "refunded"
)

// Statuses lists every status, in the order of an order's life.
func Statuses() []string {
	return []string{Pending, Confirmed, Processing, Shipped, Delivered, Cancelled, Refunded}
}

// Moves lists the statuses an order may move to from this one; none from
// Refunded and from a status that does not exist. No chain of moves comes back
// to a status it left.
func Moves(from string) []string {
	switch from {
	case Pending:
		return []string{Confirmed, Cancelled}
	case Confirmed:
		return []string{Processing, Cancelled}
	case Processing:
		return []string{Shipped, Cancelled}
	case Shipped:
		return []string{Delivered}
	case Delivered, Cancelled:
		return []string{Refunded}
	}
	return nil
}

// checkStatus returns fault.Invalid for a status that does not exist.
func checkStatus(field, status string) error {
	if slices.Contains(Statuses(), status) {
		return nil
	}
	known := strings.Join(Statuses(), ", ")
	if status == "" {
		return fault.Field(field, "is required; one of %s", known)
	}
	return fault.Field(field, "%s is not a status; one of %s", fault.Quote(status), known)
}

// checkMove returns fault.Conflict unless the order may move to this status.
func checkMove(o Order, to string) error {
	moves := Moves(o.Status)
	if slices.Contains(moves, to) {
		return nil
	}
	allowed := "it is final"
	if len(moves) > 0 {
		allowed = "from there it can move to " + strings.Join(moves, " or ")
	}
	if to == o.Status {
		return &fault.Error{Code: fault.Conflict, Field: "status", Reason: fmt.Sprintf("order %s is %s already; %s", o.ID, to, allowed)}
	}
	return &fault.Error{Code: fault.Conflict, Field: "status",
		Reason: fmt.Sprintf("order %s cannot move from %s to %s; %s", o.ID, o.Status, to, allowed)}
}
