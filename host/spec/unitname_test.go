package spec

import "testing"

func TestUnitNameIsThatOfItsParts(t *testing.T) {
	for _, unit := range EveryUnit("enrich") {
		plugin, shard := SplitUnit(unit)
		if plugin != "enrich" || (shard == nil) != (unit == "enrich") || UnitName(plugin, shard) != unit {
			t.Errorf("%s: got %s, %v", unit, plugin, shard)
		}
	}
}
