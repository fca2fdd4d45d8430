// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/rationanomaly/ra-sdk/plugins/otelcol-processor/internal/metadatatest"
)

func TestVerdictsBecomeAttributes(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	p := started(t, testConfig(service.URL), sink)

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("worker 3 failed", "all good", "cold start")))

	assert.Equal(t, []map[string]any{
		{
			"ra.label":            "abnormal",
			"ra.score":            0.9,
			"ra.category":         "system",
			"ra.rationale":        `It says "worker 3 failed".`,
			"log.record.template": "template of worker 3 failed",
		},
		{"ra.label": "normal", "ra.score": 0.1, "log.record.template": "template of all good"},
		{"ra.label": "undecided", "ra.reason": "pending", "log.record.template": "template of cold start"},
	}, attributesOf(sink.AllLogs()...))
	assert.True(t, p.Capabilities().MutatesData)
}

func TestAttributesHaveTheirConfiguredNames(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	cfg := testConfig(service.URL)
	cfg.Attributes = AttributesConfig{Label: "verdict", Rationale: "why"}
	p := started(t, cfg, sink)

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("worker 3 failed")))

	assert.Equal(t, []map[string]any{{"verdict": "abnormal", "why": `It says "worker 3 failed".`}}, attributesOf(sink.AllLogs()...))
}

// A program may write attributes with our names to pass for normal.
func TestAttributesOfOthersWithOurNamesAreReplaced(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	p := started(t, testConfig(service.URL), sink)
	logs := logsOf("all good")
	forged := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes()
	forged.PutStr("ra.rationale", "nothing to see here")
	forged.PutStr("ra.label", "abnormal")
	forged.PutStr("user", "u1")

	require.NoError(t, p.ConsumeLogs(t.Context(), logs))

	assert.Equal(t, []map[string]any{
		{"ra.label": "normal", "ra.score": 0.1, "log.record.template": "template of all good", "user": "u1"},
	}, attributesOf(sink.AllLogs()...))
}

func TestBodiesOfOneShapeAreAskedForOnce(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	p := started(t, testConfig(service.URL), sink)

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("block 123456 failed", "block 654321 failed", "block 123456 failed")))
	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("block 999999 failed")))

	asked := service.asked()
	require.Len(t, asked, 1)
	assert.Equal(t, []wireRecord{{Body: "block 123456 failed"}}, asked[0].Records)
	var rationales []any
	for _, attributes := range attributesOf(sink.AllLogs()...) {
		rationales = append(rationales, attributes["ra.rationale"])
	}
	assert.Equal(t, []any{
		`It says "block 123456 failed".`,
		`It says "block 654321 failed".`,
		`It says "block 123456 failed".`,
		`It says "block 999999 failed".`,
	}, rationales)
}

func TestCacheByBody(t *testing.T) {
	service := newFakeService(t)
	cfg := testConfig(service.URL)
	cfg.Cache.By = cacheByBody
	p := started(t, cfg, consumertest.NewNop())

	for range 2 {
		require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("block 123456 failed", "block 654321 failed")))
	}

	asked := service.asked()
	require.Len(t, asked, 1)
	assert.Len(t, asked[0].Records, 2)
}

func TestCacheOfNoSizeRemembersNothing(t *testing.T) {
	service := newFakeService(t)
	cfg := testConfig(service.URL)
	cfg.Cache.Size = 0
	p := started(t, cfg, consumertest.NewNop())

	for range 2 {
		require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good", "all good")))
	}

	assert.Len(t, service.asked(), 2)
}

func TestWhatAVerdictDependsOnIsSent(t *testing.T) {
	service := newFakeService(t)
	p := started(t, testConfig(service.URL), consumertest.NewNop())
	logs := logsOf("payment rejected")
	logs.ResourceLogs().At(0).Resource().Attributes().PutStr("service.name", "payments")
	logs.ResourceLogs().At(0).Resource().Attributes().PutStr("host.name", "h1")
	record := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	record.SetSeverityNumber(plog.SeverityNumberError2)
	record.Attributes().PutStr("exception.message", "card declined")
	record.Attributes().PutStr("order", "7")

	require.NoError(t, p.ConsumeLogs(t.Context(), logs))

	asked := service.asked()
	require.Len(t, asked, 1)
	assert.Equal(t, wireAsk{
		Records: []wireRecord{{
			Body:       "payment rejected",
			Severity:   "ERROR",
			Attributes: map[string]any{"service.name": "payments", "exception.message": "card declined"},
		}},
		Fill: true,
	}, asked[0])
}

