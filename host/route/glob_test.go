package route

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatchGlob(t *testing.T) {
	tests := []struct {
		glob, s string
		want    bool
	}{
		{"*", "", true},
		{"*", "a", true},
		{"a", "a", true},
		{"a", "ab", false},
		{"ab", "a", false},
		{"a*", "a", true},
		{"*a", "ba", true},
		{"*a", "ab", false},
		{"a*b*c", "axbxbxc", true},
		{"a*b*c", "axbx", false},
		{"**", "x", true},
		{"a.b", "axb", false},
		{"*ab", "aab", true},
		{"*a*a*", "a", false},
	}
	for _, tt := range tests {
		if got := match(tt.glob, tt.s); got != tt.want {
			t.Errorf("match(%q, %q): got %v, want %v", tt.glob, tt.s, got, tt.want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("order_*", "order_status_changed")
	f.Add("a*b*c", "axbxbxc")
	f.Add("***", "")
	f.Fuzz(func(t *testing.T, glob, s string) {
		if len(glob) > 128 || len(s) > 128 {
			return
		}
		parts := strings.Split(glob, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		re, err := regexp.Compile(`^(?s:` + strings.Join(parts, ".*") + `)$`)
		if err != nil || strings.ToValidUTF8(s, "") != s {
			return // the model works on characters, not bytes
		}
		if got, want := match(glob, s), re.MatchString(s); got != want {
			t.Errorf("match(%q, %q): got %v, want %v", glob, s, got, want)
		}
	})
}
