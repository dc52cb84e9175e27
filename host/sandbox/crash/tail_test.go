package crash

import (
	"fmt"
	"strings"
	"testing"
)

// TestLongStackDoesNotDisplaceCrash: a stack beyond maxTail does not displace the panic
// before it.
func TestLongStackDoesNotDisplaceCrash(t *testing.T) {
	frames := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "example.com/shop.f%d(0x1, 0x2)\n\texample.com/shop/deep.go:%d +0x1\n", i, i+1)
		}
		return b.String()
	}
	const panicked = "panic: deep\n\ngoroutine 1 [running]:\n"
	const headline = "panic: deep (shop/deep.go:1)"
	for _, tt := range []struct {
		name, stderr, want string
	}{
		{"short", panicked + frames(3), headline},
		{"long", panicked + frames(1000), headline},
		{"much before it", strings.Repeat("a line\n", 20_000) + panicked + frames(1000), headline},
		{"an older one does not count", "panic: old\n\n" + strings.Repeat("a line\n", 3000) + panicked + frames(1000), headline},
		{"the end is plain, after a crash that was survived", "panic: old\n\n" + strings.Repeat("a line\n", 3000), "panic: old"},
		{"no crash", strings.Repeat("a line\n", 3000), ""},
	} {
		for _, step := range []int{1, 7, 4096, len(tt.stderr)} {
			var kept Tail
			for left := tt.stderr; left != ""; {
				n := min(step, len(left))
				if got, err := kept.Write([]byte(left[:n])); got != n || err != nil {
					t.Fatalf("%s: Write returned %d, %v", tt.name, got, err)
				}
				left = left[n:]
			}
			text := kept.Text()
			if got, _ := Find(text); got != tt.want {
				t.Errorf("%s, %d bytes at a time: got %q, want %q", tt.name, step, got, tt.want)
			}
			if len(text) > maxTail+maxHead+8 {
				t.Errorf("%s: %d bytes are kept", tt.name, len(text))
			}
			if end := tt.stderr[max(0, len(tt.stderr)-maxTail):]; !strings.HasSuffix(text, strings.TrimSpace(end)) {
				t.Errorf("%s: the end is lost", tt.name)
			}
		}
	}
	var kept Tail
	if n, err := kept.Write(make([]byte, maxOutput)); n != maxOutput || err != nil {
		t.Errorf("a write at the quota returned %d, %v", n, err)
	}
	if _, err := kept.Write([]byte{1}); err == nil {
		t.Error("a write over the quota was accepted")
	}
	kept.Reset()
	if got := kept.Text(); got != "" {
		t.Errorf("after reset it has %q", got)
	}
}
