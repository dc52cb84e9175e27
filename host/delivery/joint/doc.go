// Package joint joins the sources of a plugin's shards into one, from which one pool of instances
// takes the events of all shards that run on this host.
//
// Instances take round robin from the shards that have attempts, and wait for all of them at one
// bell (queue.Bell), which each shard rings. What an instance takes at once is of one shard, and so
// are the events of a batch. The order of keys, retries, the breaker and the outcomes are those of
// each shard: see package delivery.
//
// Lock order: Source.mu, then the locks of package delivery.
package joint
