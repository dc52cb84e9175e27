package metrics

import (
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/berth-host/berth/host/telemetry/figures"
)

// definitions are all metrics of the host, in the order of the documentation.
func definitions() []definition {
	list := hostMetrics()
	list = append(list, handlerMetrics()...)
	list = append(list, storeMetrics()...)
	list = append(list, clusterMetrics()...)
	list = append(list, databaseMetrics()...)
	return append(list, apiMetrics()...)
}

// eachSchedule emits a value for each schedule.
func eachSchedule(emit func(figures.Schedule, emitter)) func(*figures.Host, emitter) {
	return func(f *figures.Host, e emitter) {
		for _, s := range f.Schedules {
			emit(s, e)
		}
	}
}

func hostMetrics() []definition {
	schedule := []string{"schedule"}
	return []definition{
		{"berth_build_info", gauge, "Always 1; the labels have the version of the host, of Go, and the engine of the log.",
			[]string{"version", "go_version", "engine"}, func(f *figures.Host, e emitter) { e.value(1, f.Version, runtime.Version(), f.Engine) }},
		{"berth_ready", gauge, "1 when /readyz answers ready, otherwise 0.", nil, func(f *figures.Host, e emitter) { e.flag(f.Problem == "") }},
		{"berth_unknown_figures", gauge, "Parts of the host whose figures could not be read for this scrape; their metrics are missing.", nil,
			func(f *figures.Host, e emitter) { e.value(float64(f.Unknown)) }},
		{"berth_events_published_total", counter,
			"Events appended to the log, by type (other beyond the first 200 types) and publisher: api, orders, plugin, schedule or unknown.",
			[]string{"type", "source"}, func(f *figures.Host, e emitter) {
				for _, p := range f.Published {
					e.value(float64(p.Count), p.Type, p.Source)
				}
			}},
		{"berth_event_type_violations_total", counter,
			"Events that the schema of their type refused: those that were not published, and with mode warn those that were.", []string{"type"},
			func(f *figures.Host, e emitter) {
				for _, typ := range slices.Sorted(maps.Keys(f.Violations)) {
					e.value(float64(f.Violations[typ]), typ)
				}
			}},
		{"berth_schedule_events_total", counter, "Events that a schedule has published at its due times, since it has these due times.", schedule,
			eachSchedule(func(s figures.Schedule, e emitter) { e.value(float64(s.Published), s.Name) })},
		{"berth_schedule_missed_total", counter, "Due times of a schedule that were missed and got no event, likewise.", schedule,
			eachSchedule(func(s figures.Schedule, e emitter) { e.value(float64(s.Missed), s.Name) })},
		{"berth_schedule_failures_total", counter, "Attempts to publish the event of a schedule that failed.", schedule,
			eachSchedule(func(s figures.Schedule, e emitter) { e.value(float64(s.Failed), s.Name) })},
		{"berth_schedule_next_due_timestamp_seconds", gauge, "The next due time of a schedule; absent while it is paused.", schedule,
			eachSchedule(func(s figures.Schedule, e emitter) { e.timestamp(s.NextDue, s.Name) })},
		{"berth_guest_memory_bytes", gauge, "Memory of all instances of all handlers.", nil,
			func(f *figures.Host, e emitter) { e.value(float64(f.GuestMemory)) }},
		{"berth_guest_memory_limit_bytes", gauge, "The bound of berth_guest_memory_bytes (defaults.memory_total).", nil,
			func(f *figures.Host, e emitter) {
				if f.MemoryLimit > 0 {
					e.value(float64(f.MemoryLimit))
				}
			}},
		{"berth_operations_running", gauge, "Replays, redrives and retries of many events that are under way.", nil,
			func(f *figures.Host, e emitter) { e.value(float64(f.Operations)) }},
		{"berth_module_vet_duration_seconds", histograms, "Time to check and compile a module, or to find it in the cache, by result: ok, refused or failed.",
			[]string{"result"}, func(f *figures.Host, e emitter) { e.timings(f.Vets) }},
		{"berth_module_load_duration_seconds", histograms, "Time to vet a module and to load its compiled code, by result.",
			[]string{"result"}, func(f *figures.Host, e emitter) { e.timings(f.Loads) }},
		{"berth_marketplace_enabled", gauge, "1 when the marketplace is configured, otherwise 0.", nil,
			func(f *figures.Host, e emitter) { e.flag(f.Marketplace.Enabled) }},
		{"berth_marketplace_refreshed_timestamp_seconds", gauge, "When the marketplace's list was last confirmed; absent for never.", nil,
			func(f *figures.Host, e emitter) { e.timestamp(f.Marketplace.Fetched) }},
		{"berth_marketplace_refresh_failures_total", counter, "Refreshes of the marketplace's list in the background that failed.", nil,
			func(f *figures.Host, e emitter) { e.value(float64(f.Marketplace.Failures)) }},
	}
}

