// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/rationanomaly/ra-sdk/plugins/otelcol-processor/internal/metadatatest"
)

// A body that is written to look like a shape must not meet the verdict of another.
func TestBodiesThatLookLikeShapes(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	p := started(t, testConfig(service.URL), sink)
	forged := "block \x00\x01\x00\x00\x00 failed"

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("block 1234567 failed")))
	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf(forged)))

	assert.Equal(t, `It says "`+forged+`".`, attributesOf(sink.AllLogs()...)[1]["ra.rationale"])
}

func TestRecordsMayComeWhileItShutsDown(t *testing.T) {
	service := newFakeService(t)
	for range 20 {
		sink := new(consumertest.LogsSink)
		p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(typ), testConfig(service.URL), sink)
		require.NoError(t, err)
		require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
		var senders sync.WaitGroup
		var accepted atomic.Int64
		for range 8 {
			senders.Go(func() {
				for p.ConsumeLogs(context.Background(), logsOf("all good")) == nil {
					accepted.Add(1)
				}
			})
		}
		require.NoError(t, p.Shutdown(t.Context()))
		held := sink.LogRecordCount()
		senders.Wait()
		assert.EqualValues(t, held, accepted.Load(), "what was accepted is handed on before the shutdown returns")
		assert.Equal(t, held, sink.LogRecordCount())
		assert.NoError(t, p.Shutdown(t.Context()))
	}
}

func TestAShutdownWaitsNoLongerThanItsContext(t *testing.T) {
	service := newFakeService(t)
	arrived, proceed := make(chan struct{}), make(chan struct{})
	next, err := consumer.NewLogs(func(context.Context, plog.Logs) error {
		close(arrived)
		<-proceed
		return nil
	})
	require.NoError(t, err)
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(typ), testConfig(service.URL), next)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	returned := make(chan error, 1)
	go func() { returned <- p.ConsumeLogs(t.Context(), logsOf("all good")) }()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	require.NoError(t, p.Shutdown(ctx))
	close(proceed)
	assert.NoError(t, <-returned)
}

// One record that the service refuses costs the others nothing, and is asked about once.
func TestRecordsThatTheServiceRefuses(t *testing.T) {
	for _, status := range []int{http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			var asked atomic.Int64
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ask := readAsk(t, r)
				for _, record := range ask.Records {
					if record.Body == "poison" {
						asked.Add(1)
						w.WriteHeader(status)
						return
					}
				}
				writeJSON(w, answerTo(ask))
			}))
			defer service.Close()
			sink := new(consumertest.LogsSink)
			p := started(t, testConfig(service.URL), sink)

			require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("poison", "a", "b", "c")))
			first := asked.Load()
			for i := range tolerated + 1 {
				require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("poison", fmt.Sprint("d", i))))
			}

			assert.Equal(t, first, asked.Load())
			for i, attributes := range attributesOf(sink.AllLogs()...) {
				if i == 0 || (i > 3 && i%2 == 0) {
					assert.Equal(t, undecided("refused"), attributes)
				} else {
					assert.Equal(t, "normal", attributes["ra.label"], i)
				}
			}
		})
	}
}

// A service that takes no record at all is not asked about each.
func TestAServiceThatTakesNothing(t *testing.T) {
	var requests atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusUnprocessableEntity)
	}))
	defer service.Close()
	j, err := newLogsProcessor(processortest.NewNopSettings(typ), testConfig(service.URL))
	require.NoError(t, err)
	j.asker.probeEvery = time.Hour
	require.NoError(t, j.start(t.Context(), componenttest.NewNopHost()))
	defer func() { assert.NoError(t, j.shutdown(context.Background())) }()

	for i := 0; j.asker.breaker.state() == nil; i++ {
		require.Less(t, i, tolerated)
		before := j.asker.breaker.failed()
		var bodies []string
		for k := range 512 {
			bodies = append(bodies, fmt.Sprint("body ", i, " ", k))
		}
		logs, err := j.process(t.Context(), logsOf(bodies...))
		require.NoError(t, err)
		for _, attributes := range attributesOf(logs) {
			assert.Equal(t, undecided("refused"), attributes)
		}
		// the failure is counted after the last record has its answer; on a slow machine the records are several requests
		require.Eventually(t, func() bool { return j.asker.breaker.failed() > before }, time.Minute, time.Millisecond)
	}

	assert.NotNil(t, j.asker.breaker.state())
	most := j.asker.breaker.failed() + cap(j.asker.requests) // what is under way when the breaker opens is no failure of its own
	assert.LessOrEqual(t, requests.Load(), int64(most*(2*maxRefusals+9)))
	assert.LessOrEqual(t, j.cache.entries(), most*maxRefusals, "what was not asked about alone is not remembered as refused")
}

func (b *breaker) failed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures
}

