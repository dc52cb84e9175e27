// Package file replaces the content of a file atomically and reports changes of the
// content, for files that people and programs both write. It does not interpret the
// content.
//
// Read replace.go or watch.go; they are independent.
package file
