// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"
)

// Whatever the service does, the record passes, undecided and with the reason.
func TestHostileServices(t *testing.T) {
	say := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	const normal = `{"template":"t","label":"normal","score":0.1}`
	tests := []struct {
		name    string
		handler http.HandlerFunc
		reason  string
	}{
		{"no verdict", say(200, `{"records":[],"verdicts":[]}`), "invalid_answer"},
		{"two verdicts", say(200, `{"records":[{"verdict":0},{"verdict":0}],"verdicts":[`+normal+`]}`), "invalid_answer"},
		{"an index out of range", say(200, `{"records":[{"verdict":1}],"verdicts":[`+normal+`]}`), "invalid_answer"},
		{"a negative index", say(200, `{"records":[{"verdict":-1}],"verdicts":[`+normal+`]}`), "invalid_answer"},
		{"no index", say(200, `{"records":[{}],"verdicts":[`+normal+`]}`), "invalid_answer"},
		{"an unknown label", say(200, `{"records":[{"verdict":0}],"verdicts":[{"template":"t","label":"odd","score":0.1}]}`), "invalid_answer"},
		{"no score", say(200, `{"records":[{"verdict":0}],"verdicts":[{"template":"t","label":"normal","score":null}]}`), "invalid_answer"},
		{"a score above 1", say(200, `{"records":[{"verdict":0}],"verdicts":[{"template":"t","label":"abnormal","score":17}]}`), "invalid_answer"},
		{"another schema", say(200, `{"data":{"results":[{"anomaly":true}]},"version":"v2"}`), "invalid_answer"},
		{"other types", say(200, `{"records":{"verdict":0},"verdicts":"none"}`), "invalid_answer"},
		{"HTML", say(200, `<html><body>Sign in to the network</body></html>`), "invalid_answer"},
		{"nothing", say(200, ``), "invalid_answer"},
		{"half an answer", say(200, `{"records":[{"verdict":0}],"verd`), "invalid_answer"},
		{"deep nesting", say(200, strings.Repeat(`[`, 50_000)), "invalid_answer"},
		{"50 MB", func(w http.ResponseWriter, _ *http.Request) {
			piece := bytes.Repeat([]byte(" "), 1<<20)
			for range 50 {
				if _, err := w.Write(piece); err != nil {
					return // the client has stopped reading, as it should
				}
			}
		}, "invalid_answer"},
		{"an empty body with a length", say(200, ``, "Content-Length", "100"), "unreachable"},
		{"another path", say(404, `{"error":{"code":"no_such_path","message":"m"}}`), "refused"},
		{"a wrong shape", say(422, `{"error":{"code":"wrong_shape","message":"m"}}`), "refused"},
		{"a failure", say(500, `{"error":{"code":"broken","message":"m"}}`), "refused"},
		{"a redirection", say(307, ``, "Location", "http://127.0.0.1:1/"), "refused"},
		{"no token", say(401, `{"error":{"code":"unauthorized","message":"m"}}`), "unauthorized"},
		{"a revoked token", say(403, ``), "unauthorized"},
		{"too much", say(429, `{"error":{"code":"busy","message":"m"}}`, "Retry-After", "1"), "busy"},
		{"loading", say(503, `{"error":{"code":"not_ready","message":"m"}}`, "Retry-After", "1"), "not_ready"},
		{"a line too long", say(413, `{"error":{"code":"line_too_long","message":"m"}}`), "refused"},
		{"a broken connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "unreachable"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			service, sink := httptest.NewServer(test.handler), new(consumertest.LogsSink)
			defer service.Close()
			p := started(t, testConfig(service.URL), sink)

			require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))

			assert.Equal(t, []map[string]any{undecided(test.reason)}, attributesOf(sink.AllLogs()...))
		})
	}
}

func TestASlowServiceHoldsABatchNoLongerThanTimeout(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) {
			readAsk(t, r)
			<-r.Context().Done()
		},
		"an answer that does not end": func(w http.ResponseWriter, r *http.Request) {
			readAsk(t, r)
			_, _ = w.Write([]byte(`{"records":`))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			service, sink := httptest.NewServer(handler), new(consumertest.LogsSink)
			defer service.Close()
			cfg := testConfig(service.URL)
			cfg.ClientConfig.Timeout = 50 * time.Millisecond
			p := started(t, cfg, sink)

			require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))

			assert.Equal(t, []map[string]any{undecided("timeout")}, attributesOf(sink.AllLogs()...))
		})
	}
}