// Templates of what JSON has to escape are long, but no longer than what was sent.
func TestAnswersOnRecordsThatHaveToBeEscaped(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	p := started(t, testConfig(service.URL), sink)
	var bodies []string
	for i := range 1000 {
		bodies = append(bodies, fmt.Sprint(strings.Repeat("\x01", 1020), i))
	}

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf(bodies...)))

	for _, attributes := range attributesOf(sink.AllLogs()...) {
		require.Equal(t, "normal", attributes["ra.label"], attributes["ra.reason"])
	}
}

// The bound of the queue counts all that a question holds.
func TestTheQueueCountsTheNamesOfResources(t *testing.T) {
	j, err := newLogsProcessor(processortest.NewNopSettings(typ), testConfig("http://127.0.0.1:1"))
	require.NoError(t, err)
	logs := logsOf("body")
	logs.ResourceLogs().At(0).Resource().Attributes().PutStr("service.name", "orders")
	j.read(new(reader), logs)
	assert.Equal(t, len("body")+len("service.name")+len("orders"), j.asker.bytes)
	assert.NoError(t, j.shutdown(context.Background()))
}

// The breaker closes though all records that pass are known, so that no request would try.
func TestTheBreakerClosesWithoutRecordsThatAreNew(t *testing.T) {
	var down atomic.Bool
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		writeJSON(w, answerTo(readAsk(t, r)))
	}))
	defer service.Close()
	j, err := newLogsProcessor(processortest.NewNopSettings(typ), testConfig(service.URL))
	require.NoError(t, err)
	j.asker.probeEvery = 10 * time.Millisecond
	host := &reportingHost{componenttest.NewNopHost(), make(chan componentstatus.Status, 9)}
	down.Store(true)
	require.NoError(t, j.start(t.Context(), host))
	defer func() { assert.NoError(t, j.shutdown(context.Background())) }()
	_, err = j.process(t.Context(), logsOf("something new"))
	require.NoError(t, err)
	require.Equal(t, componentstatus.StatusRecoverableError, <-host.statuses)

	down.Store(false)

	assert.Equal(t, componentstatus.StatusOK, <-host.statuses)
	assert.Nil(t, j.asker.breaker.state())
}

// What is announced last is what holds, whatever order events come in.
func TestStatusesComeInOrder(t *testing.T) {
	j, err := newLogsProcessor(processortest.NewNopSettings(typ), testConfig("http://127.0.0.1:1"))
	require.NoError(t, err)
	a := j.asker
	var last error
	a.changed = func(err error) { last = err }
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			for range 2000 {
				a.breaker.mu.Lock()
				now := a.breaker.period
				a.breaker.mu.Unlock()
				if i%2 == 0 {
					a.learn(now, atOnce)
				} else {
					a.learn(now, nil)
				}
			}
		})
	}
	work.Wait()
	assert.Equal(t, a.breaker.state() != nil, last != nil)
	assert.NoError(t, j.shutdown(context.Background()))
}

// wait bounds the whole time that a batch is held, and what the service said before it holds afterwards.
func TestWaitHoldsNoLonger(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask := readAsk(t, r)
		if ask.WaitMs > 0 {
			<-r.Context().Done()
			return
		}
		writeJSON(w, answerTo(ask))
	}))
	defer service.Close()
	cfg := testConfig(service.URL)
	cfg.ClientConfig.Timeout, cfg.Wait = 900*time.Millisecond, time.Second
	sink := new(consumertest.LogsSink)
	p := started(t, cfg, sink)

	began := time.Now()
	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("cold start")))

	assert.Less(t, time.Since(began), cfg.Wait+cfg.ClientConfig.Timeout-100*time.Millisecond)
	assert.GreaterOrEqual(t, time.Since(began), cfg.Wait)
	assert.Equal(t, []map[string]any{
		{"ra.label": "undecided", "ra.reason": "pending", "log.record.template": "template of cold start"},
	}, attributesOf(sink.AllLogs()...))
}

// A service that fails only the requests that wait for the model fails all the same.
func TestFailuresWhileTheModelIsWaitedForOpenTheBreaker(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask := readAsk(t, r)
		if ask.WaitMs > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		writeJSON(w, answerTo(ask))
	}))
	defer service.Close()
	cfg := testConfig(service.URL)
	cfg.Wait = time.Minute
	j, err := newLogsProcessor(processortest.NewNopSettings(typ), cfg)
	require.NoError(t, err)
	j.asker.probeEvery = time.Hour
	require.NoError(t, j.start(t.Context(), componenttest.NewNopHost()))
	defer func() { assert.NoError(t, j.shutdown(context.Background())) }()

	logs, err := j.process(t.Context(), logsOf("cold start"))
	require.NoError(t, err)

	assert.Equal(t, "pending", attributesOf(logs)[0]["ra.reason"])
	assert.NotNil(t, j.asker.breaker.state())
}