func TestSeveritiesAndCausesHaveVerdictsOfTheirOwn(t *testing.T) {
	service := newFakeService(t)
	p := started(t, testConfig(service.URL), consumertest.NewNop())
	logs := logsOf("a", "a", "a", "a")
	records := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	records.At(1).SetSeverityText("WARN")
	records.At(2).Attributes().PutStr("error", "b")
	records.At(3).SetSeverityNumber(plog.SeverityNumberWarn)

	require.NoError(t, p.ConsumeLogs(t.Context(), logs))

	assert.Len(t, service.asked()[0].Records, 3)
}

func TestConcurrentBatchesAreJoined(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	cfg := testConfig(service.URL)
	cfg.Join, cfg.MaxBatch = time.Second, 10
	p := started(t, cfg, sink)

	var batches sync.WaitGroup
	for i := range 10 {
		batches.Go(func() { assert.NoError(t, p.ConsumeLogs(t.Context(), logsOf(fmt.Sprint("body ", i)))) })
	}
	batches.Wait()

	assert.Len(t, service.asked(), 1)
	assert.Equal(t, 10, sink.LogRecordCount())
}

func TestRequestsHaveAtMostMaxBatchRecords(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	cfg := testConfig(service.URL)
	cfg.MaxBatch = 2
	p := started(t, cfg, sink)

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("a", "b", "c", "d", "e")))

	total := 0
	for _, ask := range service.asked() {
		assert.LessOrEqual(t, len(ask.Records), 2)
		total += len(ask.Records)
	}
	assert.Equal(t, 5, total)
	for _, attributes := range attributesOf(sink.AllLogs()...) {
		assert.Equal(t, "normal", attributes["ra.label"])
	}
}

// The second request, which waits for the model, is for the cold records only.
func TestWaitHoldsColdRecords(t *testing.T) {
	var mu sync.Mutex
	var asks []wireAsk
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask := readAsk(t, r)
		mu.Lock()
		asks = append(asks, ask)
		mu.Unlock()
		answer := answerTo(ask)
		if ask.WaitMs > 0 {
			answer.Verdicts[0].Label, answer.Verdicts[0].Score = labelNormal, new(0.3)
		}
		writeJSON(w, answer)
	}))
	defer service.Close()
	sink := new(consumertest.LogsSink)
	cfg := testConfig(service.URL)
	cfg.Wait = time.Minute
	p := started(t, cfg, sink)

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good", "cold start")))

	require.Len(t, asks, 2)
	assert.Zero(t, asks[0].WaitMs)
	assert.Equal(t, []wireRecord{{Body: "cold start"}}, asks[1].Records)
	assert.Positive(t, asks[1].WaitMs)
	assert.LessOrEqual(t, asks[1].WaitMs, int64(60_000), "what is left of it")
	assert.InDelta(t, 0.3, attributesOf(sink.AllLogs()...)[1]["ra.score"], 0)
}

// A batch that comes while another waits for the model waits with it.
func TestWaitHoldsTheBatchesThatComeMeanwhile(t *testing.T) {
	waiting, proceed := make(chan struct{}), make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask := readAsk(t, r)
		answer := answerTo(ask)
		if ask.WaitMs > 0 {
			close(waiting)
			<-proceed
			answer.Verdicts[0].Label, answer.Verdicts[0].Score = labelNormal, new(0.3)
		}
		writeJSON(w, answer)
	}))
	defer service.Close()
	cfg := testConfig(service.URL)
	cfg.Wait = time.Minute
	j, err := newLogsProcessor(processortest.NewNopSettings(typ), cfg)
	require.NoError(t, err)
	require.NoError(t, j.start(t.Context(), componenttest.NewNopHost()))
	defer func() { assert.NoError(t, j.shutdown(context.Background())) }()
	var first sync.WaitGroup
	first.Go(func() {
		_, err := j.process(t.Context(), logsOf("cold start"))
		assert.NoError(t, err)
	})
	<-waiting

	second := new(reader)
	j.read(second, logsOf("cold start"))
	require.NotNil(t, second.places[0].question)
	close(proceed)
	j.await(t.Context(), second.places)
	first.Wait()

	assert.Equal(t, labelNormal, second.places[0].verdict.label)
}