func TestNobodyListens(t *testing.T) {
	service := httptest.NewServer(http.NotFoundHandler())
	service.Close()
	sink := new(consumertest.LogsSink)
	p := started(t, testConfig(service.URL), sink)

	for range 5 { // the last ones while the breaker is open
		require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))
	}

	for _, attributes := range attributesOf(sink.AllLogs()...) {
		assert.Equal(t, undecided("unreachable"), attributes)
	}
	assert.Equal(t, 5, sink.LogRecordCount())
}

func TestTLSMismatch(t *testing.T) {
	service, sink := httptest.NewUnstartedServer(http.NotFoundHandler()), new(consumertest.LogsSink)
	service.Config.ErrorLog = nil
	service.StartTLS()
	defer service.Close()
	for _, endpoint := range []string{
		service.URL, // its certificate is not known
		strings.Replace(service.URL, "https:", "http:", 1),
	} {
		p := started(t, testConfig(endpoint), sink)
		require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))
	}

	found := attributesOf(sink.AllLogs()...)
	assert.Equal(t, undecided("unreachable"), found[0])
	assert.Equal(t, undecided("refused"), found[1]) // an HTTPS server answers 400 in plain text
}

func TestAMissingCertificateFailsTheStart(t *testing.T) {
	cfg := testConfig("https://127.0.0.1:1")
	cfg.ClientConfig.TLS.CAFile = filepath.Join(t.TempDir(), "absent.pem")
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(typ), cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.ErrorContains(t, p.Start(t.Context(), componenttest.NewNopHost()), "absent.pem")
	assert.NoError(t, p.Shutdown(t.Context()))
}

type reportingHost struct {
	component.Host
	statuses chan componentstatus.Status
}

func (h *reportingHost) Report(event *componentstatus.Event) { h.statuses <- event.Status() }

// 429 keeps everything away at once, until Retry-After is over; then one request finds that the service is back.
func TestTheBreakerKeepsToRetryAfter(t *testing.T) {
	var calls atomic.Int64
	var busy atomic.Bool
	busy.Store(true)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if busy.Load() {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		writeJSON(w, answerTo(readAsk(t, r)))
	}))
	defer service.Close()
	sink := new(consumertest.LogsSink)
	set := processortest.NewNopSettings(typ)
	cfg := testConfig(service.URL)
	j, err := newLogsProcessor(set, cfg)
	require.NoError(t, err)
	j.asker.probeEvery = time.Hour // the records try it
	host := &reportingHost{componenttest.NewNopHost(), make(chan componentstatus.Status, 2)}
	require.NoError(t, j.start(t.Context(), host))
	defer func() { assert.NoError(t, j.shutdown(context.Background())) }()
	consume := func() {
		logs, err := j.process(t.Context(), logsOf("all good"))
		require.NoError(t, err)
		require.NoError(t, sink.ConsumeLogs(t.Context(), logs))
	}

	for range 10 {
		consume()
	}
	assert.EqualValues(t, 1, calls.Load())
	assert.Equal(t, componentstatus.StatusRecoverableError, <-host.statuses)

	busy.Store(false)
	j.asker.breaker.mu.Lock()
	j.asker.breaker.now = func() time.Time { return time.Now().Add(59 * time.Second) }
	j.asker.breaker.mu.Unlock()
	consume()
	assert.EqualValues(t, 1, calls.Load())

	j.asker.breaker.mu.Lock()
	j.asker.breaker.now = func() time.Time { return time.Now().Add(61 * time.Second) }
	j.asker.breaker.mu.Unlock()
	consume()
	assert.EqualValues(t, 2, calls.Load())
	assert.Equal(t, componentstatus.StatusOK, <-host.statuses)

	found := attributesOf(sink.AllLogs()...)
	for _, attributes := range found[:11] {
		assert.Equal(t, undecided("busy"), attributes)
	}
	assert.Equal(t, "normal", found[11]["ra.label"])
}

