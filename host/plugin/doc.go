// Package plugin reconciles the running plugins with the files in the watched
// directories. It discovers modules, resolves name conflicts, loads and starts the
// plugins, and replaces and drains them without a restart.
//
// Guarantees:
//
//   - The final contents of a file decide, by stat and SHA-256, not the kind of a file
//     event, and not before the file is unchanged for a while: a partial copy is not
//     loaded. The loaded bytes are the hashed bytes.
//   - A new version is ready before the old one is drained. If it cannot be started, the
//     old one goes on, and its reason names the error.
//   - A name is claimed before its module is vetted, so that its events wait.
//   - Every Module is closed exactly once, after every Running of it is drained.
//   - A slow or damaged file does not delay other plugins.
//   - A file that cannot be read is not treated as removed.
//   - An installed plugin (a spec.Pin) runs only with its digest, and has its name before
//     any file that appears later. If its new version cannot be started, the former pin
//     and the running version are unchanged.
//   - An installation starts its module once: Prepare starts and parks it, Promote lets it
//     receive events.
//   - An uninstallation that fails changes nothing.
//
// The package does not depend on WebAssembly, delivery or the configuration file: Loader,
// Runner and SettingsFunc stand for them.
//
// # Goroutines and locks
//
// One goroutine, the loop, owns the state (loop.go); it blocks only on its channels.
// Slow work (scanning, reading, claiming, loading, starting, draining, closing) runs in
// one goroutine each, whose result is a function that the loop runs. A change of a name,
// by a decision of the operator, an installation or an uninstallation, reserves it in the
// loop (reserve.go): one at a time. Locks, in the order in which they are acquired:
//
//  1. entry.promoting, held during Prepared.Promote: promotions of a name are in order
//  2. Manager.reading, loading or larges: the slots that bound concurrent work
//  3. Manager.mu, a leaf: the views that List and Plugin return
//
// No caller holds one of them while it waits for the loop. SettingsFunc and OnChange are
// called by the loop: they must be quick, and must not call SetEnabled, SetPaused,
// Approve, Check, Pin, Uninstall, Reload or Close. List, Plugin and ConditionChanged may
// always be called.
//
// Read manager.go first, then loop.go, scan.go and decide.go; decision.go has the
// operator's decisions, check.go the check before a reload, pin.go, candidate.go and
// uninstall.go the installed plugins. Package folder reads the directories, package grants
// compares capabilities, package schema checks a plugin's config.
package plugin
