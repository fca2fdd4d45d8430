// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/rationanomaly/ra-sdk/plugins/otelcol-processor/internal/metadata"
)

// maxRequestBytes of bodies make a request that the service takes, whatever JSON makes of them.
const maxRequestBytes = 2 << 20

// patientRequests may wait for the model at once; what is cold beyond passes undecided.
const patientRequests = 16

// question is a record that the service is asked about. Records of one key share it, whatever batch they are in.
type question struct {
	key    key
	record wireRecord
	values []span // of the body, if the verdict holds for its shape
	size   int

	done    chan struct{} // closed when there is an answer
	verdict *verdict      // the answer: a verdict, or
	reason  string        // why there is none
}

// asker asks the service what the cache does not know: it joins the questions of concurrent batches into requests.
type asker struct {
	client    *client
	cache     *cache
	breaker   *breaker
	queue     QueueConfig
	maxBatch  int
	join      time.Duration
	wait      time.Duration
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder
	changed   func(error) // told when the breaker opens, and with nil when it closes

	mu      sync.Mutex // guards the three below
	pending map[key]*question
	waiting []*question // of the pending those that are in no request yet
	bytes   int         // of the pending

	arrived  chan struct{} // has an element if waiting may have questions
	full     chan struct{} // has an element if waiting has a whole request
	requests chan struct{} // has an element for each request under way, but for
	patient  chan struct{} // those that wait for the model
	work     sync.WaitGroup
}

func newAsker(cfg *Config, c *cache, logger *zap.Logger, telemetry *metadata.TelemetryBuilder) *asker {
	return &asker{
		cache:     c,
		breaker:   newBreaker(),
		queue:     cfg.Queue,
		maxBatch:  cfg.MaxBatch,
		join:      cfg.Join,
		wait:      cfg.Wait,
		logger:    logger,
		telemetry: telemetry,
		changed:   func(error) {},
		pending:   map[key]*question{},
		arrived:   make(chan struct{}, 1),
		full:      make(chan struct{}, 1),
		requests:  make(chan struct{}, cfg.Queue.Requests),
		patient:   make(chan struct{}, patientRequests),
	}
}

// run makes requests until the context ends.
func (a *asker) run(ctx context.Context) {
	defer a.work.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.arrived:
		}
		if !a.joined(ctx) {
			return
		}
		for batch := a.next(); batch != nil; batch = a.next() {
			select {
			case <-ctx.Done():
				return
			case a.requests <- struct{}{}:
			}
			a.work.Go(func() {
				defer func() { <-a.requests }()
				a.ask(ctx, batch)
			})
		}
	}
}

// joined waits for further questions. It reports whether the context lives.
func (a *asker) joined(ctx context.Context) bool {
	timer := time.NewTimer(a.join)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-a.full:
	}
	return true
}

// submit returns the question for a key, which build makes if it is new; nil if the queue is full.
func (a *asker) submit(k key, build func() *question) *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.pending[k]; known != nil {
		return known
	}
	if len(a.pending) >= a.queue.Records || a.bytes >= a.queue.Bytes {
		return nil
	}
	q := build()
	a.pending[k] = q
	a.bytes += q.size
	a.waiting = append(a.waiting, q)
	signal(a.arrived)
	if len(a.waiting) >= a.maxBatch {
		signal(a.full)
	}
	return q
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// next takes the questions of the next request; nil if there are none.
func (a *asker) next() []*question {
	a.mu.Lock()
	defer a.mu.Unlock()
	size, count := 0, 0
	for count < len(a.waiting) && count < a.maxBatch {
		size += a.waiting[count].size
		if count > 0 && size > maxRequestBytes {
			break
		}
		count++
	}
	if count == 0 {
		a.waiting = nil
		return nil
	}
	batch := a.waiting[:count:count]
	a.waiting = a.waiting[count:]
	return batch
}

