package outcomes

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// Logs are the encoded lines of the attempts of one write, by the index of their delivery.
type Logs map[int]encodedLogs

type encodedLogs struct {
	size int // as spec.MaxHandlerLog counts it
	text []byte
}

// EncodeLogs encodes the logs of deliveries, before a transaction that stores them begins.
func EncodeLogs(deliveries []event.Delivery) (Logs, error) {
	var logs Logs
	for i := range deliveries {
		lines, size := event.BoundedLogs(deliveries[i].Logs)
		if size == 0 {
			continue
		}
		text, err := json.Marshal(lines)
		if err != nil {
			return nil, err
		}
		if logs == nil {
			logs = make(Logs)
		}
		logs[i] = encodedLogs{size, text}
	}
	return logs, nil
}

// Attempts are rows of the table attempts as arrays. The zero value is empty.
type Attempts struct {
	handler, status, class, digest                    []string
	seq, number, at, duration, fuel, instance, logged []int64
	message, logs                                     [][]byte
	withLogs                                          map[string]bool // handlers of which one has logs
}

func (l *Attempts) add(a *event.PastAttempt, logs encodedLogs) {
	l.handler, l.seq, l.number = append(l.handler, a.Handler), append(l.seq, seqOf(a.Seq)), append(l.number, int64(a.Number))
	l.at, l.status, l.class = append(l.at, unixNano(a.At)), append(l.status, string(a.Status)), append(l.class, string(a.Class))
	l.message = append(l.message, []byte(a.Message))
	l.duration, l.fuel = append(l.duration, int64(a.Duration)), append(l.fuel, int64(a.Fuel))
	l.digest, l.instance = append(l.digest, a.SHA256), append(l.instance, int64(a.Instance))
	if logs.text == nil {
		logs.text = []byte{}
	}
	l.logged, l.logs = append(l.logged, int64(logs.size)), append(l.logs, logs.text)
	if logs.size > 0 {
		if l.withLogs == nil {
			l.withLogs = make(map[string]bool)
		}
		l.withLogs[a.Handler] = true
	}
}

const (
	insertAttempts = `WITH added AS (INSERT INTO attempts (handler, seq, number, at, status, class, message, duration, fuel, digest, instance, log_size, logs)
		SELECT handler, seq, number, at, status, class, message, duration, fuel, digest, instance, log_size, logs
			FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bytea[], $8::bigint[], $9::bigint[],
				$10::text[], $11::bigint[], $12::bigint[], $13::bytea[]) WITH ORDINALITY
				AS a (handler, seq, number, at, status, class, message, duration, fuel, digest, instance, log_size, logs, n) ORDER BY n
			ON CONFLICT (handler, seq, at, number, status) DO NOTHING RETURNING handler, log_size)
		INSERT INTO attempt_logs AS l SELECT handler, sum(log_size) FROM added WHERE log_size > 0 GROUP BY handler
			ON CONFLICT (handler) DO UPDATE SET bytes = l.bytes + excluded.bytes`
	// less is the end of a statement that has removed attempts as the table gone.
	less = ` UPDATE attempt_logs AS l SET bytes = l.bytes - g.bytes FROM (SELECT handler, sum(log_size) AS bytes FROM gone
		WHERE log_size > 0 GROUP BY handler) AS g WHERE l.handler = g.handler`
	removeExcess = `WITH gone AS (DELETE FROM attempts WHERE id IN (SELECT id FROM (SELECT a.id, row_number() OVER
			(PARTITION BY a.handler, a.seq ORDER BY a.id DESC) AS place FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::bigint[])) AS u (handler, seq)
			JOIN attempts AS a ON a.handler = u.handler AND a.seq = u.seq) AS placed WHERE place > $3) RETURNING handler, log_size)` + less
	// evictLogs removes the logs of the oldest attempts of a handler that is over the bound:
	// as many as it takes, at most $3 of them.
	evictLogs = `WITH bound AS (SELECT bytes - $2::bigint AS over FROM attempt_logs WHERE handler = $1 AND bytes > $2),
		oldest AS (SELECT id, log_size, sum(log_size) OVER (ORDER BY id) - log_size AS before FROM (SELECT id, log_size FROM attempts
			WHERE handler = $1 AND log_size > 0 AND EXISTS (SELECT 1 FROM bound) ORDER BY id LIMIT $3) AS first),
		gone AS (UPDATE attempts AS a SET logs = '', log_size = 0 FROM oldest, bound
			WHERE a.id = oldest.id AND oldest.before < bound.over RETURNING a.handler, oldest.log_size)` + less
)

// evictStep is how many attempts lose their logs for one write, at most.
const evictStep = 16 << 10

// queue adds statements to a batch that store the attempts.
func (l *Attempts) queue(b *pgx.Batch) {
	if len(l.seq) == 0 {
		return
	}
	b.Queue(insertAttempts, l.handler, l.seq, l.number, l.at, l.status, l.class, l.message, l.duration, l.fuel, l.digest, l.instance, l.logged, l.logs)
	b.Queue(removeExcess, l.handler, l.seq, event.MaxPastAttempts)
	for handler := range l.withLogs {
		b.Queue(evictLogs, handler, spec.MaxHandlerLog, evictStep)
	}
}

// AttemptsOf returns the attempts of an event, by handler and in the order in which they ended.
func AttemptsOf(ctx context.Context, tx pgx.Tx, seq uint64) (list []event.PastAttempt, err error) {
	var a event.PastAttempt
	var at, duration, fuel, number int64
	var status, class string
	var message, logs []byte
	var failed error
	rows, err := tx.Query(ctx, `SELECT handler, number, at, status, class, message, duration, fuel, digest, instance, logs FROM attempts
		WHERE seq = $1 ORDER BY handler, id`, seqOf(seq))
	err = each(rows, err, func() {
		a.Seq, a.Number, a.Status, a.Class, a.Message = seq, int(number), event.Status(status), event.Class(class), string(message)
		a.At, a.Duration, a.Fuel, a.Logs = timeOf(at), time.Duration(duration), uint64(fuel), nil
		if len(logs) > 0 {
			if err := json.Unmarshal(logs, &a.Logs); err != nil {
				failed = fmt.Errorf("the logs of attempt %d of %s: %w", a.Number, a.Handler, err)
			}
		}
		list = append(list, a)
	}, &a.Handler, &number, &at, &status, &class, &message, &duration, &fuel, &a.SHA256, &a.Instance, &logs)
	if err == nil {
		err = failed
	}
	return list, err
}
