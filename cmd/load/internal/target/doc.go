// Package target runs the host that is measured: the real binary in a process of its own,
// with a temporary data directory, on a free port of the loopback interface. It knows
// older hosts too: it decodes only what every version answers.
package target
