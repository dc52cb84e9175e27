// Package file keeps a file that a person and a program both write: it replaces
// its content all at once, and notices when the content has changed. It knows
// nothing of what is inside.
//
// Read replace.go and watch.go; either stands alone.
package file
