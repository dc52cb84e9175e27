package main

import (
	"regexp"
	"testing"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/wire"
)

// TestOverviewShowsFigures compares the lines of the overview with an answer of the API.
func TestOverviewShowsFigures(t *testing.T) {
	d := newDesk(t, map[string]string{"GET /api/v1/overview": complete[wire.Overview](`{"version":"1.2.3","host":"nova","ready":false,
		"problem":"the disk is full","events_per_s":12.34,"deliveries_per_s":36.1,"ok_share":0.9996,"latency_p50_ms":1.204,
		"latency_p99_ms":2500,"oldest_at":"2026-11-30T18:52:13Z","open_issues":2,"dead_letters":3,"disk":{"free_bytes":1024,
		"total_bytes":1048576,"store_bytes":2048},"memory_bytes":5242880,"handlers":[
		{"plugin":"judge","state":"active","sha256":"e9702c35cd511111","per_s":4.25,"failed_share":0.25,"duration_p50_ms":0.011,
		 "duration_p99_ms":7.5,"fuel_per_event":12345678,"memory_bytes":131072,"instances":2,"lag":7,"dead":3,"open_issues":2},
		{"plugin":"mail","state":"rejected","reason":"it has no manifest\nat all","version":"0.1.0"}]}`)})
	code, stdout, stderr := d.run(t, "", "overview")
	if code != command.ExitOK || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	for _, want := range []string{
		`host       nova, Berth 1\.2\.3, started `,
		`state      not ready: the disk is full`,
		`rates      12\.3 events/s published, 36\.1 deliveries/s ended`,
		`latency    1\.20 ms median, 2\.5 s p99, from publishing to delivered`,
		`attempts   <0\.1 % failed in the last hour`,
		`waiting    the oldest event waits since 2026-1`,
		`issues     2: berth issues list`,
		`dead       3: berth events dead-letters list`,
		`disk       1\.0 KiB free of 1\.0 MiB; the store has 2\.0 KiB`,
		`memory     5\.0 MiB`,
		`judge +active +e9702c35cd51 +4\.2 +25\.0 % +0\.011 ms +7\.50 ms +12M +128\.0 KiB +2 +7 +- +3 +2 +-`,
		`mail +rejected +0\.1\.0 +0\.0 +- +- +- +- +0 B +0 +0 +- +0 +0 +it has no manifest`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(stdout) {
			t.Errorf("no line is %q", want)
		}
	}
	if t.Failed() {
		t.Log(stdout)
	}
}
