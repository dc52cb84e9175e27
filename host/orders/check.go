package orders

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// The bounds of an order.
const (
	MaxItems     = 500             // lines of an order
	MaxQuantity  = 1_000_000       // of one line
	MaxUnitPrice = 100_000_000_000 // cents
	MaxName      = 128             // bytes of customer_id and sku

	// MaxTotal bounds total_cents: 2^53-1, the largest whole number that every
	// JSON reader keeps exact (RFC 7493, section 2.2).
	MaxTotal = 1<<53 - 1
)

const (
	idPattern       = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`
	currencyPattern = `^[A-Z]{3}$`
)

var (
	idMatch       = regexp.MustCompile(idPattern)
	currencyMatch = regexp.MustCompile(currencyPattern)
)

// total checks a new order and returns its total in cents. Errors are
// fault.Invalid with the field that is wrong.
func total(n wire.NewOrder) (int64, error) {
	if n.ID != "" && !idMatch.MatchString(n.ID) {
		return 0, fault.Field("id", "%s does not match %s", fault.Quote(n.ID), idPattern)
	}
	if err := checkName("customer_id", n.CustomerID); err != nil {
		return 0, err
	}
	if n.Currency == "" {
		return 0, fault.Field("currency", "is required, such as EUR")
	}
	if !currencyMatch.MatchString(n.Currency) {
		return 0, fault.Field("currency", "%s does not match %s", fault.Quote(n.Currency), currencyPattern)
	}
	if len(n.Items) == 0 {
		return 0, fault.Field("items", "is required: at least one item")
	}
	if len(n.Items) > MaxItems {
		return 0, fault.Field("items", "has %d items; the limit is %d", len(n.Items), MaxItems)
	}
	var sum int64
	for i, item := range n.Items {
		field := func(name string) string { return fmt.Sprintf("items[%d].%s", i, name) }
		if err := checkName(field("sku"), item.SKU); err != nil {
			return 0, err
		}
		if item.Quantity < 1 || item.Quantity > MaxQuantity {
			return 0, fault.Field(field("quantity"), "is %d; it must be 1 to %d", item.Quantity, MaxQuantity)
		}
		if item.UnitPriceCents < 0 || item.UnitPriceCents > MaxUnitPrice {
			return 0, fault.Field(field("unit_price_cents"), "is %d; it must be 0 to %d", item.UnitPriceCents, int64(MaxUnitPrice))
		}
		// One line is at most 1e17, so neither the product nor the sum overflows.
		sum += item.Quantity * item.UnitPriceCents
		if sum > MaxTotal {
			return 0, fault.Field("items", "the total is over %d cents with items[%d]", int64(MaxTotal), i)
		}
	}
	return sum, nil
}

func checkName(field, text string) error {
	if text == "" {
		return fault.Field(field, "is required")
	}
	if len(text) > MaxName {
		return fault.Field(field, "is %d bytes; the limit is %d", len(text), MaxName)
	}
	if !utf8.ValidString(text) {
		return fault.Field(field, "is not valid UTF-8")
	}
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(text[i:])
		return fault.Field(field, "contains the control character %U", r)
	}
	return nil
}
