// Package run puts loaded plugins to work. For each handler it opens one
// delivery.Handler, and for each version of its plugin a pool of sandbox instances
// that take events from it, with the capabilities that are requested and granted.
// It implements plugin.Loader and plugin.Runner, and reports on handlers that are
// not open: their pending deliveries and lag.
//
// Lock order: a name's lock, then Runner.mu or handler.mu. Read runner.go first.
package run
