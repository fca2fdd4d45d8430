// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"
)

const benchmarkBatch = 500

func benchmarkLogs() plog.Logs {
	var bodies []string
	for i := range benchmarkBatch {
		bodies = append(bodies, fmt.Sprintf("Received block blk_%d of size %d from 10.0.%d.%d", 1_000_000_000+7919*i, 67_108_864, i%256, i%199))
	}
	return logsOf(bodies...)
}

// BenchmarkBatch measures a batch of 500 records that are known, that nobody answers for, and that pass unread.
func BenchmarkBatch(b *testing.B) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, answerTo(readAsk(b, r)))
	}))
	defer service.Close()
	for _, bench := range []struct {
		name   string
		change func(*Config)
	}{
		{"warm", func(*Config) {}},
		{"warm by body", func(cfg *Config) { cfg.Cache.By = cacheByBody }},
		{"absent", func(cfg *Config) { cfg.ClientConfig.Endpoint = "http://127.0.0.1:1" }},
		{"skipped", func(cfg *Config) { cfg.Include = []ResourceMatch{{Key: "absent"}} }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			cfg := testConfig(service.URL)
			bench.change(cfg)
			p, err := NewFactory().CreateLogs(b.Context(), processortest.NewNopSettings(typ), cfg, consumertest.NewNop())
			require.NoError(b, err)
			require.NoError(b, p.Start(b.Context(), componenttest.NewNopHost()))
			defer func() { require.NoError(b, p.Shutdown(b.Context())) }()
			for range tolerated + 1 { // fills the cache, or opens the breaker
				require.NoError(b, p.ConsumeLogs(b.Context(), benchmarkLogs()))
			}
			logs := benchmarkLogs()
			b.ReportAllocs()
			started := time.Now()
			for b.Loop() {
				if err := p.ConsumeLogs(b.Context(), logs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(time.Since(started).Nanoseconds())/float64(b.N)/benchmarkBatch, "ns/record")
		})
	}
}

func BenchmarkShape(b *testing.B) {
	const body = "Received block blk_-1608999687919862906 of size 67108864 from 10.250.19.102:54106 at 2026-03-14 10:00:00.123"
	var s shaper
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		s.reduce(body)
	}
}
