package host

import "testing"

func TestInflightByMemory(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, tt := range []struct{ available, handlers, want int64 }{
		{0, 0, 128 * mib}, // unknown
		{256 * mib, 128 * mib, 32 * mib},
		{1 * gib, 512 * mib, 32 * mib},
		{1*gib + 16*mib - 1, 512 * mib, 32 * mib},
		{1*gib + 16*mib, 512 * mib, 33 * mib},
		{4 * gib, 2 * gib, 128 * mib},
		{24 * gib, 12 * gib, 768 * mib},
		{64 * gib, 16 * gib, 1 * gib},
		{1 * gib, 8 * gib, 32 * mib}, // more than available
	} {
		if got := inflightOf(tt.available, tt.handlers); got != tt.want {
			t.Errorf("%d MiB, %d of them for handlers: got %d, want %d", tt.available/mib, tt.handlers/mib, got, tt.want)
		}
	}
}
