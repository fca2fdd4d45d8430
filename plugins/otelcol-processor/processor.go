// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"context"
	"encoding/binary"
	"errors"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/rationanomaly/ra-sdk/plugins/otelcol-processor/internal/metadata"
)

// logsProcessor puts verdicts on log records.
type logsProcessor struct {
	cfg           *Config
	set           component.TelemetrySettings
	telemetry     *metadata.TelemetryBuilder
	minSeverity   plog.SeverityNumber
	include       []resourceMatcher
	exclude       []resourceMatcher
	ownAttributes map[string]struct{}
	keyer         keyer
	cache         *cache
	asker         *asker
	released      chan struct{} // closed: nothing is held any longer
	releaseOnce   sync.Once
	stop          context.CancelFunc
	work          sync.WaitGroup
	readers       sync.Pool
}

func newLogsProcessor(set processor.Settings, cfg *Config) (*logsProcessor, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	include, err := matchers(cfg.Include)
	if err != nil {
		return nil, err
	}
	exclude, err := matchers(cfg.Exclude)
	if err != nil {
		return nil, err
	}
	j := &logsProcessor{
		cfg:           cfg,
		set:           set.TelemetrySettings,
		telemetry:     telemetry,
		minSeverity:   severities[strings.ToLower(cfg.MinSeverity)],
		include:       include,
		exclude:       exclude,
		ownAttributes: map[string]struct{}{},
		keyer:         newKeyer(),
		cache:         newCache(cfg.Cache.Size, cfg.Cache.Bytes, cfg.Cache.TTL),
		released:      make(chan struct{}),
		stop:          func() {},
		readers:       sync.Pool{New: func() any { return new(reader) }},
	}
	for _, name := range cfg.Attributes.ownAttributes() {
		j.ownAttributes[name] = struct{}{}
	}
	j.asker = newAsker(cfg, j.cache, set.Logger, telemetry)
	if err := j.observe(); err != nil {
		telemetry.Shutdown()
		return nil, err
	}
	return j, nil
}

// observe registers the metrics that are read when they are asked for.
func (j *logsProcessor) observe() error {
	register := func(with func(metric.Int64Callback) error, read func() int64) error {
		return with(func(_ context.Context, observer metric.Int64Observer) error {
			observer.Observe(read())
			return nil
		})
	}
	t := j.telemetry
	if err := register(t.RegisterProcessorRationanomalyCacheEntriesCallback, func() int64 { return int64(j.cache.entries()) }); err != nil {
		return err
	}
	if err := register(t.RegisterProcessorRationanomalyQueueRecordsCallback, func() int64 { return int64(j.asker.queued()) }); err != nil {
		return err
	}
	return register(t.RegisterProcessorRationanomalyBreakerOpenCallback, func() int64 {
		if j.asker.breaker.state() != nil {
			return 1
		}
		return 0
	})
}

func (j *logsProcessor) start(ctx context.Context, host component.Host) error {
	client, err := newClient(ctx, j.cfg, host, j.set)
	if err != nil {
		return err
	}
	j.asker.client = client
	j.asker.changed = func(err error) {
		if err != nil {
			componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(err))
		} else {
			componentstatus.ReportStatus(host, componentstatus.NewEvent(componentstatus.StatusOK))
		}
	}
	running, stop := context.WithCancel(context.Background())
	j.stop = stop
	j.work.Go(func() { j.asker.run(running) })
	check := j.cfg.Cache.Check
	if j.cfg.Cache.Size == 0 {
		check = 0
	}
	j.work.Go(func() { j.asker.watch(running, check) })
	return nil
}

// release lets everything go that is held for an answer, now and later.
func (j *logsProcessor) release() { j.releaseOnce.Do(func() { close(j.released) }) }

func (j *logsProcessor) shutdown(context.Context) error {
	j.release()
	j.stop()
	j.work.Wait()
	if j.asker.client != nil {
		j.asker.client.close()
	}
	j.telemetry.Shutdown()
	return nil
}

// reader holds the memory that reading records takes.
type reader struct {
	shaper shaper
	buffer []byte
	places []place
}

