// SPDX-License-Identifier: Apache-2.0
// Written by hand in the shape of mdatagen; metadata.yaml is the source.

package metadata

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

func TestNewTelemetryBuilder(t *testing.T) {
	applied := false
	_, err := NewTelemetryBuilder(componenttest.NewNopTelemetrySettings(), telemetryBuilderOptionFunc(func(*TelemetryBuilder) {
		applied = true
	}))
	require.NoError(t, err)
	require.True(t, applied)
}

// These files are not generated, so they are compared.
func TestMetadataDeclaresTheInstruments(t *testing.T) {
	conf, err := confmaptest.LoadConf("../../metadata.yaml")
	require.NoError(t, err)
	declared := conf.Get("telemetry::metrics").(map[string]any)

	telemetry := componenttest.NewTelemetry()
	builder, err := NewTelemetryBuilder(telemetry.NewTelemetrySettings())
	require.NoError(t, err)
	zero := func(_ context.Context, observer metric.Int64Observer) error { observer.Observe(0); return nil }
	require.NoError(t, builder.RegisterProcessorRationanomalyBreakerOpenCallback(zero))
	require.NoError(t, builder.RegisterProcessorRationanomalyCacheEntriesCallback(zero))
	require.NoError(t, builder.RegisterProcessorRationanomalyQueueRecordsCallback(zero))
	for _, counter := range []metric.Int64Counter{
		builder.ProcessorRationanomalyCacheHits,
		builder.ProcessorRationanomalyCacheMisses,
		builder.ProcessorRationanomalyDropped,
		builder.ProcessorRationanomalyRecords,
		builder.ProcessorRationanomalyRequests,
		builder.ProcessorRationanomalySkipped,
		builder.ProcessorRationanomalyUndecided,
	} {
		counter.Add(t.Context(), 1)
	}
	builder.ProcessorRationanomalyRequestDuration.Record(t.Context(), 1)

	documentation, err := os.ReadFile("../../documentation.md")
	require.NoError(t, err)
	for name, about := range declared {
		found, err := telemetry.GetMetric("otelcol_" + name)
		require.NoError(t, err, name)
		about := about.(map[string]any)
		require.Equal(t, about["description"].(string)+" [Alpha]", found.Description)
		require.Equal(t, about["unit"], found.Unit)
		require.Contains(t, string(documentation), "### otelcol_"+name+"\n\n"+about["description"].(string))
	}
	require.Len(t, declared, 11)
	builder.Shutdown()
	require.NoError(t, telemetry.Shutdown(context.Background()))
}
