//go:build race

package sandbox_test

// reloads are fewer under the race detector, where each takes five times as long.
const reloads = 400