// Cold records for which no request may wait are remembered as undecided, as without wait.
func TestColdRecordsBeyondThoseThatMayWaitAreRemembered(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	cfg := testConfig(service.URL)
	cfg.Wait = time.Minute
	j, err := newLogsProcessor(processortest.NewNopSettings(typ), cfg)
	require.NoError(t, err)
	for range patientRequests {
		j.asker.patient <- struct{}{}
	}
	require.NoError(t, j.start(t.Context(), componenttest.NewNopHost()))
	defer func() { assert.NoError(t, j.shutdown(context.Background())) }()

	logs, err := j.process(t.Context(), logsOf("cold start"))
	require.NoError(t, err)
	require.NoError(t, sink.ConsumeLogs(t.Context(), logs))

	assert.Equal(t, "pending", attributesOf(sink.AllLogs()...)[0]["ra.reason"])
	assert.Equal(t, 1, j.cache.entries())
}

// Errors that loggers write as objects are sent as they are; the service knows how to read them.
func TestErrorsThatAreObjectsAreSent(t *testing.T) {
	service := newFakeService(t)
	p := started(t, testConfig(service.URL), consumertest.NewNop())
	logs := logsOf("payment rejected", "payment rejected", "payment rejected")
	records := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	records.At(0).Attributes().PutEmptyMap("error").PutStr("message", "card declined")
	large := records.At(1).Attributes().PutEmptyMap("err")
	large.PutStr("type", "Error")
	large.PutStr("message", "no funds")
	large.PutStr("config", strings.Repeat("x", maxCharacters))
	body := records.At(2).Body().SetEmptyMap()
	body.PutStr("msg", "payment rejected")
	body.PutEmptyMap("err").PutStr("message", "no card")

	require.NoError(t, p.ConsumeLogs(t.Context(), logs))

	sent := service.asked()[0].Records
	require.Len(t, sent, 3)
	assert.Equal(t, map[string]any{"error": map[string]any{"message": "card declined"}}, sent[0].Attributes)
	assert.Equal(t, map[string]any{"err": map[string]any{"type": "Error", "message": "no funds"}}, sent[1].Attributes)
	assert.Equal(t, map[string]any{"err": map[string]any{"message": "no card"}}, sent[2].Attributes)
	assert.Equal(t, "payment rejected", sent[2].Body)
}

func TestErrorObjectsThatAreNoJSON(t *testing.T) {
	object := plog.NewLogRecord().Attributes()
	object.PutDouble("rate", nan())
	object.PutStr("message", "m")
	encoded, ok := errorObject(object)
	assert.True(t, ok)
	assert.True(t, json.Valid([]byte(encoded)))
	object.Remove("message")
	_, ok = errorObject(object)
	assert.False(t, ok)
}

func nan() float64 { zero := 0.0; return zero / zero }

func TestTheRevisionIsAskedForWithoutABody(t *testing.T) {
	sizes := make(chan int, 100)
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sizes <- len(body)
	}))
	defer service.Close()
	cfg := testConfig(service.URL)
	cfg.Cache.Check = minCheck
	started(t, cfg, consumertest.NewNop())

	assert.Zero(t, <-sizes)
}

// A request that a shutdown ends says nothing about the service.
func TestRequestsThatAShutdownEnds(t *testing.T) {
	arrived := make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		readAsk(t, r)
		close(arrived)
		<-r.Context().Done()
	}))
	defer service.Close()
	telemetry := componenttest.NewTelemetry()
	defer func() { assert.NoError(t, telemetry.Shutdown(context.Background())) }()
	p, err := NewFactory().CreateLogs(t.Context(), metadatatest.NewSettings(telemetry), testConfig(service.URL), consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	returned := make(chan error, 1)
	go func() { returned <- p.ConsumeLogs(t.Context(), logsOf("all good")) }()
	<-arrived
	require.NoError(t, p.Shutdown(t.Context()))
	require.NoError(t, <-returned)

	found, err := telemetry.GetMetric("otelcol_processor_rationanomaly_requests")
	require.NoError(t, err)
	points := found.Data.(metricdata.Sum[int64]).DataPoints
	require.Len(t, points, 1)
	outcome, _ := points[0].Attributes.Value("outcome")
	assert.Equal(t, "shutdown", outcome.AsString())
}

// A shutdown leaves no connections behind that wait for the next request.
func TestAShutdownClosesConnections(t *testing.T) {
	open := make(chan http.ConnState, 100)
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, answerTo(readAsk(t, r)))
	}))
	service.Config.ConnState = func(_ net.Conn, state http.ConnState) { open <- state }
	service.Start()
	defer service.Close()
	cfg := testConfig(service.URL)
	cfg.ClientConfig.Keepalive.Get().IdleConnTimeout = time.Hour
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(typ), cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))

	require.NoError(t, p.Shutdown(t.Context()))

	timeout := time.After(time.Minute)
	for {
		select {
		case state := <-open:
			if state == http.StateClosed {
				return
			}
		case <-timeout:
			t.Fatal("the connection is open")
		}
	}
}