// place is a record of a batch and what is known of it.
type place struct {
	record   plog.LogRecord
	skipped  bool
	shaped   bool // the key is that of the body's shape
	key      key
	verdict  *verdict
	question *question
	reason   string
}

// process puts verdicts on a batch. It never fails: where there is no verdict, records are undecided.
func (j *logsProcessor) process(ctx context.Context, logs plog.Logs) (plog.Logs, error) {
	r := j.readers.Get().(*reader)
	defer func() {
		clear(r.places) // the batch must not live on here
		r.places = r.places[:0]
		j.readers.Put(r)
	}()
	j.read(r, logs)
	j.await(ctx, r.places)
	j.annotate(ctx, r)
	return j.reduce(ctx, logs, r.places)
}

// read looks all records up, and asks for those that are not known.
func (j *logsProcessor) read(r *reader, logs plog.Logs) {
	now := time.Now()
	reason := j.silent()
	for _, resource := range logs.ResourceLogs().All() {
		wanted := j.wants(resource.Resource())
		var names []pair
		if wanted {
			names = namesOf(resource.Resource())
		}
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				p := place{record: record, skipped: !wanted || j.isBelow(record)}
				if !p.skipped {
					j.lookUp(r, &p, names, now, reason)
				}
				r.places = append(r.places, p)
			}
		}
	}
}

// silent returns why the service is not asked now; empty: it is.
func (j *logsProcessor) silent() string {
	select {
	case <-j.released:
		return reasonShutdown
	default:
	}
	if reason, blocked := j.asker.breaker.blocked(); blocked {
		return reason
	}
	return ""
}

// lookUp finds the verdict on a record in the cache, or asks for it unless there is a reason not to.
func (j *logsProcessor) lookUp(r *reader, p *place, names []pair, now time.Time, reason string) {
	read := readRecord(p.record)
	p.shaped = j.cfg.Cache.By == cacheByShape && r.shaper.reduce(read.body)
	text := []byte(nil)
	if p.shaped {
		text = r.shaper.shape
	}
	r.buffer = appendKey(r.buffer[:0], &read, names, text)
	p.key = j.keyer.key(r.buffer)
	if p.verdict = j.cache.get(p.key, now); p.verdict != nil {
		return
	}
	if p.reason = reason; reason != "" {
		return
	}
	p.question = j.asker.submit(p.key, func() *question {
		q := &question{key: p.key, record: read.wire(names), size: read.size() + sizeOf(names), asked: now, done: make(chan struct{})}
		if p.shaped {
			q.values = append(q.values, r.shaper.values...)
		}
		return q
	})
	if p.question == nil {
		p.reason = reasonQueueFull
	}
}

// appendKey writes what a verdict depends on. shape stands in the place of the body if it is not nil. All texts have their
// lengths before them, so that no text can be taken for two.
func appendKey(buffer []byte, s *input, names []pair, shape []byte) []byte {
	for _, attributes := range [][]pair{names, s.attributes} {
		buffer = binary.AppendUvarint(buffer, uint64(len(attributes)))
		for _, a := range attributes {
			buffer = appendText(appendText(buffer, a.key), a.value)
			if a.isJSON {
				buffer = append(buffer, 'J')
			} else {
				buffer = append(buffer, 'T')
			}
		}
	}
	buffer = appendText(buffer, s.severity)
	if shape != nil {
		return append(append(buffer, 'S'), shape...)
	}
	return append(append(buffer, 'B'), s.body...)
}

func appendText(buffer []byte, text string) []byte {
	return append(binary.AppendUvarint(buffer, uint64(len(text))), text...)
}

// await waits for the answers, for as long as a batch may be held.
func (j *logsProcessor) await(ctx context.Context, places []place) {
	var timer <-chan time.Time
	expired := "" // why nothing is waited for any longer
	for i := range places {
		p := &places[i]
		if p.question == nil {
			continue
		}
		if timer == nil {
			ticking := time.NewTimer(max(j.cfg.ClientConfig.Timeout, j.cfg.Wait))
			defer ticking.Stop()
			timer = ticking.C
		}
		if expired == "" {
			select {
			case <-p.question.done:
			case <-timer:
				expired = reasonTimeout
			case <-ctx.Done():
				expired = reasonTimeout
			case <-j.released:
				expired = reasonShutdown
			}
		}
		select {
		case <-p.question.done:
			p.verdict, p.reason = p.question.verdict, p.question.reason
		default:
			// the service may have said already that the model has not judged it
			p.verdict, p.reason = p.question.interim.Load(), expired
		}
	}
}

