// Package keyvalue keeps the key-value state of plugins in PostgreSQL.
//
// A Batch evaluates writes in memory, in a transaction that holds the usage rows of their
// plugins: Load locks them and reads the keys, Judge and Apply use the effects of deliveries in
// their order, and Flush writes the last value of each key. So a transaction needs two round
// trips, however many writes it has, and the quota is exact.
//
// State has the methods of bus.State. It gathers the direct writes that arrive while a
// transaction of the same plugin is under way, and stores them in the next one. The writes of
// two plugins never wait for each other.
//
// Time limits are compared with the clock of Config. The values whose time is over are absent
// at once, and are removed when their bytes are needed, or by RemoveExpired.
//
// Read batch.go first, then state.go and group.go.
package keyvalue
