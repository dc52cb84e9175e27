package route

import (
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// Conditions, also those of manifests, are evaluated for every event of a handler. Their
// cost is bounded by counting, so that the decision about an event is the same on every
// machine.
const (
	// maxCost bounds the conditions of one handler, or of one route, for one event, in
	// CEL's cost units: about one for each step and for each ten bytes of text that are
	// read. The time of CEL's cost tracking is quadratic in the steps of a loop; this
	// bound is about 10 ms.
	maxCost = 20_000
	// entryCost is the fixed cost of a condition, a few microseconds.
	entryCost = 10
	// containsBytes is the number of bytes that strings.Contains reads for one unit.
	containsBytes = 100
)

var errCost = fmt.Errorf("cost limit exceeded: all conditions of a handler, or of a route, may cost %d for one event", maxCost)

// budget is the cost that is left for conditions.
type budget int64

// spend subtracts the cost of an evaluation, and returns its error. A cancelled
// evaluation uses up the budget.
func (b *budget) spend(details *cel.EvalDetails, err error) error {
	*b -= entryCost
	var cancelled interpreter.EvalCancelledError
	switch {
	case errors.As(err, &cancelled):
		*b = 0
		return errCost
	case details != nil:
		if cost := details.ActualCost(); cost != nil {
			*b -= budget(*cost)
		}
	}
	return err
}

// estimator corrects costs that CEL underestimates: CEL counts the comparison of two
// values by the length of the outermost one only.
type estimator struct{}

// CallCost implements interpreter.ActualCostEstimator. Nil selects CEL's own estimate.
func (estimator) CallCost(function, overload string, args []ref.Val, _ ref.Val) *uint64 {
	switch {
	case len(args) != 2:
		return nil
	case function == operators.Equals, function == operators.NotEquals:
		if !composed(args[0]) || !composed(args[1]) {
			return nil
		}
		cost := min(size(args[0]), size(args[1]))
		return &cost
	case function == operators.In:
		cost := size(args[1])
		return &cost
	case overload == overloads.ContainsString:
		if text, ok := args[0].(types.String); ok {
			cost := 1 + uint64(len(text))/containsBytes
			return &cost
		}
	}
	return nil
}

func composed(v ref.Val) bool {
	switch v.(type) {
	case traits.Lister, traits.Mapper:
		return true
	}
	return false
}

// size returns the number of values in a value, up to maxCost+1.
func size(v ref.Val) uint64 {
	left := maxCost + 1
	count(v, &left)
	return uint64(maxCost + 1 - max(left, 0))
}

// count subtracts one from left for each value and each ten bytes of text, until left is
// used up. It reads values of JSON directly, and values of an expression through CEL.
func count(v any, left *int) {
	if *left--; *left < 0 {
		return
	}
	switch v := v.(type) {
	case string:
		*left -= len(v) / 10
	case []any:
		for i := 0; i < len(v) && *left > 0; i++ {
			count(v[i], left)
		}
	case map[string]any:
		for name, value := range v {
			if *left -= 1 + len(name)/10; *left <= 0 {
				return
			}
			count(value, left)
		}
	case types.String:
		*left -= len(v) / 10
	case traits.Mapper:
		if inner, ok := v.Value().(map[string]any); ok {
			count(inner, left)
			return
		}
		for it := v.Iterator(); *left > 0 && it.HasNext() == types.True; {
			key := it.Next()
			count(key, left)
			count(v.Get(key), left)
		}
	case traits.Lister:
		if inner, ok := v.Value().([]any); ok {
			count(inner, left)
			return
		}
		for it := v.Iterator(); *left > 0 && it.HasNext() == types.True; {
			count(it.Next(), left)
		}
	}
}
