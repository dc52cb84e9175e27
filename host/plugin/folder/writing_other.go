//go:build !linux

package folder

// openForWriting cannot be asked on this system: the time a file must have
// been at rest is what there is.
func openForWriting(int) bool { return false }