// What is in the cache needs no service.
func TestKnownRecordsHaveVerdictsWhileTheServiceIsDown(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	p := started(t, testConfig(service.URL), sink)
	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good")))
	service.Close()

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("all good", "something new")))

	found := attributesOf(sink.AllLogs()...)
	assert.Equal(t, "normal", found[1]["ra.label"])
	assert.Equal(t, undecided("unreachable"), found[2])
}

func TestBatchesThatAreTooLargeAreHalved(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask := readAsk(t, r)
		for _, record := range ask.Records {
			if len(ask.Records) > 2 || record.Body == "huge" {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				return
			}
		}
		writeJSON(w, answerTo(ask))
	}))
	defer service.Close()
	sink := new(consumertest.LogsSink)
	p := started(t, testConfig(service.URL), sink)

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("a", "b", "c", "huge", "d")))

	for i, attributes := range attributesOf(sink.AllLogs()...) {
		if i == 3 {
			assert.Equal(t, undecided("refused"), attributes)
		} else {
			assert.Equal(t, "normal", attributes["ra.label"])
		}
	}
}

func TestAFullQueueLetsRecordsPass(t *testing.T) {
	arrived, proceed := make(chan struct{}), make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask := readAsk(t, r)
		close(arrived)
		<-proceed
		writeJSON(w, answerTo(ask))
	}))
	defer service.Close()
	sink := new(consumertest.LogsSink)
	cfg := testConfig(service.URL)
	cfg.MaxBatch, cfg.Queue.Records = 1, 1
	p := started(t, cfg, sink)
	returned := make(chan error, 1)
	go func() { returned <- p.ConsumeLogs(t.Context(), logsOf("first")) }()
	<-arrived

	require.NoError(t, p.ConsumeLogs(t.Context(), logsOf("second")))
	close(proceed)
	require.NoError(t, <-returned)

	found := attributesOf(sink.AllLogs()...)
	assert.Equal(t, undecided("queue_full"), found[0])
	assert.Equal(t, "normal", found[1]["ra.label"])
}

func TestHostileRecords(t *testing.T) {
	service, sink := newFakeService(t), new(consumertest.LogsSink)
	p := started(t, testConfig(service.URL), sink)
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	var bodies []string
	add := func(sent string) plog.LogRecord {
		bodies = append(bodies, sent)
		return records.AppendEmpty()
	}

	add("") // no body at all
	add(strings.Repeat("é", maxCharacters)).Body().SetStr(strings.Repeat("é", 1<<19))
	add("it broke").Body().SetEmptyMap().PutStr("msg", "it broke")
	add(`{"level":3}`).Body().SetEmptyMap().PutInt("level", 3)
	add("AAEC").Body().SetEmptyBytes().FromRaw([]byte{0, 1, 2})
	add(`["a"]`).Body().SetEmptySlice().AppendEmpty().SetStr("a")
	add("17").Body().SetInt(17)
	add("not \ufffd UTF-8").Body().SetStr("not \xff UTF-8")
	add("\x1b]0;owned\x07 </script>").Body().SetStr("\x1b]0;owned\x07 </script>")
	many := add("many attributes")
	many.Body().SetStr("many attributes")
	for i := range 10_000 {
		many.Attributes().PutStr(fmt.Sprint("key", i), "v")
	}
	deep := add(``)
	nested := deep.Body().SetEmptyMap()
	for range 200 {
		nested = nested.PutEmptyMap("n")
	}
	bodies[len(bodies)-1] = deep.Body().AsString()

	require.NoError(t, p.ConsumeLogs(t.Context(), logs))

	found := attributesOf(sink.AllLogs()...)
	require.Len(t, found, len(bodies))
	for i, attributes := range found {
		assert.Equal(t, "normal", attributes["ra.label"], bodies[i][:min(len(bodies[i]), 40)])
	}
	assert.Len(t, found[9], 10_003)
	var sent []string
	for _, ask := range service.asked() {
		for _, record := range ask.Records {
			sent = append(sent, record.Body)
		}
	}
	assert.ElementsMatch(t, bodies, sent)
}
