package doctor

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/engine"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/secret"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/logread"
)

// StoreFile is the name of the store in the data directory.
const StoreFile = "berth.db"

// Evidence returns the files of a data directory whose existence proves that a host has
// had a store there: the lock of installed plugins, and the audit log if a host has
// written to it. Commands write to the audit log before the first start.
func Evidence(dataDir string) []string {
	list := []string{filepath.Join(dataDir, install.LockFile)}
	path := filepath.Join(dataDir, audit.File)
	f, err := os.Open(path)
	if err != nil {
		return list
	}
	defer f.Close()
	const limit = 1 << 20 // bytes of the log to read
	for lines := bufio.NewScanner(io.LimitReader(f, limit)); lines.Scan(); {
		var rec audit.Record
		if json.Unmarshal(lines.Bytes(), &rec) == nil && rec.Request != "" && !strings.HasPrefix(rec.Request, "berth ") {
			return append(list, path)
		}
	}
	return list
}

// inspectStore checks the event log.
func inspectStore(ctx context.Context, c *config.Config, dir string) (datafile.Inspection, Finding) {
	const check = "store"
	if c.Bus.Engine == config.EngineMemory {
		return datafile.Inspection{}, Warn(check, "bus.engine is memory: events, orders and outcomes are lost when the host stops",
			"bus: {engine: sqlite}, unless that is intended")
	}
	if c.Bus.Engine == config.EnginePostgres {
		return datafile.Inspection{}, database(ctx, c.Bus.Postgres, dir)
	}
	if c.Bus.Engine == config.EngineSQLite && engine.Marked(dir) {
		return datafile.Inspection{}, Warn(check, "a host has used "+dir+" with bus.engine postgres, and this configuration has another engine",
			"name the configuration of that host with --config")
	}
	path := filepath.Join(dir, StoreFile)
	found, err := datafile.Inspect(ctx, path, Evidence(dir)...)
	switch {
	case fault.Is(err, fault.Conflict):
		return found, Bad(check, err.Error(), "put the file back or restore a backup; otherwise start once with --accept-data-loss")
	case fault.Is(err, fault.NotFound):
		return found, Good(check, path+" does not exist yet; the first start creates it")
	case fault.Is(err, fault.Exhausted):
		return found, Warn(check, err.Error(), "free some space: a host starts and serves existing events, but refuses new ones")
	case fault.Is(err, fault.Internal):
		return found, Bad(check, err.Error(), "restore a backup, or export what can be read: berth doctor --repair")
	case err != nil:
		return found, Bad(check, err.Error(), "run the Berth that wrote it, or name another data directory")
	case found.InUse:
		return found, Good(check, fmt.Sprintf("%s is in use by a running host (pid %s)", path, found.PID))
	case found.Schema < found.Latest:
		return found, Good(check, fmt.Sprintf("%s can be read, up to event %d; the next start upgrades it from schema %d to %d", path,
			found.Last, found.Schema, found.Latest))
	}
	return found, Good(check, fmt.Sprintf("%s can be read, up to event %d; no host uses it", path, found.Last))
}

// database connects to the database of hosts that share one, and checks it.
func database(ctx context.Context, p config.Postgres, dir string) Finding {
	const check = "store"
	secrets := secret.Source{Directory: secret.Directory(filepath.Join(dir, "secrets")), Env: os.LookupEnv}
	found, err := engine.Examine(ctx, p, secrets, os.LookupEnv)
	switch {
	case fault.Is(err, fault.Unavailable):
		return Bad(check, err.Error(), "repair the server, or the network to it: a host does not start until it answers, and one that runs refuses events")
	case err != nil:
		return Bad(check, err.Error(), "correct that: a host does not start with it")
	case found.Schema == 0:
		return Good(check, "the database at bus.postgres.url answers (PostgreSQL "+found.Server+"), and has no store yet; the first start creates it")
	case !found.Standby:
		return Warn(check, "the database at bus.postgres.url answers (PostgreSQL "+found.Server+"), but waits for no standby: an acknowledged event is on one disk",
			"set synchronous_standby_names for a second copy, unless that is intended")
	}
	return Good(check, "the database at bus.postgres.url answers (PostgreSQL "+found.Server+"); its server checks the data")
}

// storeCheckTime bounds the reading of a store.
const storeCheckTime = time.Minute

// readStore reads every page and event of an existing store.
func readStore(ctx context.Context, path string) (findings []Finding) {
	const check = "store content"
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeCheckTime)
	defer cancel()
	found, err := logread.Check(ctx, path)
	for _, text := range found.Pages {
		findings = append(findings, Bad(check, "SQLite finds: "+text,
			"restore a backup, or export what can be read (berth doctor --repair); until then events on that page cannot be read or "+
				"written"))
	}
	for _, bad := range found.Events {
		skip := fmt.Sprintf("berth events skip %d", bad.Seq)
		if bad.To > bad.Seq {
			skip += fmt.Sprintf(" --to %d", bad.To)
		}
		findings = append(findings, Bad(check, bad.Error(), "restore a backup, or skip the unreadable events: "+skip))
	}
	for _, bad := range found.Outcomes {
		findings = append(findings, Bad(check, bad.Error(), "restore a backup if the history of these events is needed; a host "+
			"delivers those of them again that follow the handler's cursor"))
	}
	switch {
	case ctx.Err() != nil:
		findings = append(findings, Warn(check, fmt.Sprintf("the store was not read to its end within %s", storeCheckTime),
			"check it with the sqlite3 shell: PRAGMA quick_check"))
	case err != nil:
		findings = append(findings, Bad(check, err.Error(), "restore a backup, or export what can be read: berth doctor --repair"))
	case findings == nil:
		findings = append(findings, Good(check, "every page, every event and every outcome can be read"))
	}
	return findings
}
