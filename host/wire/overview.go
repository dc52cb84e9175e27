package wire

import "time"

// Overview answers GET /api/v1/overview: is anything wrong, and since when. Rates are of the
// last minute.
type Overview struct {
	Version        string           `json:"version"`
	Host           string           `json:"host"`  // name of the machine
	Hosts          int              `json:"hosts"` // live ones of the cluster; 0 for a host that runs alone
	StartedAt      time.Time        `json:"started_at"`
	Ready          bool             `json:"ready"`
	Problem        string           `json:"problem,omitempty"` // why it is not ready
	EventsPerS     float64          `json:"events_per_s"`
	DeliveriesPerS float64          `json:"deliveries_per_s"`
	OKShare        float64          `json:"ok_share"`       // of the attempts of the last hour, 0 to 1; 1 without any
	LatencyP50MS   float64          `json:"latency_p50_ms"` // publish to delivered
	LatencyP99MS   float64          `json:"latency_p99_ms"`
	OldestAt       *time.Time       `json:"oldest_at" jsonschema:"nullable"` // of the oldest event that waits for a running handler
	OpenIssues     int              `json:"open_issues"`
	DeadLetters    uint64           `json:"dead_letters"`
	Scheduled      int64            `json:"scheduled"`  // events that are not due yet
	Operations     int              `json:"operations"` // running
	Approvals      int              `json:"approvals"`  // plugins that wait for approval
	Disk           OverviewDisk     `json:"disk"`
	MemoryBytes    uint64           `json:"memory_bytes"` // resident, of the host
	Handlers       []HandlerSummary `json:"handlers"`     // worst first
}

// OverviewDisk is the disk of the data directory.
type OverviewDisk struct {
	FreeBytes  uint64 `json:"free_bytes"`
	TotalBytes uint64 `json:"total_bytes"`
	StoreBytes uint64 `json:"store_bytes"` // of the store's files
}

// HandlerSummary is one handler's figures. Counters and distributions are since the host
// started; rates are of the last minute.
type HandlerSummary struct {
	Plugin        string      `json:"plugin"`
	Version       string      `json:"version"`
	SHA256        string      `json:"sha256"`
	State         PluginState `json:"state"`
	Reason        string      `json:"reason"`
	Since         time.Time   `json:"since"`
	PerS          float64     `json:"per_s"`        // attempts
	FailedShare   float64     `json:"failed_share"` // of the attempts of the last hour, 0 to 1
	Lag           uint64      `json:"lag"`
	OldestAt      *time.Time  `json:"oldest_at" jsonschema:"nullable"`
	DurationP50MS float64     `json:"duration_p50_ms"` // of the last hour; 0 without attempts
	DurationP99MS float64     `json:"duration_p99_ms"`
	FuelPerEvent  float64     `json:"fuel_per_event"`
	MemoryBytes   uint64      `json:"memory_bytes"` // of its instances
	Instances     int         `json:"instances"`
	Dead          uint64      `json:"dead"` // dead letters
	OpenIssues    int         `json:"open_issues"`
}

// Series answers GET /api/v1/series?plugin&range: figures of the host, or of one plugin, over
// time. Every list of Values has one number for each step; null where the host did not run, and
// where there was nothing to measure, such as the latency of no delivery.
type Series struct {
	Plugin  string                `json:"plugin,omitempty"`
	Start   time.Time             `json:"start"` // of the first step
	StepS   int                   `json:"step_s"`
	Values  map[string][]*float64 `json:"values"`  // by name, such as events_per_s
	Markers []VersionMarker       `json:"markers"` // versions that became active in the time shown
}

// VersionMarker is the time at which a version of a plugin first became active.
type VersionMarker struct {
	Plugin  string    `json:"plugin"`
	Version string    `json:"version"`
	SHA256  string    `json:"sha256"`
	At      time.Time `json:"at"`
}

// Session answers GET /api/v1/session: what the caller's token is and may do.
type Session struct {
	Token   string     `json:"token"` // id; "" for the admin token
	Name    string     `json:"name"`
	Scopes  []string   `json:"scopes"`
	Expires *time.Time `json:"expires" jsonschema:"nullable"` // of the session or the token
	Version string     `json:"version"`
	Host    string     `json:"host"`
}
