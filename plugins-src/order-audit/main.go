// Order-audit checks that an order moved as it may, and that its total is the
// sum of its items.
package main

import (
	"math/bits"
	"slices"
	"strconv"

	berth "github.com/berth-host/berth/abi/go"
)

func main() { berth.Run(audit) }

// maxItems bounds how many items of one order are added up.
const maxItems = 10_000

// allowed lists where an order may go from a status. An order begins with none.
func allowed(from string) []string {
	switch from {
	case "":
		return []string{"pending"}
	case "pending":
		return []string{"confirmed", "cancelled"}
	case "confirmed":
		return []string{"processing", "cancelled"}
	case "processing":
		return []string{"shipped", "cancelled"}
	case "shipped":
		return []string{"delivered"}
	case "delivered", "cancelled":
		return []string{"refunded"}
	}
	return nil
}

func audit(ev *berth.Event) (berth.Result, error) {
	id, ok := ev.Field("/data/order_id")
	if !ok {
		return berth.Result{}, berth.Reject("the event has no /data/order_id: it is not about an order")
	}
	to, ok := ev.Field("/data/status")
	if !ok {
		return berth.Result{}, berth.Reject("the order has no status")
	}
	from, _ := ev.Field("/data/previous_status")
	if from == "null" { // just created
		from = ""
	}
	total, ok := ev.Int("/data/total_cents")
	if !ok {
		return berth.Result{}, berth.Reject("the order's total_cents is not a whole number")
	}

	var findings []string
	if !slices.Contains(allowed(from), to) {
		findings = append(findings, illegal(from, to))
	}
	sum, finding := itemSum(ev)
	switch {
	case finding != "":
		findings = append(findings, finding)
	case sum != total:
		findings = append(findings, "total_cents is "+strconv.FormatInt(total, 10)+", its items add up to "+strconv.FormatInt(sum, 10))
	}

	var answer berth.Object
	if len(findings) == 0 {
		answer.Str("audit", "ok")
	} else {
		answer.Str("audit", "flagged")
	}
	answer.Str("order_id", id)
	if from == "" {
		answer.Raw("from", "null")
	} else {
		answer.Str("from", from)
	}
	answer.Str("to", to).Int("total_cents", total)
	if len(findings) > 0 {
		answer.Strs("findings", findings)
	}
	for _, f := range findings {
		berth.Warn("order " + id + ": " + f)
	}
	return answer.Result(), nil
}

func illegal(from, to string) string {
	if from == "" {
		return "an order begins as pending, not as " + to
	}
	return "an order must not go from " + from + " to " + to
}

// itemSum returns the sum of the order's items, or a finding about the first invalid
// item.
func itemSum(ev *berth.Event) (sum int64, finding string) {
	for i := range maxItems {
		number := strconv.Itoa(i)
		item := "/data/items/" + number
		if _, ok := ev.FieldBytes(item); !ok {
			return sum, ""
		}
		quantity, ok := ev.Int(item + "/quantity")
		if !ok || quantity < 1 {
			return 0, "item " + number + ": quantity is not a whole number above zero"
		}
		price, ok := ev.Int(item + "/unit_price_cents")
		if !ok || price < 0 {
			return 0, "item " + number + ": unit_price_cents is not a whole number"
		}
		high, line := bits.Mul64(uint64(quantity), uint64(price))
		if high != 0 || line > 1<<62 || sum > 1<<62 {
			return 0, "item " + number + ": the amount is too large to be true"
		}
		sum += int64(line)
	}
	return 0, "there are more than " + strconv.Itoa(maxItems) + " items"
}
