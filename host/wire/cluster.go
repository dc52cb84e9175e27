package wire

import "time"

// Cluster answers GET /api/v1/cluster: the hosts that share a database, as the host that answers
// saw them at its last renewal.
type Cluster struct {
	Shared  bool            `json:"shared"`            // false: the host runs alone
	Engine  string          `json:"engine"`            // bus.engine
	Host    string          `json:"host"`              // the name of the host that answers
	AgeMS   int64           `json:"age_ms"`            // since that renewal
	Problem string          `json:"problem,omitempty"` // why the host that answers cannot run handlers
	Members []ClusterMember `json:"members"`           // by name
	Units   []ClusterUnit   `json:"units"`             // by name
	// SettingsDiffer says that live members have different digests of their settings.
	SettingsDiffer bool `json:"settings_differ"`
	// Modules are the plugins of which live members have different modules.
	Modules []ClusterModules `json:"modules"`
	// Findings are what is wrong, problems first; none when all is well.
	Findings []Finding `json:"findings"`
}

// ClusterMember is one host of a cluster.
type ClusterMember struct {
	Name          string    `json:"name"`
	ID            string    `json:"id"` // of this start of the host
	URL           string    `json:"url"`
	Version       string    `json:"version"`
	StartedAt     time.Time `json:"started_at"`
	Alive         bool      `json:"alive"`    // it has renewed its lease within 3 s
	AgeMS         int64     `json:"age_ms"`   // since the host that answers first saw its newest renewal
	Draining      bool      `json:"draining"` // it takes no unit, and gives its own away
	Settings      string    `json:"settings"` // digest of the settings that all hosts should share
	Units         int       `json:"units"`    // that it owns
	ClockOffsetMS int64     `json:"clock_offset_ms"`
}

// ClusterUnit is a handler, a shard of one, or a job of the cluster, which runs on one host at a time.
type ClusterUnit struct {
	Name  string `json:"name"` // such as enrich, enrich/3 or :retention
	Kind  string `json:"kind" jsonschema:"enum=handler,enum=job"`
	Host  string `json:"host"`  // the name of the host that runs it; "" for none
	Epoch uint64 `json:"epoch"` // grows with each take
	// MovesTo is the name of the host that is to run it, if another one does now; "" otherwise.
	MovesTo string `json:"moves_to,omitempty"`
}

// ClusterModules are the modules that hosts have of one plugin.
type ClusterModules struct {
	Plugin  string          `json:"plugin"`
	Modules []ClusterModule `json:"modules"`
}

// ClusterModule is a module, and the hosts that have it.
type ClusterModule struct {
	SHA256 string   `json:"sha256"` // "" for none: the plugin is not active there
	Hosts  []string `json:"hosts"`
}
