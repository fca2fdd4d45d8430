// SPDX-License-Identifier: Apache-2.0
// Written by hand in the shape of mdatagen; metadata.yaml is the source.

package metadatatest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/rationanomaly/ra-sdk/plugins/otelcol-processor/internal/metadata"
)

func TestSetupTelemetry(t *testing.T) {
	testTel := componenttest.NewTelemetry()
	tb, err := metadata.NewTelemetryBuilder(testTel.NewTelemetrySettings())
	require.NoError(t, err)
	defer tb.Shutdown()
	tb.ProcessorRationanomalyDropped.Add(context.Background(), 1)
	AssertEqualProcessorRationanomalyDropped(t, testTel,
		[]metricdata.DataPoint[int64]{{Value: 1}},
		metricdatatest.IgnoreTimestamp())
	require.NoError(t, testTel.Shutdown(context.Background()))
}