// annotate writes the verdicts into the records, and counts them.
func (j *logsProcessor) annotate(ctx context.Context, r *reader) {
	counts := tally{labels: map[string]int64{}, reasons: map[string]int64{}}
	for i := range r.places {
		p := &r.places[i]
		if p.skipped {
			counts.skipped++
			continue
		}
		if p.verdict != nil && p.question == nil {
			counts.hits++
		} else {
			counts.misses++
		}
		if p.verdict != nil && p.verdict.label == labelUndecided {
			p.reason = reasonPending
			if p.verdict.reason != "" {
				p.reason = p.verdict.reason
			}
		}
		j.write(r, p)
		if p.decided() {
			counts.labels[p.verdict.label]++
		} else {
			counts.labels[labelUndecided]++
			counts.reasons[p.reason]++
		}
	}
	counts.report(ctx, j.telemetry)
}

func (p *place) decided() bool { return p.verdict != nil && p.verdict.label != labelUndecided }

// write replaces a record's attributes of the processor, whoever wrote them.
func (j *logsProcessor) write(r *reader, p *place) {
	attributes, names := p.record.Attributes(), &j.cfg.Attributes
	attributes.RemoveIf(func(key string, _ pcommon.Value) bool {
		_, our := j.ownAttributes[key]
		return our
	})
	v := p.verdict
	if v != nil {
		put(attributes, names.Template, v.template)
	}
	if !p.decided() {
		put(attributes, names.Label, labelUndecided)
		put(attributes, names.Reason, p.reason)
		return
	}
	put(attributes, names.Label, v.label)
	put(attributes, names.Category, v.category)
	if names.Score != "" {
		attributes.PutDouble(names.Score, v.score)
	}
	put(attributes, names.Rationale, j.rationale(r, p))
}

func put(attributes pcommon.Map, name, text string) {
	if name != "" && text != "" {
		attributes.PutStr(name, text)
	}
}

// rationale is the verdict's in the words of the record.
func (j *logsProcessor) rationale(r *reader, p *place) string {
	rationale := &p.verdict.rationale
	if len(rationale.places) == 0 || !p.shaped {
		return rationale.with("", nil)
	}
	body, _ := bodyOf(p.record.Body(), nil)
	r.shaper.reduce(body)
	return rationale.with(body, r.shaper.values)
}

// reduce drops the normal records that the operator does not want.
func (j *logsProcessor) reduce(ctx context.Context, logs plog.Logs, places []place) (plog.Logs, error) {
	if j.cfg.DropNormalBelow == 0 {
		return logs, nil
	}
	dropped, at := 0, 0
	logs.ResourceLogs().RemoveIf(func(resource plog.ResourceLogs) bool {
		ofOthers := dropped
		resource.ScopeLogs().RemoveIf(func(scope plog.ScopeLogs) bool {
			before := dropped
			scope.LogRecords().RemoveIf(func(plog.LogRecord) bool {
				drop := j.drops(&places[at])
				at++
				if drop {
					dropped++
				}
				return drop
			})
			return dropped > before && scope.LogRecords().Len() == 0
		})
		return dropped > ofOthers && resource.ScopeLogs().Len() == 0
	})
	j.telemetry.ProcessorRationanomalyDropped.Add(ctx, int64(dropped))
	if dropped > 0 && logs.ResourceLogs().Len() == 0 {
		return logs, processorhelper.ErrSkipProcessingData
	}
	return logs, nil
}

func (j *logsProcessor) drops(p *place) bool {
	return p.decided() && p.verdict.label == labelNormal && p.verdict.score < j.cfg.DropNormalBelow && !j.samples(p.record)
}

