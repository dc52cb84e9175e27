// Package tenure has the time in which this host owns a handler of a cluster: when its attempts
// may begin, which fence their writes have, and how the handler is given up.
//
// A Hold is a Tenure in use, from Owners.Own to Owners.Disown. Its Context is that of the
// attempts. It ends when they have to be cancelled: the lease is lost, a write was refused
// because another host owns the handler, or the attempts did not end in time.
//
// Nothing here calls the store, nor holds a lock while it calls a handler, except for the lock of
// the handler's name.
package tenure
