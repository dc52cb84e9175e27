// Package install installs, upgrades, rolls back and uninstalls plugins as transactions:
// after any error, and after a crash at any moment, a plugin is either completely
// installed or not at all, and the former version runs.
//
// Guarantees:
//
//   - A version has the digest that its source gave, is vetted, and its first instance has
//     started, before anything refers to it.
//   - A capability that the configuration does not grant and the former version did not
//     have needs the approval of a plan (ApprovalError) before anything changes.
//   - A signer other than that of the former version is refused.
//   - The lock file defines what is installed: its rename is the commit. After a crash,
//     Recover undoes a transaction without a commit and finishes one with it. Neither
//     needs the network.
//   - In a cluster (Config.Shared) the lock in the database defines what is installed, and its
//     compare-and-swap is the commit: of two transactions at once the later one changes nothing.
//     The lock file of each host follows it. A host hashes and vets for itself what another one
//     has installed, and keeps the former version if it refuses the new one.
//   - Stored files are immutable, named after their digest, and removed when no version
//     refers to them.
//
// Files in the data directory:
//
//	.store/sha256/<hex>.wasm   the modules
//	plugins.lock.yaml          the installed plugins, each with up to three former versions
//	install.journal            the transaction under way, and how to undo it; usually absent
//	install.lock               locked during a transaction, against other processes
//	downloads/<hex>.part       downloads to be resumed; for a day, and four of the largest size at most
//
// There is one transaction at a time: Installer.transaction excludes those of this
// process in the order of their arrival, install.lock those of other processes (on network
// file systems, a file lock may exclude processes only). A spec.Artifact carries the
// module's bytes, digest and manifest through a transaction, so that they are hashed and
// parsed once. Read installer.go first, then change.go.
package install