func TestMinSeverityAndResourcesChooseWhatIsJudged(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	cfg := testConfig(service.URL)
	cfg.MinSeverity = "warn"
	cfg.Include = []ResourceMatch{{Key: "service.name", Pattern: "orders|payments"}}
	cfg.Exclude = []ResourceMatch{{Key: "test"}}
	p := started(t, cfg, sink)
	logs := plog.NewLogs()
	for _, resource := range []map[string]any{
		{"service.name": "orders"},
		{"service.name": "orders-canary"},
		{"service.name": "payments", "test": true},
		{},
	} {
		added := logs.ResourceLogs().AppendEmpty()
		require.NoError(t, added.Resource().Attributes().FromRaw(resource))
		for _, severity := range []plog.SeverityNumber{0, plog.SeverityNumberInfo4, plog.SeverityNumberWarn} {
			record := added.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
			record.Body().SetStr("all good")
			record.SetSeverityNumber(severity)
		}
	}

	require.NoError(t, p.ConsumeLogs(t.Context(), logs))

	var labelled []int
	for i, attributes := range attributesOf(sink.AllLogs()...) {
		if attributes["ra.label"] != nil {
			labelled = append(labelled, i)
		} else {
			assert.Empty(t, attributes)
		}
	}
	assert.Equal(t, []int{0, 2}, labelled)
}

func TestNormalRecordsAreDroppedOnlyIfTheOperatorSaysSo(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	cfg := testConfig(service.URL)
	cfg.DropNormalBelow, cfg.KeepNormalRatio = 0.2, 0.25
	telemetry := componenttest.NewTelemetry()
	defer func() { assert.NoError(t, telemetry.Shutdown(context.Background())) }()
	p := startedWith(t, metadatatest.NewSettings(telemetry), cfg, sink)
	logs := logsOf("it failed", "cold start")
	records := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	const normal = 4000
	for i := range normal {
		record := records.AppendEmpty()
		record.Body().SetStr("all good")
		if i%2 == 0 {
			record.SetTimestamp(pcommon.Timestamp(i))
		} else { // as a receiver leaves it that parses no time
			record.SetObservedTimestamp(pcommon.Timestamp(i))
		}
	}
	again, empty := plog.NewLogs(), logs.ResourceLogs().AppendEmpty()
	empty.Resource().Attributes().PutStr("service.name", "idle")
	logs.CopyTo(again)

	require.NoError(t, p.ConsumeLogs(t.Context(), logs))

	labels := map[any]int{}
	for _, attributes := range attributesOf(sink.AllLogs()...) {
		labels[attributes["ra.label"]]++
	}
	kept := labels["normal"]
	assert.Equal(t, map[any]int{"abnormal": 1, "undecided": 1, "normal": kept}, labels)
	assert.InDelta(t, normal/4, kept, 300)
	assert.Equal(t, 2, sink.AllLogs()[0].ResourceLogs().Len(), "a resource that was empty before stays")
	metadatatest.AssertEqualProcessorRationanomalyDropped(t, telemetry,
		[]metricdata.DataPoint[int64]{{Value: int64(normal - kept)}}, metricdatatest.IgnoreTimestamp())

	sink.Reset()
	require.NoError(t, p.ConsumeLogs(t.Context(), again))
	assert.Equal(t, kept+2, sink.LogRecordCount(), "a batch that is offered again is sampled as before")
}

func TestABatchOfWhichNothingIsLeftEndsHere(t *testing.T) {
	service := newFakeService(t)
	cfg := testConfig(service.URL)
	cfg.DropNormalBelow = 1
	p := started(t, cfg, consumertest.NewErr(errors.New("nothing must come")))

	assert.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))
}

func TestErrorsOfTheNextConsumerAreReturned(t *testing.T) {
	service := newFakeService(t)
	full := errors.New("the exporter's queue is full")
	p := started(t, testConfig(service.URL), consumertest.NewErr(full))

	assert.ErrorIs(t, p.ConsumeLogs(t.Context(), logsOf("all good")), full)
}

