// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/golden"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/plogtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
)

// What the processor makes of testdata/golden/input.yaml, whole records of it. RA_REFRESH_GOLDEN=1 writes the files again.
func TestGolden(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
	}{
		{"default", func(*Config) {}},
		{"named", func(cfg *Config) {
			cfg.Attributes = AttributesConfig{Label: "verdict", Rationale: "why", Reason: "why.not"}
		}},
		{"selected", func(cfg *Config) {
			cfg.MinSeverity = "info"
			cfg.Exclude = []ResourceMatch{{Key: "service.name", Pattern: "test"}}
		}},
		{"dropped", func(cfg *Config) { cfg.DropNormalBelow = 0.2 }},
		{"absent", func(cfg *Config) { cfg.ClientConfig.Endpoint = "http://127.0.0.1:1" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			service, sink := newFakeService(t), new(consumertest.LogsSink)
			cfg := testConfig(service.URL)
			test.change(cfg)
			p := started(t, cfg, sink)
			input, err := golden.ReadLogs(filepath.Join("testdata", "golden", "input.yaml"))
			require.NoError(t, err)

			require.NoError(t, p.ConsumeLogs(t.Context(), input))

			require.Len(t, sink.AllLogs(), 1)
			assertGolden(t, filepath.Join("testdata", "golden", test.name+".yaml"), sink.AllLogs()[0])
		})
	}
}

func assertGolden(t *testing.T, path string, found plog.Logs) {
	t.Helper()
	if os.Getenv("RA_REFRESH_GOLDEN") == "1" {
		require.NoError(t, golden.WriteLogsToFile(path, found))
	}
	expected, err := golden.ReadLogs(path)
	require.NoError(t, err)
	assert.NoError(t, plogtest.CompareLogs(expected, found))
}
