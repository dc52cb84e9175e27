// Package backup makes a backup of a data directory, and a data directory of a backup.
//
// A backup has what a host needs to continue elsewhere: a copy of the store as it was at
// one moment, the configuration, the tokens' digests, the lock and the modules of
// installed plugins, the plugin files of watched directories, the marketplace's list and
// the audit log. names.go lists the files. A backup never has the admin token, secrets or
// keys: a file that is not listed is not in it.
//
// Backups.Make copies everything into a work directory in the data directory and checks the
// copy of the store, so that neither a slow reader nor the network holds up the host.
// Restore checks every byte of a backup, and the store in it, before a data directory
// exists at the target's name. Package archive has the file format.
//
// Read make.go first, then restore.go.
package backup
