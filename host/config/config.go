package config

import (
	"encoding/json"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// Config is a valid configuration with every default filled in. It is immutable after
// Parse, and safe for concurrent reads.
type Config struct {
	PluginDirectories []string // watched, in file order; relative to the working directory
	HotDrop           HotDrop
	Routes            []spec.Route // the operator's allow-list, in file order; at most one per pattern
	Handlers          map[string]Handler
	Schedules         []spec.Schedule  // in file order, names are unique
	EventTypes        []spec.EventType // likewise; Schema is nil for those with a File
	Defaults          Defaults
	Server            Server
	DataDir           string
	Bus               Bus
	Cluster           Cluster
	Auth              Auth
	Vet               Vet
	Marketplace       Marketplace
}

// HotDrop selects what happens to a file dropped into a watched directory whose
// handler has no `enabled`.
type HotDrop string

// The values of hot_drop.
const (
	HotDropEnable HotDrop = "enable" // it runs after the vet
	HotDropHold   HotDrop = "hold"   // it waits for the operator after the vet
)

// Handler is the section of one handler in the file. Resolve merges it with the defaults.
type Handler struct {
	Enabled   *bool           // nil where the file does not set it
	Paused    bool            // stays loaded and receives no events
	Start     Start           // used while it has no position in the log
	Config    json.RawMessage // a JSON object for the guest; {} where the file has none
	Grants    []spec.Grant    // sorted by name, at most one of each
	State     *spec.StateMode // nil: as the manifest says
	Batch     *Batch          // nil: as the manifest says
	Fair      spec.FairPolicy
	Shards    int // 0 where the file does not set it
	Overrides Overrides
}

// Overrides are the settings that the file sets; nil for the others.
type Overrides struct {
	Timeout       *time.Duration
	Memory        *int64
	Stack         *int64
	Concurrency   *int
	Fuel          *uint64
	Isolation     *spec.Isolation
	RecycleEvents *uint64
	RecycleAge    *time.Duration
	MaxAttempts   *int
	Backoff       *time.Duration
	MaxBackoff    *time.Duration
	OrderBy       *string

	BreakerFailures    *int // 0: no breaker
	BreakerCooldown    *time.Duration
	BreakerMaxCooldown *time.Duration

	Logs     *spec.KeptLogs
	LogLevel *spec.LogLevel
}

// Defaults are the settings of every handler that does not override them.
type Defaults struct {
	Overrides
	MemoryTotal int64 // bytes of all instances of all handlers; 0 for half of the machine's memory
}

// Server configures the HTTP server.
type Server struct {
	Listen          string        // host:port
	ShutdownTimeout time.Duration // how long requests and deliveries may take to finish
	TLS             TLS
	Insecure        bool // allows an address beyond loopback without TLS
	Metrics         Metrics
	RateLimit       RateLimit
	MaxInflight     int64 // bytes of all requests under way; 0 derives it from the memory
}

// Metrics selects who may read the metrics.
type Metrics string

// The values of server.metrics.
const (
	MetricsToken    Metrics = "token"    // tokens with the scope read
	MetricsLoopback Metrics = "loopback" // also programs on the same machine
)

// TLS names the files of a certificate and its key, both or neither.
type TLS struct {
	CertFile string `json:"cert_file"` // PEM: the certificate, followed by those that lead to its root
	KeyFile  string `json:"key_file"`  // PEM
}

// RateLimit bounds the requests of each token.
type RateLimit struct {
	RequestsPerSecond int `json:"requests_per_second"` // 0 for no limit
	Burst             int `json:"burst"`               // at once; 0 for as many as in a second
}

// Engine selects where the event log is kept.
type Engine string

// The engines.
const (
	EngineSQLite Engine = "sqlite" // one file in the data directory; durable
	EngineMemory Engine = "memory" // lost when the host stops

	EnginePostgres Engine = "postgres" // a PostgreSQL database, which several hosts share
)

// Bus configures the event log and the newest events in memory.
type Bus struct {
	Engine    Engine
	RingSize  int           // newest events in memory
	Retention time.Duration // age at which events that every handler has had are removed
	MaxSize   int64         // bytes of the log at which publishing is refused; 0 for no bound
	MaxAge    time.Duration // age at which events are removed in any case; at least Retention, 0 for never

	DeadLetters DeadLetters
	Postgres    Postgres
}

// DeadLetters configures the retention of deliveries that failed permanently.
type DeadLetters struct {
	Retention time.Duration // of them and their events; 0 for ever
}

// Postgres names the database of EnginePostgres.
type Postgres struct {
	URL            string // without a password; "" for none
	Password       Password
	Schema         string // of the tables
	MaxConnections int
}

// Password names where a password is; at most one of its fields is set, and none for a
// server that asks for no password. The file never holds the password itself.
type Password struct {
	Secret string `json:"secret,omitempty"` // a name, as of handlers' secrets
	File   string `json:"file,omitempty"`   // a path
	Env    string `json:"env,omitempty"`    // a variable of the environment
}

// Cluster configures a host among those that share a database.
type Cluster struct {
	Name     string // of this host; "" for the name of the machine
	URL      string // of its API, for the others; see member.Address
	Settings SettingsIn
}

// SettingsIn selects where decisions about handlers go that come by the API.
type SettingsIn string

// The values of cluster.settings.
const (
	SettingsDatabase SettingsIn = "database" // they hold for all hosts
	SettingsFile     SettingsIn = "file"     // they are refused: the file decides
)

// Vet bounds the child process that checks and compiles a module.
type Vet struct {
	Memory int64         // bytes
	CPU    time.Duration // CPU time, in whole seconds
	Wall   time.Duration // elapsed time
}

// Auth restricts the calls of the API.
type Auth struct {
	AllowedHosts []string // host names in requests, besides loopback and server.listen
}

// Marketplace configures where plugins may be installed from.
type Marketplace struct {
	Enabled           bool
	IndexURL          string   // https; http only to a host of AllowPrivateHosts
	TrustedKeys       []string // minisign public keys, base64
	AllowUnsigned     bool
	AllowPrivateHosts []string      // host names, addresses or CIDR ranges that may be private
	MinimumReleaseAge time.Duration // of a release that is installed
	Refresh           time.Duration // interval of fetches in the background; 0 for never
	Credentials       []Credential
	DockerConfig      string // path of docker's config.json with credentials of registries; "" for none
}

// Credential authenticates the host to one server of plugins.
type Credential struct {
	Host   string `json:"host"`   // host or host:port
	Secret string `json:"secret"` // name of a secret: a token, or user:password
	Type   string `json:"type"`   // bearer or basic
}

// Default returns the configuration of an empty file.
func Default() *Config {
	return &Config{
		PluginDirectories: []string{"plugins"},
		HotDrop:           HotDropEnable,
		Handlers:          map[string]Handler{},
		Vet:               Vet{Memory: 1 << 30, CPU: 5 * time.Second, Wall: 8 * time.Second},
		Server:            Server{Listen: "127.0.0.1:8080", Metrics: MetricsToken, ShutdownTimeout: 30 * time.Second},
		DataDir:           "data",
		Marketplace:       Marketplace{Refresh: 6 * time.Hour},
		Bus: Bus{Engine: EngineSQLite, RingSize: 4096, Retention: 7 * day, MaxAge: 30 * day,
			DeadLetters: DeadLetters{Retention: 30 * day}, Postgres: Postgres{Schema: "berth", MaxConnections: 16}},
		Cluster: Cluster{Settings: SettingsDatabase},
	}
}
