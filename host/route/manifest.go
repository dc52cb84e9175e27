package route

import (
	"fmt"

	"github.com/berth-host/berth/abi"
)

// FilterOf compiles the subscriptions of a handler's manifest. A manifest without
// subscriptions takes every routed type.
func FilterOf(handler string, m abi.Manifest) (*Filter, error) {
	filter, err := NewFilter(handler, m.Subscribes)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return filter, nil
}