// samples reports whether a record belongs to the share that is kept. It goes by what the record is, so that a batch that is
// offered again is sampled as before. The time at which it was observed tells records without a time apart.
func (j *logsProcessor) samples(record plog.LogRecord) bool {
	if j.cfg.KeepNormalRatio == 0 {
		return false
	}
	trace, span := record.TraceID(), record.SpanID()
	identity := binary.LittleEndian.AppendUint64(nil, uint64(record.Timestamp()))
	identity = binary.LittleEndian.AppendUint64(identity, uint64(record.ObservedTimestamp()))
	identity = append(append(identity, trace[:]...), span[:]...)
	identity = append(identity, record.Body().AsString()...)
	const places = 1 << 53
	return float64(j.keyer.key(identity).low%places) < j.cfg.KeepNormalRatio*places
}

// wants reports whether the records of a resource are judged.
func (j *logsProcessor) wants(resource pcommon.Resource) bool {
	if len(j.include) == 0 && len(j.exclude) == 0 {
		return true
	}
	attributes := resource.Attributes()
	if len(j.include) > 0 && !anyMatches(j.include, attributes) {
		return false
	}
	return !anyMatches(j.exclude, attributes)
}

// isBelow reports whether a record's severity is too low for it to be judged.
func (j *logsProcessor) isBelow(record plog.LogRecord) bool {
	number := record.SeverityNumber()
	return number != plog.SeverityNumberUnspecified && number < j.minSeverity
}

type resourceMatcher struct {
	key     string
	pattern *regexp.Regexp // nil: any value
}

func matchers(matches []ResourceMatch) ([]resourceMatcher, error) {
	found := make([]resourceMatcher, 0, len(matches))
	for _, match := range matches {
		pattern, err := match.compile()
		if err != nil {
			return nil, err
		}
		found = append(found, resourceMatcher{match.Key, pattern})
	}
	return found, nil
}

func anyMatches(matchers []resourceMatcher, attributes pcommon.Map) bool {
	for _, m := range matchers {
		if value, ok := attributes.Get(m.key); ok && (m.pattern == nil || m.pattern.MatchString(value.AsString())) {
			return true
		}
	}
	return false
}

// tally counts the records of a batch.
type tally struct {
	hits, misses, skipped int64
	labels, reasons       map[string]int64
}

func (t *tally) report(ctx context.Context, to *metadata.TelemetryBuilder) {
	add := func(counter metric.Int64Counter, count int64, options ...metric.AddOption) {
		if count > 0 {
			counter.Add(ctx, count, options...)
		}
	}
	add(to.ProcessorRationanomalyCacheHits, t.hits)
	add(to.ProcessorRationanomalyCacheMisses, t.misses)
	add(to.ProcessorRationanomalySkipped, t.skipped)
	for label, count := range t.labels {
		add(to.ProcessorRationanomalyRecords, count, metric.WithAttributes(attribute.String("label", label)))
	}
	for reason, count := range t.reasons {
		add(to.ProcessorRationanomalyUndecided, count, metric.WithAttributes(attribute.String("reason", reason)))
	}
}

// draining is a processor whose shutdown waits until what it holds is handed on.
type draining struct {
	processor.Logs
	release func()

	mu      sync.Mutex
	calls   int
	closed  bool
	drained chan struct{} // closed when it is closed, and no call is under way
}

var errClosed = errors.New("the processor is shut down")

func newDraining(logs processor.Logs, release func()) *draining {
	return &draining{Logs: logs, release: release, drained: make(chan struct{})}
}

func (d *draining) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	if !d.enter() {
		return errClosed
	}
	defer d.leave()
	return d.Logs.ConsumeLogs(ctx, logs)
}

func (d *draining) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.calls++
	}
	return !d.closed
}

func (d *draining) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls--
	if d.closed && d.calls == 0 {
		close(d.drained)
	}
}

func (d *draining) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed && d.calls == 0 {
		close(d.drained)
	}
	d.closed = true
}

func (d *draining) Shutdown(ctx context.Context) error {
	d.release()
	d.close()
	select {
	case <-d.drained:
	case <-ctx.Done():
	}
	return d.Logs.Shutdown(ctx)
}
