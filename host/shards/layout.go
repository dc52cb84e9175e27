package shards

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/berth-host/berth/host/spec"
)

// Layout is how the events of a handler are divided. OrderBy is of no meaning, and "", with one
// shard.
type Layout struct {
	Shards  int    `json:"shards"`
	OrderBy string `json:"order_by,omitempty"` // JSON Pointer into the envelope; "" for no order
}

// New returns the layout with this many shards; fewer than one are one.
func New(shards int, orderBy string) Layout {
	if shards <= 1 {
		return Layout{Shards: 1}
	}
	return Layout{shards, orderBy}
}

// Shard returns the shard of an event: by its order key, "" for none. Every host, version and
// architecture computes the same.
func (l Layout) Shard(key string, seq uint64) int {
	switch {
	case l.Shards <= 1:
		return 0
	case key == "":
		return int(seq % uint64(l.Shards))
	}
	return int(xxhash.Sum64String(key) % uint64(l.Shards))
}

// Units returns the units of a plugin, in order.
func (l Layout) Units(plugin string) []string { return spec.Units(plugin, l.Shards) }

// String returns the layout as Parse reads it, such as "16 /metadata/subject".
func (l Layout) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%d %s", max(1, l.Shards), l.OrderBy), " ")
}

// Parse reads a layout, and reports whether it is one.
func Parse(s string) (l Layout, ok bool) {
	number, orderBy, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(number)
	return New(n, orderBy), err == nil && n >= 1 && n <= spec.MaxShards
}
