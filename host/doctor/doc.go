// Package doctor examines what a host needs of the machine it runs on: files and
// their permissions, the clock, the disk and the limits of the process. It changes
// nothing except a probe file in the data directory, which it removes.
//
// Every finding names the check and the state it found, and gives advice unless
// the state is as it should be. Read report.go and examine.go first.
package doctor
