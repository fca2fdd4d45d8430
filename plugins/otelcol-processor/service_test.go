// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
)

// fakeService answers as ra serve does with the model echo: "failed" is abnormal, "cold" undecided.
type fakeService struct {
	*httptest.Server

	mu       sync.Mutex
	asks     []wireAsk
	revision string
}

func newFakeService(t *testing.T) *fakeService {
	t.Helper()
	s := &fakeService{revision: "1"}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set(revisionHeader, s.revision)
		if r.URL.Path == "/readyz" {
			return
		}
		ask := readAsk(t, r)
		s.asks = append(s.asks, ask)
		writeJSON(w, answerTo(ask))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *fakeService) asked() []wireAsk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]wireAsk(nil), s.asks...)
}

func (s *fakeService) revise(revision string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision = revision
}

func readAsk(tb testing.TB, r *http.Request) wireAsk {
	tb.Helper()
	var ask wireAsk
	body := r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if assert.NoError(tb, err) {
			body = unpacked
		}
	}
	assert.NoError(tb, json.NewDecoder(body).Decode(&ask))
	return ask
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func answerTo(ask wireAsk) wireAnswer {
	answer := wireAnswer{Records: []wireReference{}, Verdicts: []wireVerdict{}}
	for i, record := range ask.Records {
		template := "template of " + record.Body
		v := wireVerdict{Template: &template}
		switch {
		case strings.Contains(record.Body, "cold"):
			v.Label = labelUndecided
		case strings.Contains(record.Body, "failed"):
			v.Label, v.Score, v.Category = labelAbnormal, new(0.9), new("system")
			v.Rationale = new(`It says "…".`)
		default:
			v.Label, v.Score = labelNormal, new(0.1)
		}
		reference := wireReference{Verdict: new(i)}
		if v.Label == labelAbnormal {
			reference.Rationale = new(`It says "` + record.Body + `".`)
		}
		answer.Records = append(answer.Records, reference)
		answer.Verdicts = append(answer.Verdicts, v)
	}
	return answer
}

// testConfig is for a service in this process: it answers soon, even on a busy machine.
func testConfig(endpoint string) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.ClientConfig.Endpoint = endpoint
	cfg.ClientConfig.Timeout = time.Minute
	cfg.Cache.Check = 0
	return cfg
}

// started returns a running processor; it is shut down at the end of the test.
func started(t *testing.T, cfg *Config, next consumer.Logs) processor.Logs {
	t.Helper()
	return startedWith(t, processortest.NewNopSettings(typ), cfg, next)
}

func startedWith(t *testing.T, set processor.Settings, cfg *Config, next consumer.Logs) processor.Logs {
	t.Helper()
	require.NoError(t, cfg.Validate())
	p, err := NewFactory().CreateLogs(t.Context(), set, cfg, next)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { assert.NoError(t, p.Shutdown(t.Context())) })
	return p
}

// logsOf makes a batch of a body for each record.
func logsOf(bodies ...string) plog.Logs {
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, body := range bodies {
		records.AppendEmpty().Body().SetStr(body)
	}
	return logs
}

// attributesOf returns the attributes of all records, in order.
func attributesOf(batches ...plog.Logs) []map[string]any {
	var found []map[string]any
	for _, logs := range batches {
		for _, resource := range logs.ResourceLogs().All() {
			for _, scope := range resource.ScopeLogs().All() {
				for _, record := range scope.LogRecords().All() {
					found = append(found, record.Attributes().AsRaw())
				}
			}
		}
	}
	return found
}

func undecided(reason string) map[string]any {
	return map[string]any{"ra.label": labelUndecided, "ra.reason": reason}
}
