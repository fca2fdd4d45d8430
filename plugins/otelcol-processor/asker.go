// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/rationanomaly/ra-sdk/plugins/otelcol-processor/internal/metadata"
)

// maxRequestBytes of bodies and attributes make a request that the service takes, unless most of it has to be escaped.
const maxRequestBytes = 2 << 20

// maxRefusals is how many records in a row are asked about alone because the service takes none of them. One that takes none
// at all must not be asked about each record of a batch.
const maxRefusals = 16

// patientRequests may wait for the model at once; what is cold beyond passes undecided.
const patientRequests = 16

// question is a record that the service is asked about. Records of one key share it, whatever batch they are in.
type question struct {
	key    key
	record wireRecord
	values []span // of the body, if the verdict holds for its shape
	size   int
	asked  time.Time

	interim atomic.Pointer[verdict] // undecided, while the model is waited for
	done    chan struct{}           // closed when there is an answer
	verdict *verdict                // the answer: a verdict, or
	reason  string                  // why there is none
}

// asker asks the service what the cache does not know: it joins the questions of concurrent batches into requests.
type asker struct {
	client     *client
	cache      *cache
	breaker    *breaker
	queue      QueueConfig
	maxBatch   int
	join       time.Duration
	wait       time.Duration
	probeEvery time.Duration
	logger     *zap.Logger
	telemetry  *metadata.TelemetryBuilder
	changed    func(error) // told when the breaker opens, and with nil when it closes
	announced  sync.Mutex  // guards wasOpen, and keeps what changed is told in order
	wasOpen    bool

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
		cache:      c,
		breaker:    newBreaker(),
		queue:      cfg.Queue,
		maxBatch:   cfg.MaxBatch,
		join:       cfg.Join,
		wait:       cfg.Wait,
		probeEvery: firstPause,
		logger:     logger,
		telemetry:  telemetry,
		changed:    func(error) {},
		pending:    map[key]*question{},
		arrived:    make(chan struct{}, 1),
		full:       make(chan struct{}, 1),
		requests:   make(chan struct{}, cfg.Queue.Requests),
		patient:    make(chan struct{}, patientRequests),
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
	refusals := 0
	a.askAgain(ctx, batch, &refusals)
	if refusals < maxRefusals {
		return
	}
	if p, _, allowed := a.breaker.allow(); allowed {
		a.learn(p, &failure{reason: reasonRefused, err: errNothingTaken})
	}
}

var errNothingTaken = errors.New("the service takes none of the records")

func (a *asker) askAgain(ctx context.Context, batch []*question, refusals *int) {
	p, reason, allowed := a.breaker.allow()
	if !allowed {
		a.fail(batch, reason)
		return
	}
	found, revision, err := a.request(ctx, batch, 0)
	a.learn(p, err)
	var refused *unacceptable
	switch {
	case err == nil:
		*refusals = 0
		a.settle(a.answer(ctx, batch, found, revision))
	case errors.As(err, &refused):
		a.halve(ctx, batch, err, refusals)
	default:
		a.fail(batch, reasonOf(err))
	}
}

// learn tells the breaker, and who watches it, what became of a request.
func (a *asker) learn(p period, err error) {
	var failed *failure
	switch {
	case err == nil:
		a.breaker.succeed(p)
	case !errors.As(err, &failed):
		a.breaker.answered(p)
	case failed.reason == reasonShutdown:
		a.breaker.abandon(p)
	default:
		a.breaker.fail(p, failed)
	}
	a.announce()
}

// announce says that the breaker has opened or closed. It asks for the state that holds now, so that what is said last is true.
func (a *asker) announce() {
	a.announced.Lock()
	defer a.announced.Unlock()
	failed := a.breaker.state()
	if (failed != nil) == a.wasOpen {
		return
	}
	a.wasOpen = failed != nil
	if failed != nil {
		a.logger.Warn("The RationAnomaly service gives no verdicts. Records pass undecided until it does.", zap.Error(failed))
		a.changed(failed)
		return
	}
	a.logger.Info("The RationAnomaly service answers again.")
	a.changed(nil)
}

// halve asks for the halves of a batch that the service does not take. A single record that it does not take is remembered.
func (a *asker) halve(ctx context.Context, batch []*question, err error, refusals *int) {
	if len(batch) > 1 {
		for _, half := range [][]*question{batch[:len(batch)/2], batch[len(batch)/2:]} {
			if *refusals < maxRefusals {
				a.askAgain(ctx, half, refusals)
			} else {
				a.fail(half, reasonRefused)
			}
		}
		return
	}
	*refusals++
	a.logger.Debug("The RationAnomaly service does not take a record.", zap.Error(err))
	a.cache.put(batch[0].key, &verdict{label: labelUndecided, reason: reasonRefused}, "")
	a.fail(batch, reasonRefused)
}

