// Package queue has the structures of a handler's queue: a FIFO, the entries that wait until a
// time, and the last entry of each lane. They have no lock: the handler's guards them.
package queue
