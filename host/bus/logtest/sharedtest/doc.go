// Package sharedtest tests engines that several hosts open at once. Run tests two openers of
// one log; RunFenced tests that a write under a past epoch stores nothing. Such an engine also
// passes the suites of package logtest and below. For tests only.
package sharedtest
