// Guest scores orders by the customer's tier. Without -ldflags "-X main.fixed=yes" it has no
// table for the highest tier, as of the incident that the browser test replays.
package main

import (
	"fmt"

	berth "github.com/berth-host/berth/abi/go"
)

var fixed string

func main() { berth.Run(handle) }

func handle(e *berth.Event) (berth.Result, error) {
	tier, _ := e.Int("/data/tier")
	fmt.Printf("scoring %s, tier %d\n", e.Subject(), tier)
	return berth.JSON(map[string]int{"risk": score(int(tier))}), nil
}

//go:noinline
func score(tier int) int {
	table := []int{10, 20, 40}
	if fixed != "" {
		table = append(table, 80)
	}
	return table[tier] // no entry for tier 3
}
