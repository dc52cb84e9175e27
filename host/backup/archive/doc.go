// Package archive reads and writes the file format of backups: a tar file whose every byte
// is determined by its manifest and the content of its files.
//
// The entries are manifest.json, manifest.sha256 (the digest of the manifest, as sha256sum
// writes it), and then the files, in the order of the manifest, which has the name, size
// and SHA-256 of each. All are regular files with mode 0600 and the time of the backup;
// unused bytes are zero, and nothing follows the end of the archive. Other programs can
// read it as any tar file.
//
// Read accepts nothing else: it compares the header of each entry with the one that the
// manifest demands. So links, directories, duplicates, other names and unknown fields
// cannot occur, and an archive with one changed byte, or without its end, is refused. The
// digests detect damage. They prove nothing about who wrote the archive.
//
// The package has no state and imports the standard library and package fault only. Read
// manifest.go first, then read.go.
package archive