func handlerMetrics() []definition {
	plugin := []string{"plugin"}
	return []definition{
		{"berth_handler_info", gauge, "Always 1; the labels have the handler's version, module and state.",
			[]string{"plugin", "version", "sha256", "state"}, eachHandler(func(h *figures.Handler, e emitter) {
				e.value(1, h.Plugin, h.Version, h.SHA256, string(h.State))
			})},
		{"berth_handler_state_since_timestamp_seconds", gauge, "When the handler entered its state.", plugin,
			eachHandler(func(h *figures.Handler, e emitter) { e.timestamp(h.Since, h.Plugin) })},
		{"berth_deliveries_total", counter, "Deliveries that ended, by outcome: ok or dead.", []string{"plugin", "version", "outcome"},
			eachVersion(func(h *figures.Handler, v *figures.Version, e emitter) {
				e.value(float64(v.OK), h.Plugin, v.Version, "ok")
				e.value(float64(v.Dead), h.Plugin, v.Version, "dead")
			})},
		{"berth_delivery_attempts_total", counter, "Attempts that ended, successful and failed; not those that the host cancelled.",
			[]string{"plugin", "version"}, eachVersion(func(h *figures.Handler, v *figures.Version, e emitter) {
				e.value(float64(v.OK+v.Failed()), h.Plugin, v.Version)
			})},
		{"berth_delivery_failures_total", counter, "Failed attempts, by error class.", []string{"plugin", "version", "class"},
			eachVersion(func(h *figures.Handler, v *figures.Version, e emitter) {
				for class, n := range v.Failures {
					e.value(float64(n), h.Plugin, v.Version, class)
				}
			})},
		{"berth_delivery_conflicts_total", counter, "Runs of handlers with state: atomic that another delivery's writes made void; they run again and count as no attempt.",
			[]string{"plugin", "version"}, eachVersion(func(h *figures.Handler, v *figures.Version, e emitter) {
				e.value(float64(v.Conflicts), h.Plugin, v.Version)
			})},
		{"berth_delivery_attempt_duration_seconds", histograms, "Duration of attempts, with what they waited for.", []string{"plugin", "version"},
			eachVersion(func(h *figures.Handler, v *figures.Version, e emitter) { e.durations(v.Duration, h.Plugin, v.Version) })},
		{"berth_delivery_latency_seconds", histograms, "Time from the publication of an event, or from when it was due, to the end of its successful delivery, waiting and retries included; without events that were given to the handler again.",
			[]string{"plugin", "version"},
			eachVersion(func(h *figures.Handler, v *figures.Version, e emitter) { e.latencies(v.Latency, h.Plugin, v.Version) })},
		{"berth_delivery_attempt_fuel", histograms, "Fuel of attempts: about one for each simple instruction.", []string{"plugin", "version"},
			eachVersion(func(h *figures.Handler, v *figures.Version, e emitter) { e.fuel(v.Fuel, h.Plugin, v.Version) })},
		{"berth_handler_lag_events", gauge, "Events of the log that are not final for the handler.", plugin,
			eachHandler(func(h *figures.Handler, e emitter) { e.value(float64(h.Lag), h.Plugin) })},
		{"berth_handler_queue_events", gauge, "Events in the handler's queue: ready (may start now) and open (not final).",
			[]string{"plugin", "state"}, eachHandler(func(h *figures.Handler, e emitter) {
				e.value(float64(h.Ready), h.Plugin, "ready")
				e.value(float64(h.Open), h.Plugin, "open")
			})},
		{"berth_handler_oldest_event_age_seconds", gauge, "Age of the oldest event that waits for the handler; 0 when none waits.", plugin,
			func(f *figures.Host, e emitter) {
				eachHandler(func(h *figures.Handler, e emitter) {
					age := 0.0
					if !h.OldestAt.IsZero() {
						age = max(0, f.At.Sub(h.OldestAt).Seconds())
					}
					e.value(age, h.Plugin)
				})(f, e)
			}},
		{"berth_handler_instances", gauge, "Live instances.", plugin,
			eachHandler(func(h *figures.Handler, e emitter) { e.value(float64(h.Instances), h.Plugin) })},
		{"berth_handler_memory_bytes", gauge, "Memory of the handler's instances.", plugin,
			eachHandler(func(h *figures.Handler, e emitter) { e.value(float64(h.MemoryBytes), h.Plugin) })},
		{"berth_handler_breaker_open", gauge, "1 while the handler's breaker is open, otherwise 0.", plugin,
			eachHandler(func(h *figures.Handler, e emitter) { e.flag(h.BreakerOpen, h.Plugin) })},
		{"berth_dead_letters", gauge, "Dead letters that are stored.", plugin,
			eachHandler(func(h *figures.Handler, e emitter) { e.value(float64(h.Dead), h.Plugin) })},
		{"berth_issues_open", gauge, "Issues that are open or acknowledged.", plugin,
			eachHandler(func(h *figures.Handler, e emitter) { e.value(float64(h.OpenIssues), h.Plugin) })},
	}
}