func TestShutdownHandsOnWhatIsHeld(t *testing.T) {
	arrived := make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		readAsk(t, r) // the server notices that the client has gone only once the body is read
		close(arrived)
		<-r.Context().Done()
	}))
	defer service.Close()
	sink := new(consumertest.LogsSink)
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(typ), testConfig(service.URL), sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	returned := make(chan error, 1)
	go func() { returned <- p.ConsumeLogs(t.Context(), logsOf("all good")) }()
	<-arrived

	require.NoError(t, p.Shutdown(t.Context()))

	assert.Equal(t, []map[string]any{undecided("shutdown")}, attributesOf(sink.AllLogs()...))
	assert.NoError(t, <-returned)
}

func TestVerifyShutdown(t *testing.T) {
	service := newFakeService(t)
	processortest.VerifyShutdown(t, NewFactory(), testConfig(service.URL))
}

// The cache is emptied when an answer is of another revision, or when the service says so between answers.
func TestTheCacheFollowsTheRevision(t *testing.T) {
	service := newFakeService(t)
	cfg := testConfig(service.URL)
	cfg.Cache.Check = minCheck
	p := started(t, cfg, consumertest.NewNop())
	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))
	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))
	require.Len(t, service.asked(), 1)

	service.revise("2")

	require.Eventually(t, func() bool {
		assert.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))
		return len(service.asked()) == 2
	}, time.Minute, time.Millisecond)
}

func TestTelemetry(t *testing.T) {
	service := newFakeService(t)
	telemetry := componenttest.NewTelemetry()
	defer func() { assert.NoError(t, telemetry.Shutdown(context.Background())) }()
	p := startedWith(t, metadatatest.NewSettings(telemetry), testConfig(service.URL), consumertest.NewNop())

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good", "it failed", "cold start")))
	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))

	counted := func(count int64, pairs ...string) metricdata.DataPoint[int64] {
		var attributes []attribute.KeyValue
		for i := 0; i < len(pairs); i += 2 {
			attributes = append(attributes, attribute.String(pairs[i], pairs[i+1]))
		}
		return metricdata.DataPoint[int64]{Value: count, Attributes: attribute.NewSet(attributes...)}
	}
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualProcessorRationanomalyRecords(t, telemetry, []metricdata.DataPoint[int64]{
		counted(2, "label", "normal"), counted(1, "label", "abnormal"), counted(1, "label", "undecided"),
	}, ignore)
	metadatatest.AssertEqualProcessorRationanomalyUndecided(t, telemetry, []metricdata.DataPoint[int64]{counted(1, "reason", "pending")}, ignore)
	metadatatest.AssertEqualProcessorRationanomalyCacheHits(t, telemetry, []metricdata.DataPoint[int64]{counted(1)}, ignore)
	metadatatest.AssertEqualProcessorRationanomalyCacheMisses(t, telemetry, []metricdata.DataPoint[int64]{counted(3)}, ignore)
	metadatatest.AssertEqualProcessorRationanomalyRequests(t, telemetry, []metricdata.DataPoint[int64]{counted(1, "outcome", "ok")}, ignore)
	metadatatest.AssertEqualProcessorRationanomalyQueueRecords(t, telemetry, []metricdata.DataPoint[int64]{counted(0)}, ignore)
	metadatatest.AssertEqualProcessorRationanomalyCacheEntries(t, telemetry, []metricdata.DataPoint[int64]{counted(3)}, ignore)
	metadatatest.AssertEqualProcessorRationanomalyBreakerOpen(t, telemetry, []metricdata.DataPoint[int64]{counted(0)}, ignore)
}

func TestManyBatchesAtOnce(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	cfg := testConfig(service.URL)
	cfg.MaxBatch, cfg.Cache.Size = 7, 64
	p := started(t, cfg, sink)

	var senders sync.WaitGroup
	for sender := range 8 {
		senders.Go(func() {
			for i := range 50 {
				body := fmt.Sprintf("unit %d failed in block %d", (sender+i)%20, 100_000+i)
				assert.NoError(t, p.ConsumeLogs(t.Context(), logsOf(body, "all good", fmt.Sprint("line ", i%30))))
			}
		})
	}
	senders.Wait()

	require.Equal(t, 8*50*3, sink.LogRecordCount())
	for _, logs := range sink.AllLogs() {
		records := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		rationale, _ := records.At(0).Attributes().Get("ra.rationale")
		assert.Equal(t, `It says "`+records.At(0).Body().Str()+`".`, rationale.Str())
		label, _ := records.At(1).Attributes().Get("ra.label")
		assert.Equal(t, "normal", label.Str())
	}
}
