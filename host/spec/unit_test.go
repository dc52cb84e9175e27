package spec

import (
	"slices"
	"testing"
)

func TestUnits(t *testing.T) {
	for shards, want := range map[int][]string{0: {"enrich"}, 1: {"enrich"}, 3: {"enrich/0", "enrich/1", "enrich/2"}} {
		got := Units("enrich", shards)
		if !slices.Equal(got, want) {
			t.Errorf("%d shards: got %q, want %q", shards, got, want)
		}
		for i, unit := range got {
			if PluginOf(unit) != "enrich" || !slices.Contains(EveryUnit("enrich"), unit) {
				t.Errorf("%s is not a unit of enrich", unit)
			}
			if shard, found := ShardOf(unit); found != (shards > 1) || shard != i {
				t.Errorf("%s: got %d, %v", unit, shard, found)
			}
		}
	}
}
