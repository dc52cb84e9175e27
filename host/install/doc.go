// Package install puts plugins in and takes them out, as transactions: whatever
// fails, and whenever the process is killed, a plugin is afterwards wholly
// installed or not at all, and what ran before runs.
//
// It promises:
//
//   - What is installed has the digest its source gave, passed the vetting, and
//     has been started once, before anything refers to it.
//   - A capability that the configuration does not grant, and the former version
//     did not have, is a plan to approve (ApprovalError) before anything changes.
//   - Another signer than the former version's is refused.
//   - The lock file decides what is installed: its rename is the commit. What came
//     before a crash without it is undone when the host starts again (Recover), what
//     came with it is finished. Neither needs the network.
//   - Stored files are immutable, named after their digest, and removed when no
//     version refers to them.
//
// In the data directory it keeps
//
//	.store/sha256/<hex>.wasm   the modules
//	plugins.lock.yaml          which of them are which plugin's, and the three former versions of each
//	install.journal            what is under way, and how to undo it; usually absent
//	install.lock               locked while a transaction runs, against other processes
//	downloads/<hex>.part       downloads, to be resumed; for a day, and four of the largest size at most
//
// One transaction runs at a time; Installer.turn, held by it, is the only lock.
// Read installer.go first, then change.go.
package install
