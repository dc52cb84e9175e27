package logquota

import "testing"

// TestQuotaCountsRefusedLines: lines and bytes are bounded, each by itself, and the number of
// refused lines is reported once.
func TestQuotaCountsRefusedLines(t *testing.T) {
	for name, size := range map[string]int{"lines": 0, "bytes": bytesBurst / 10} {
		t.Run(name, func(t *testing.T) {
			q := New()
			refused := 0
			for range 10 * linesBurst { // takes less time than the quota of these needs
				if !q.Allow(size) {
					refused++
				}
			}
			if refused == 0 {
				t.Fatal("every line is allowed")
			}
			if n := q.Missed(); n != int64(refused) {
				t.Errorf("%d lines were missed, want %d", n, refused)
			}
			if n := q.Missed(); n != 0 {
				t.Errorf("%d lines were missed twice", n)
			}
		})
	}
}

func TestNilQuotaAllowsAll(t *testing.T) {
	var q *Quota
	for range 10 * linesBurst {
		if !q.Allow(bytesBurst) {
			t.Fatal("a line is refused")
		}
	}
	if n := q.Missed(); n != 0 {
		t.Errorf("%d lines were missed", n)
	}
}
