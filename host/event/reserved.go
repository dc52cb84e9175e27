package event

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
)

// The keys that the host assigns itself. A publisher that used one would block the
// event it is for: an order could never move again, a child could never be published.
//
//	order:ID:vN   the change of order ID to version N (OrderKey)
//	schedule:…    what the host publishes by the clock
//	NAME/…        what the plugin NAME emits (ChildKey)

// SourceOrders is the source of the events of orders.
const SourceOrders = "orders"

// OrderKey returns the idempotency key of an order's change to a version.
func OrderKey(id string, version int64) string {
	return "order:" + id + ":v" + strconv.FormatInt(version, 10)
}

var orderKey = regexp.MustCompile(`^order:[A-Za-z0-9][A-Za-z0-9_.-]{0,63}:v[0-9]+$`)

// ChildKey returns the idempotency key of the nth child that a plugin emits for an
// event, or, when own is not "", of the child with this key of the plugin's own. It is
// the same when the event is delivered again. It begins with the plugin's name, which
// has no slash, so that plugins have different keys.
func ChildKey(plugin, parentID string, n int, own string) string {
	if own != "" {
		return plugin + "/" + own
	}
	return plugin + "/" + parentID + "/" + strconv.Itoa(n)
}

// CheckPublished returns why a publisher outside of the host may not publish this
// event: its key is reserved for the host, or it claims to be the change of an order.
// known reports whether the host has a plugin of a name. The error is fault.Invalid
// and names the field.
func (e *Event) CheckPublished(known func(plugin string) bool) error {
	const field = "metadata.idempotency_key"
	key := e.meta.IdempotencyKey
	switch {
	case orderKey.MatchString(key):
		return fault.Field(field, "%s is reserved: order:ID:vN is the key of an order's change, which only the orders API publishes",
			fault.Quote(key))
	case strings.HasPrefix(key, "schedule:"):
		return fault.Field(field, "%s is reserved: keys that begin with schedule: are those of what the host publishes by the clock",
			fault.Quote(key))
	}
	if name, _, found := strings.Cut(key, "/"); found && abi.ValidName(name) && known(name) {
		return fault.Field(field, "%s is reserved: keys that begin with %s are those of what the plugin %s emits", fault.Quote(key),
			fault.Quote(name+"/"), name)
	}
	return CheckSource(e.typ, e.meta.Source)
}

// CheckSource returns why an event that is not of the orders may not have this source:
// it would look like a change of an order. The error is fault.Invalid.
func CheckSource(typ Type, source string) error {
	if typ == OrderStatusChanged && looksLike(source, SourceOrders) {
		return fault.Field("metadata.source", "%s is reserved for events of the type %s: only the orders API publishes those",
			fault.Quote(source), typ)
	}
	return nil
}

// looksLike reports whether a person would read text as word, regardless of case,
// white space and invisible characters.
func looksLike(text, word string) bool {
	return strings.EqualFold(word, strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsGraphic(r) || unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, text))
}
