package config

import (
	"encoding/json"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// Config is one configuration, checked, with every default filled in. It is a
// plain value that nothing changes after Parse: safe for concurrent reads.
type Config struct {
	PluginDirectories []string // watched directories, in file order; relative ones are relative to the working directory
	HotDrop           HotDrop
	Routes            []spec.Route // the operator's allow-list, in file order; at most one per pattern
	Handlers          map[string]Handler
	Defaults          Defaults
	Server            Server
	DataDir           string
	Bus               Bus
	Auth              Auth
	Vet               Vet
	Marketplace       Marketplace
}

// HotDrop says what becomes of a file dropped into a watched directory whose
// handler has no `enabled` of its own.
type HotDrop string

// The answers to a dropped file.
const (
	HotDropEnable HotDrop = "enable" // vetted, then run
	HotDropHold   HotDrop = "hold"   // vetted, then waits for the operator
)

// Handler is what the file says of one handler. Resolve merges it with the rest.
type Handler struct {
	Enabled   *bool           // nil when the file does not say
	Paused    bool            // at work, but gets no events
	Start     Start           // where it begins when it has no place in the log yet
	Config    json.RawMessage // what the guest reads: a JSON object, {} when the file has none
	Grants    []spec.Grant    // sorted by name, at most one of each
	Overrides Overrides
}

// Overrides are settings somebody wrote down; nil means not said.
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
}

// Defaults are the settings of every handler that does not have its own.
type Defaults struct {
	Overrides
	MemoryTotal int64 // bytes all handlers' memories may take together; 0 for half of what there is
}

// Server is the HTTP server.
type Server struct {
	Listen          string        // host:port
	ShutdownTimeout time.Duration // how long requests and deliveries may take to finish
	TLS             TLS
	Insecure        bool // may listen beyond loopback without TLS
	RateLimit       RateLimit
	MaxInflight     int64 // bytes of the requests under way; 0: as the memory allows
}

// TLS names the files of a certificate and its key, both or neither.
type TLS struct {
	CertFile string `json:"cert_file"` // PEM: the certificate, then those that lead to its root
	KeyFile  string `json:"key_file"`  // PEM
}

// RateLimit bounds the requests of each token.
type RateLimit struct {
	RequestsPerSecond int `json:"requests_per_second"` // 0: no limit
	Burst             int `json:"burst"`               // at once; 0: as many as in a second
}

// Engine is where the event log is kept.
type Engine string

// The engines.
const (
	EngineSQLite Engine = "sqlite" // one file in the data directory; durable
	EngineMemory Engine = "memory" // gone when the host stops
)

// Bus is the event log and the ring in front of it.
type Bus struct {
	Engine    Engine
	RingSize  int           // events kept in memory for the readers
	Retention time.Duration // how long the log keeps an event and its idempotency key; longer until every handler has had it
	MaxSize   int64         // bytes of the log at which publishers are refused; 0 for no bound
	MaxAge    time.Duration // events older than this go even if a handler has not had them; at least Retention, 0 for never

	DeadLetters DeadLetters
}

// DeadLetters is what is kept of deliveries that have failed for good.
type DeadLetters struct {
	Retention time.Duration // how long, with their events; 0 for ever
}

// Vet bounds the child process that checks and compiles a module.
type Vet struct {
	Memory int64         // bytes
	CPU    time.Duration // of CPU time, counted in whole seconds
	Wall   time.Duration
}

// Auth is who may call the API.
type Auth struct {
	AllowedHosts []string // names the API may be called by, besides loopback and server.listen
}

// Marketplace is where plugins may be installed from.
type Marketplace struct {
	Enabled           bool
	IndexURL          string   // https; http only to a host of AllowPrivateHosts
	TrustedKeys       []string // minisign public keys, base64
	AllowUnsigned     bool
	AllowPrivateHosts []string      // host names, addresses or CIDR ranges that may be private
	MinimumReleaseAge time.Duration // how long a release must have been out before it is installed
	Refresh           time.Duration // how often the list is fetched although nobody asks for it; 0 for never
	Credentials       []Credential
	DockerConfig      string // docker's config.json with credentials of registries; "" for none
}

// Credential is what one server of plugins is shown.
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
		Server:            Server{Listen: "127.0.0.1:8080", ShutdownTimeout: 30 * time.Second},
		DataDir:           "data",
		Marketplace:       Marketplace{Refresh: 6 * time.Hour},
		Bus: Bus{Engine: EngineSQLite, RingSize: 4096, Retention: 7 * 24 * time.Hour, MaxAge: 30 * 24 * time.Hour,
			DeadLetters: DeadLetters{Retention: 30 * 24 * time.Hour}},
	}
}
