//go:build !race

package sandbox_test

const reloads = 2000
