// Package plugin keeps the plugins that run the same as the files that lie in
// the watched directories: it finds modules, decides which name each has,
// has them checked and started, and replaces and ends them, without a restart.
//
// The Manager promises:
//
//   - The final state of a file decides, by stat and SHA-256, never the kind of
//     an event, and never before the file has come to rest: a file that is half
//     copied is not loaded. What is loaded is the very buffer that was hashed.
//   - A new version is ready before the old one is drained. If it cannot be
//     started, the old one goes on and its reason says what is wrong.
//   - A name is claimed before its module is checked, so that its events wait.
//   - Every Module is closed exactly once, after every Running of it is drained.
//   - One plugin's slow or broken file delays no other plugin.
//   - A file that cannot be read for now is not a file that is gone.
//   - An installed plugin (a Pin) runs only with the digest it was pinned to, has
//     its name before any file that comes later, and one that cannot be started
//     leaves the former pin and the version that runs as they were.
//   - An uninstallation that fails leaves everything as it was.
//
// It knows nothing of WebAssembly's insides, of delivery or of the
// configuration file: Loader, Runner and SettingsFunc stand for those.
//
// # Goroutines and locks
//
// One goroutine, the loop, owns the whole state (loop.go); it never waits for
// anything but its channels. Whatever takes time (looking at directories,
// reading, claiming, loading, starting, draining, closing) is done by one
// goroutine each, whose answer is a function that the loop runs. Nobody holds
// a lock while waiting for the loop, except the first of these. In order, first
// the one that is taken first:
//
//  1. Manager.toggles, held by SetEnabled, SetPaused and Approve while the
//     decision is persisted and applied, and by Uninstall while it takes hold of
//     a name
//  2. entry.starting, held around Runner.Start: one start of a name at a time
//  3. Manager.reading or Manager.loading, the bounded slots for work
//  4. Manager.mu, a leaf: the rows that List and Plugin answer from
//
// SettingsFunc and OnChange are called by the loop: they must be quick and must
// not call SetEnabled, SetPaused, Approve, Check, Pin, Uninstall, Reload or
// Close. List, Plugin and ConditionChanged may always be called.
//
// Read manager.go first, then loop.go, look.go (what lies in the directories) and
// decide.go; decision.go is what the operator decides, check.go what a reload asks before it; pin.go and
// uninstall.go by themselves.
package plugin
