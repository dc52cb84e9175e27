// Package pgtest runs a private PostgreSQL server for the tests of one test binary. A test
// binary calls Start in its TestMain; the first test that asks for the URL starts the server,
// which has a directory of its own, listens on a Unix socket in there only, and ends with the
// test binary, also when that is killed. Without the programs of PostgreSQL the tests that
// need them are skipped; when BERTH_NEEDS_POSTGRES is set, as in CI, they fail.
package pgtest
