// Package ordertest is the conformance suite of orders.Repository: every
// implementation passes Run.
package ordertest
