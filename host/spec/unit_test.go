package spec

import (
	"log/slog"
	"slices"
	"strings"
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

func TestLogUnit(t *testing.T) {
	for unit, want := range map[string]string{"enrich": "plugin=enrich", "enrich/3": "plugin=enrich shard=3"} {
		var b strings.Builder
		slog.New(slog.NewTextHandler(&b, nil)).With(LogUnit(unit)).Info("x", LogUnit(unit))
		if got := b.String(); !strings.HasSuffix(got, "msg=x "+want+" "+want+"\n") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