// ask makes a request, and smaller ones where the service does not take it.
func (a *asker) ask(ctx context.Context, batch []*question) {
	if reason, allowed := a.breaker.allow(); !allowed {
		a.fail(batch, reason)
		return
	}
	found, err := a.request(ctx, batch, 0)
	var failed *failure
	switch {
	case err == nil:
		a.settle(a.answer(ctx, batch, found))
		if a.breaker.succeed() {
			a.logger.Info("The RationAnomaly service answers again.")
			a.changed(nil)
		}
	case ctx.Err() != nil:
		a.breaker.abandon()
		a.fail(batch, reasonShutdown)
	case errors.Is(err, errTooLarge):
		a.breaker.abandon()
		a.halve(ctx, batch, err)
	case errors.As(err, &failed):
		a.fail(batch, failed.reason)
		if a.breaker.fail(failed.reason, failed.after, failed.atOnce) {
			a.logger.Warn("The RationAnomaly service gives no verdicts. Records pass undecided until it does.", zap.Error(err))
			a.changed(err)
		}
	}
}

func (a *asker) halve(ctx context.Context, batch []*question, err error) {
	if len(batch) == 1 {
		a.logger.Debug("A record is too large for the RationAnomaly service.", zap.Error(err))
		a.fail(batch, reasonRefused)
		return
	}
	a.ask(ctx, batch[:len(batch)/2])
	a.ask(ctx, batch[len(batch)/2:])
}

func (a *asker) request(ctx context.Context, batch []*question, wait time.Duration) ([]judged, error) {
	records := make([]wireRecord, len(batch))
	for i, q := range batch {
		records[i] = q.record
	}
	started := time.Now()
	found, revision, err := a.client.judge(ctx, records, wait)
	a.telemetry.ProcessorRationanomalyRequestDuration.Record(ctx, time.Since(started).Seconds())
	a.telemetry.ProcessorRationanomalyRequests.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome(err))))
	if err == nil {
		a.cache.revise(revision)
	}
	return found, err
}

func outcome(err error) string {
	var failed *failure
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &failed):
		return failed.reason
	default:
		return reasonRefused
	}
}

// answer takes the verdicts over, and returns the questions that have their answer. The others wait for the model.
func (a *asker) answer(ctx context.Context, batch []*question, found []judged) []*question {
	if a.wait == 0 {
		a.take(batch, found, true)
		return batch
	}
	// not remembered as undecided yet: batches that come meanwhile share the questions, and wait, too
	a.take(batch, found, false)
	var warm, cold []*question
	for _, q := range batch {
		if q.reason == reasonPending {
			cold = append(cold, q)
		} else {
			warm = append(warm, q)
		}
	}
	if len(cold) == 0 {
		return batch
	}
	select {
	case a.patient <- struct{}{}:
	default:
		return batch
	}
	a.work.Go(func() {
		defer func() { <-a.patient }()
		// where this fails, what was said before holds
		if found, err := a.request(ctx, cold, a.wait); err == nil {
			a.take(cold, found, true)
		}
		a.settle(cold)
	})
	return warm
}

// take sets the answers. Undecided ones are remembered only if they are final.
func (a *asker) take(batch []*question, found []judged, final bool) {
	for i, q := range batch {
		q.verdict, q.reason = found[i].verdict(q), ""
		if q.verdict.label == labelUndecided {
			q.reason = reasonPending
		}
		if final || q.reason == "" {
			a.cache.put(q.key, q.verdict)
		}
	}
}

// verdict is what the service said of a question, for all records of its key.
func (j *judged) verdict(q *question) *verdict {
	found := &verdict{label: j.Label, category: value(j.Category), template: *j.Template}
	if j.Score != nil && j.Label != labelUndecided {
		found.score = *j.Score
	}
	found.rationale = phraseOf(j.own, value(j.Rationale), q.record.Body, q.values)
	return found
}

func (a *asker) fail(batch []*question, reason string) {
	for _, q := range batch {
		q.reason = reason
	}
	a.settle(batch)
}

// settle wakes those who wait for the questions.
func (a *asker) settle(batch []*question) {
	a.mu.Lock()
	for _, q := range batch {
		delete(a.pending, q.key)
		a.bytes -= q.size
	}
	a.mu.Unlock()
	for _, q := range batch {
		close(q.done)
	}
}

// queued returns how many questions have no answer yet.
func (a *asker) queued() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.pending)
}

// watch empties the cache when the service's verdicts change, until the context ends.
func (a *asker) watch(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if a.cache.revise(a.client.revision(ctx)) {
			a.logger.Info("The verdicts of the RationAnomaly service have changed. The cache is emptied.")
		}
	}
}
