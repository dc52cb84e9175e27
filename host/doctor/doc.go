// Package doctor examines what a host needs of the machine it runs on: its
// files and who may touch them, the clock, the disk, the limits of the process.
// It changes nothing but for a probe file in the data directory, which it
// removes again. Package host adds what only the other parts can tell and makes
// the whole report.
//
// Every finding says what was looked at, how it is and, unless it is as it
// should be, what to do. Start reading in report.go.
package doctor
