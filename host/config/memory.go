package config

// MemoryTotal returns the limit of the memory of all instances together, in bytes:
// defaults.memory_total, or half of the available memory; 0 for no limit.
func (c *Config) MemoryTotal(available int64) int64 {
	if c.Defaults.MemoryTotal > 0 {
		return c.Defaults.MemoryTotal
	}
	return available / 2
}