func storeMetrics() []definition {
	return []definition{
		{"berth_log_events", gauge, "Events in the log.", nil, ofLog(func(f *figures.Host) float64 { return float64(f.Log.Events) })},
		{"berth_log_scheduled_events", gauge, "Events that are not due yet, which are not in the log.", nil,
			ofLog(func(f *figures.Host) float64 { return float64(f.Log.Scheduled) })},
		{"berth_log_bytes", gauge, "Bytes of the events in the log, and of scheduled and cancelled ones.", nil, ofLog(func(f *figures.Host) float64 { return float64(f.Log.Bytes) })},
		{"berth_log_limit_bytes", gauge, "The bound of berth_log_bytes at which publishing is refused (bus.max_size); 0 for none.", nil,
			ofLog(func(f *figures.Host) float64 { return float64(f.Log.MaxBytes) })},
		{"berth_log_oldest_event_timestamp_seconds", gauge, "When the oldest event of the log was appended; absent for an empty log.", nil,
			func(f *figures.Host, e emitter) {
				if f.Log != nil {
					e.timestamp(f.Log.OldestAt)
				}
			}},
		{"berth_store_commit_writes", histograms, "Writes that one commit of the store joined.", nil,
			func(f *figures.Host, e emitter) {
				if f.Commits != nil {
					e.sizes(&f.Commits.Writes)
				}
			}},
		{"berth_store_commit_events", histograms, "Events that one commit of the store appended.", nil,
			func(f *figures.Host, e emitter) {
				if f.Commits != nil {
					e.sizes(&f.Commits.Events)
				}
			}},
		{"berth_store_commit_duration_seconds", histograms, "Duration of the commits of the store, each with its flush to the disk.", nil,
			func(f *figures.Host, e emitter) {
				if f.Commits != nil {
					e.durations(&f.Commits.Duration)
				}
			}},
		{"berth_store_commit_failures_total", counter, "Commits of the store that failed.", nil,
			func(f *figures.Host, e emitter) {
				if f.Commits != nil {
					e.value(float64(f.Commits.Failed))
				}
			}},
		{"berth_store_file_bytes", gauge, "Size of the store's files: data, and wal (its write-ahead log).", []string{"file"},
			func(f *figures.Host, e emitter) {
				e.value(float64(f.Files.Data), "data")
				e.value(float64(f.Files.WAL), "wal")
			}},
		{"berth_disk_free_bytes", gauge, "Free space for the host on the disk of the data directory.", nil,
			func(f *figures.Host, e emitter) {
				if f.Disk != nil {
					e.value(float64(f.Disk.Free))
				}
			}},
		{"berth_disk_size_bytes", gauge, "Size of the disk of the data directory.", nil,
			func(f *figures.Host, e emitter) {
				if f.Disk != nil {
					e.value(float64(f.Disk.Total))
				}
			}},
	}
}

