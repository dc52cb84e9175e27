package spec

import (
	"log/slog"
	"strconv"
	"strings"
)

// MaxShards is the largest number of shards of a handler.
const MaxShards = 64

// Units returns the names of the units of a plugin's handler with this many shards, in order: that of
// the plugin for one, and "enrich/0", "enrich/1" and so on for more.
func Units(plugin string, shards int) []string {
	if shards <= 1 {
		return []string{plugin}
	}
	list := make([]string, shards)
	for i := range list {
		list[i] = plugin + "/" + strconv.Itoa(i)
	}
	return list
}

// EveryUnit returns the names that a unit of a plugin can have, with any number of shards.
func EveryUnit(plugin string) []string {
	return append([]string{plugin}, Units(plugin, MaxShards)...)
}

// PluginOf returns the plugin of a unit: "enrich" of "enrich/3", and of "enrich".
func PluginOf(unit string) string {
	plugin, _, _ := strings.Cut(unit, "/")
	return plugin
}

// ShardOf returns the shard that a unit is, and whether it is one: 3 of "enrich/3".
func ShardOf(unit string) (shard int, found bool) {
	_, number, found := strings.Cut(unit, "/")
	if !found {
		return 0, false
	}
	shard, err := strconv.Atoi(number)
	return shard, err == nil
}

// UnitName returns the name of the unit that is a shard of a plugin's handler; nil is all of it.
func UnitName(plugin string, shard *int) string {
	if shard == nil {
		return plugin
	}
	return plugin + "/" + strconv.Itoa(*shard)
}

// SplitUnit returns what people see of a unit: its plugin, and the shard that it is, or nil.
func SplitUnit(unit string) (plugin string, shard *int) {
	if n, found := ShardOf(unit); found {
		shard = &n
	}
	return PluginOf(unit), shard
}

// LogUnit returns what log lines have of a unit: "plugin", and "shard" if it is one.
func LogUnit(unit string) slog.Attr {
	plugin, shard := SplitUnit(unit)
	if shard == nil {
		return slog.String("plugin", plugin)
	}
	return slog.Group("", slog.String("plugin", plugin), slog.Int("shard", *shard))
}
