package sources

import (
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
)

// The source of a release omits the parts of its URL that may be secret.
func TestReleaseByURLOmitsSecrets(t *testing.T) {
	const sum = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
	rel, err := byURL(install.Request{URL: "https://ada:pass@a.example/x.wasm?token=1#f", SHA256: sum, Name: "x"})
	if err != nil || rel.Source != "url https://a.example/x.wasm" || rel.SHA256[:4] != "e3b0" || rel.Name != "x" {
		t.Errorf("got %+v, %v", rel, err)
	}
	for _, bad := range []string{"", "12", sum + "00", "z" + sum[1:]} {
		if _, err := byURL(install.Request{URL: "https://a.example/", SHA256: bad}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