func apiMetrics() []definition {
	return []definition{
		{"berth_api_requests_total", counter, "Requests, by endpoint and class of their status: 2xx, 3xx, 4xx or 5xx.",
			[]string{"method", "route", "code"}, func(f *figures.Host, e emitter) {
				classes := [6]string{2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
				for i := range f.Requests {
					r := &f.Requests[i]
					for class, name := range classes {
						if name != "" && (r.Classes[class] > 0 || class == 2) {
							e.value(float64(r.Classes[class]), r.Method, r.Route, name)
						}
					}
				}
			}},
		{"berth_api_request_duration_seconds", histograms, "Duration of requests, by endpoint; not of event streams.",
			[]string{"method", "route"}, func(f *figures.Host, e emitter) {
				for i := range f.Requests {
					r := &f.Requests[i]
					if r.Duration.Count() > 0 {
						e.durations(&r.Duration, r.Method, r.Route)
					}
				}
			}},
		{"berth_api_refusals_total", counter, "Refused requests, by reason: unauthenticated (401), forbidden (403) or rate_limited (429).",
			[]string{"reason"}, func(f *figures.Host, e emitter) {
				var refused [3]uint64
				for i := range f.Requests {
					for j, n := range f.Requests[i].Refused {
						refused[j] += n
					}
				}
				for j, reason := range [3]string{"unauthenticated", "forbidden", "rate_limited"} {
					e.value(float64(refused[j]), reason)
				}
			}},
		{"berth_api_event_streams", gauge, "Event streams that are open.", nil,
			func(f *figures.Host, e emitter) { e.value(float64(f.EventStreams)) }},
	}
}

func eachHandler(read func(*figures.Handler, emitter)) func(*figures.Host, emitter) {
	return func(f *figures.Host, e emitter) {
		for i := range f.Handlers {
			read(&f.Handlers[i], e)
		}
	}
}

func eachVersion(read func(*figures.Handler, *figures.Version, emitter)) func(*figures.Host, emitter) {
	return eachHandler(func(h *figures.Handler, e emitter) {
		for i := range h.Versions {
			read(h, &h.Versions[i], e)
		}
	})
}

func ofLog(read func(*figures.Host) float64) func(*figures.Host, emitter) {
	return func(f *figures.Host, e emitter) {
		if f.Log != nil {
			e.value(read(f))
		}
	}
}

// unixSeconds returns a time as Prometheus has it.
func unixSeconds(t time.Time) float64 { return float64(t.UnixNano()) / float64(time.Second) }

// inCluster emits a value of a host that is a member of a cluster.
func inCluster(emit func(*figures.Cluster, emitter)) func(*figures.Host, emitter) {
	return func(f *figures.Host, e emitter) {
		if f.Cluster != nil {
			emit(f.Cluster, e)
		}
	}
}

// clusterMetrics are absent on a host that runs alone.
func clusterMetrics() []definition {
	return []definition{
		{"berth_cluster_members", gauge, "Live hosts of the cluster, as this host sees it; like all of berth_cluster, absent on a host that runs alone.", nil,
			inCluster(func(c *figures.Cluster, e emitter) { e.value(float64(c.Members)) })},
		{"berth_cluster_units", gauge, "Handlers and jobs that this host runs for the cluster.", nil,
			inCluster(func(c *figures.Cluster, e emitter) { e.value(float64(c.Units)) })},
		{"berth_cluster_units_waiting", gauge, "Handlers and jobs that a live host can run and none does, as this host sees it: 0 except during a hand-over.", nil,
			inCluster(func(c *figures.Cluster, e emitter) { e.value(float64(c.Waiting)) })},
		{"berth_cluster_lease_age_seconds", gauge, "Time since this host sent its newest renewal that was confirmed: from 2 s on it begins no attempt.", nil,
			inCluster(func(c *figures.Cluster, e emitter) { e.value(c.LeaseAge.Seconds()) })},
		{"berth_cluster_clock_offset_seconds", gauge, "How far the clock of this host is ahead of the database's.", nil,
			inCluster(func(c *figures.Cluster, e emitter) { e.value(c.ClockOffset.Seconds()) })},
		{"berth_cluster_renewals_total", counter, "Renewals of this host's lease, by result: ok or failed.", []string{"result"},
			inCluster(func(c *figures.Cluster, e emitter) {
				e.value(float64(c.Renewals), "ok")
				e.value(float64(c.Failed), "failed")
			})},
		{"berth_cluster_takes_total", counter, "Handlers and jobs that this host has taken.", nil,
			inCluster(func(c *figures.Cluster, e emitter) { e.value(float64(c.Takes)) })},
		{"berth_cluster_gives_total", counter, "Handlers and jobs that this host has given away.", nil,
			inCluster(func(c *figures.Cluster, e emitter) { e.value(float64(c.Gives)) })},
		{"berth_cluster_losses_total", counter, "Handlers and jobs that this host has lost, because its lease ended: their attempts were cancelled and may run twice.", nil,
			inCluster(func(c *figures.Cluster, e emitter) { e.value(float64(c.Losses)) })},
		{"berth_cluster_ended_leases_total", counter, "Leases of other hosts that this host has ended, because they were not renewed.", nil,
			inCluster(func(c *figures.Cluster, e emitter) { e.value(float64(c.Ended)) })},
	}
}

// ofDatabase emits a value of a host whose engine has a database.
func ofDatabase(emit func(*figures.Database, emitter)) func(*figures.Host, emitter) {
	return func(f *figures.Host, e emitter) {
		if f.Database != nil {
			emit(f.Database, e)
		}
	}
}

// databaseMetrics are absent on a host whose engine has no database.
func databaseMetrics() []definition {
	return []definition{
		{"berth_database_operation_duration_seconds", histograms, "Duration of commits (with the flush of the server, and with its standby where it waits for one; and of statements that commit by themselves) and of queries, without the wait for a connection; like all of berth_database, absent unless bus.engine is postgres, and without the renewals of the lease.",
			[]string{"operation"}, ofDatabase(func(d *figures.Database, e emitter) {
				e.durations(&d.Commits, "commit")
				e.durations(&d.Queries, "query")
			})},
		{"berth_database_refused_writes_total", counter, "Writes of this host that the database has refused, because another host owned the handler or job by then.", nil,
			ofDatabase(func(d *figures.Database, e emitter) { e.value(float64(d.Refused)) })},
		{"berth_database_connections", gauge, "Open connections of this host, by state: used or idle.", []string{"state"},
			ofDatabase(func(d *figures.Database, e emitter) {
				e.value(float64(d.Used), "used")
				e.value(float64(d.Idle), "idle")
			})},
		{"berth_database_connection_limit", gauge, "The bound of berth_database_connections (bus.postgres.max_connections).", nil,
			ofDatabase(func(d *figures.Database, e emitter) { e.value(float64(d.Limit)) })},
		{"berth_database_calls_waiting", gauge, "Calls that wait for a connection.", nil,
			ofDatabase(func(d *figures.Database, e emitter) { e.value(float64(d.Waiting)) })},
		{"berth_database_connection_wait_seconds_total", counter, "Time that calls have waited for a connection, all together.", nil,
			ofDatabase(func(d *figures.Database, e emitter) { e.value(d.Waited.Seconds()) })},
	}
}
