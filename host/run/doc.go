// Package run puts loaded plugins to work. For each version of a plugin it starts a pool
// of sandbox instances, with the capabilities that are requested and granted, which take
// their attempts from a delivery.Source of the plugin's handler.
// It implements plugin.Loader and plugin.Runner, and reports on handlers that are
// not open: their pending deliveries and lag.
//
// Read runner.go first.
package run
