package admin

import "testing"

func TestPathsAreQuotedForTheShell(t *testing.T) {
	for path, want := range map[string]string{
		"/srv/berth-1/data_2/berth.db": "/srv/berth-1/data_2/berth.db",
		"/srv/my data/berth.db":        "'/srv/my data/berth.db'",
		"/srv/it's/berth.db":           `'/srv/it'\''s/berth.db'`,
		"/srv/$HOME;ls/berth.db":       "'/srv/$HOME;ls/berth.db'",
	} {
		if got := quoted(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