// request asks for verdicts, and returns them and the revision that they are of.
func (a *asker) request(ctx context.Context, batch []*question, wait time.Duration) ([]judged, string, error) {
	records := make([]wireRecord, len(batch))
	for i, q := range batch {
		records[i] = q.record
	}
	started := time.Now()
	found, revision, err := a.client.judge(ctx, records, wait)
	a.telemetry.ProcessorRationanomalyRequestDuration.Record(ctx, time.Since(started).Seconds())
	a.telemetry.ProcessorRationanomalyRequests.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome(err))))
	if err == nil {
		a.cache.revise(revision, started)
	}
	return found, revision, err
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return reasonOf(err)
}

func reasonOf(err error) string {
	if failed, ok := errors.AsType[*failure](err); ok {
		return failed.reason
	}
	return reasonRefused
}

// answer takes the verdicts over, and returns the questions that have their answer. The others wait for the model.
func (a *asker) answer(ctx context.Context, batch []*question, found []judged, revision string) []*question {
	var warm, cold []*question
	var undecided []*verdict
	for i, q := range batch {
		v := found[i].verdict(q)
		if a.wait > 0 && v.label == labelUndecided {
			cold, undecided = append(cold, q), append(undecided, v)
			continue
		}
		a.take(q, v, revision)
		warm = append(warm, q)
	}
	if len(cold) == 0 {
		return batch
	}
	// not remembered as undecided yet: batches that come meanwhile share the questions, and wait, too
	for i, q := range cold {
		q.interim.Store(undecided[i])
	}
	left := a.wait - time.Since(cold[0].asked)
	if left < time.Millisecond || !a.begin(a.patient) {
		a.giveUp(cold, revision)
		return batch
	}
	a.work.Go(func() {
		defer func() { <-a.patient }()
		a.wakeWhenJudged(ctx, cold, revision, left)
	})
	return warm
}

func (a *asker) begin(slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// wakeWhenJudged asks for verdicts that the service may wait for. Where it gives none, what it said before holds.
func (a *asker) wakeWhenJudged(ctx context.Context, cold []*question, revision string, wait time.Duration) {
	p, _, allowed := a.breaker.allow()
	if allowed {
		found, newer, err := a.request(ctx, cold, wait)
		a.learn(p, err)
		if err == nil {
			for i, q := range cold {
				a.take(q, found[i].verdict(q), newer)
			}
			a.settle(cold)
			return
		}
	}
	a.giveUp(cold, revision)
	a.settle(cold)
}

// giveUp takes over that questions are undecided.
func (a *asker) giveUp(cold []*question, revision string) {
	for _, q := range cold {
		a.take(q, q.interim.Load(), revision)
	}
}

// take sets an answer, and remembers it.
func (a *asker) take(q *question, v *verdict, revision string) {
	q.verdict = v
	a.cache.put(q.key, v, revision)
}

// verdict is what the service said of a question, for all records of its key.
func (j *judged) verdict(q *question) *verdict {
	found := &verdict{label: j.Label, category: value(j.Category), template: *j.Template}
	if j.Score != nil && j.Label != labelUndecided {
		found.score = *j.Score
	}
	found.rationale = phraseOf(j.own, value(j.Rationale), &q.record, q.values)
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

// sweepEvery is how often what has expired is taken from the cache.
const sweepEvery = time.Minute

// watch keeps the cache and the breaker true while there is nothing to ask, until the context ends. The cache is emptied when
// the service's verdicts change; every is how often it is asked whether they have, 0: never.
func (a *asker) watch(ctx context.Context, every time.Duration) {
	checks := make(<-chan time.Time)
	if every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		checks = ticker.C
	}
	probes, sweeps := time.NewTicker(a.probeEvery), time.NewTicker(sweepEvery)
	defer probes.Stop()
	defer sweeps.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweeps.C:
			a.cache.entries()
		case <-probes.C:
			a.probe(ctx)
		case <-checks:
			a.check(ctx)
		}
	}
}

func (a *asker) check(ctx context.Context) {
	if a.breaker.state() != nil {
		return
	}
	asked := time.Now()
	if a.cache.revise(a.client.revision(ctx), asked) {
		a.logger.Info("The verdicts of the RationAnomaly service have changed. The cache is emptied.")
	}
}

// probe asks for nothing, so that the breaker closes even if all records that pass are known.
func (a *asker) probe(ctx context.Context) {
	if a.breaker.state() == nil {
		return
	}
	p, _, allowed := a.breaker.allow()
	if !allowed {
		return
	}
	_, _, err := a.request(ctx, nil, 0)
	if err == nil {
		err = errNothingAsked
	}
	a.learn(p, err)
}

// errNothingAsked stands for an answer that shows only that the service is there.
var errNothingAsked = errors.New("nothing was asked")
