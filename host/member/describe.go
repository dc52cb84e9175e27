package member

import (
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/berth-host/berth/host/spec"
)

// Description is what a host says of itself to the others. All fields are required.
type Description struct {
	Name        string // cluster.name; "" is the name of the machine
	URL         func() string
	Version     string
	Fingerprint func() string // of the settings that all hosts should share
	Watched     func() bool   // a client follows its event stream
}

// Describe returns the function that describes this start of the host; modules are those that can
// run here.
func Describe(d Description, modules func() map[string]string) (func() spec.Member, error) {
	if d.Name == "" {
		var err error
		if d.Name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("name of the machine, for cluster.name: %w", err)
		}
	}
	id, started := uuid.NewString(), time.Now().UTC()
	return func() spec.Member {
		return spec.Member{ID: id, Name: d.Name, URL: d.URL(), Version: d.Version, Settings: d.Fingerprint(), Modules: modules(),
			Watched: d.Watched(), StartedAt: started}
	}, nil
}
