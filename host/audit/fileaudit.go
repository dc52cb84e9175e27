package audit

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxQueued bounds the records in a Queue. Further ones are counted only.
	maxQueued = 4096
	// maxBatch bounds the records written with one fsync.
	maxBatch = 128
	// retryInterval is the time between two attempts to write.
	retryInterval = time.Second
)

// Queue appends records in the background, for a caller that must not wait for the
// disk: the loop that watches the plugin files. While the log cannot be written it
// retries. It is safe for concurrent use.
type Queue struct {
	log    *Log
	logger *slog.Logger
	wake   chan struct{} // holds one

	mu         sync.Mutex
	records    []Record
	suppressed int // records beyond maxQueued
}

// NewQueue returns an empty queue for a log. Call Run to write it.
func NewQueue(log *Log, logger *slog.Logger) *Queue {
	return &Queue{log: log, logger: logger, wake: make(chan struct{}, 1)}
}

// Add queues a record with the present time. It does not wait.
func (q *Queue) Add(r Record) {
	r.At = time.Now().UTC()
	q.mu.Lock()
	if len(q.records) < maxQueued {
		q.records = append(q.records, r)
	} else {
		q.suppressed++
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Run writes the queued records until ctx ends, and the remaining ones then. It logs
// the first of successive failures, and the success after them.
func (q *Queue) Run(ctx context.Context) {
	failed := false
	retry := time.NewTicker(retryInterval)
	defer retry.Stop()
	for {
		var again <-chan time.Time
		if failed {
			again = retry.C
		}
		select {
		case <-q.wake:
		case <-again:
		case <-ctx.Done():
		}
		err := q.flush()
		switch {
		case err != nil && ctx.Err() != nil:
			q.logger.Error("changes of plugin files are missing in the audit log; the host is closing", "records", q.len(), "error", err)
		case err != nil && !failed:
			q.logger.Error("changes of plugin files cannot be written to the audit log; retrying", "error", err)
		case err == nil && failed:
			q.logger.Info("changes of plugin files are in the audit log again")
		}
		failed = err != nil
		if ctx.Err() != nil {
			return
		}
	}
}

func (q *Queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.records) + q.suppressed
}

// flush writes the queue. Records whose write fails stay queued.
func (q *Queue) flush() error {
	q.mu.Lock()
	records, suppressed := q.records, q.suppressed
	q.records, q.suppressed = nil, 0
	q.mu.Unlock()
	for len(records) > 0 {
		batch := records[:min(len(records), maxBatch)]
		batch[0].Suppressed = suppressed
		if err := q.log.AppendAll(batch); err != nil {
			q.requeue(records, suppressed)
			return err
		}
		records, suppressed = records[len(batch):], 0
	}
	return nil
}

// requeue puts records back in front of those that were added meanwhile.
func (q *Queue) requeue(records []Record, suppressed int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.records, q.suppressed = append(records, q.records...), q.suppressed+suppressed
	if over := len(q.records) - maxQueued; over > 0 {
		q.records, q.suppressed = q.records[:maxQueued], q.suppressed+over
	}
}
