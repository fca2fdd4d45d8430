// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"

	"github.com/rationanomaly/ra-sdk/plugins/otelcol-processor/internal/metadata"
)

var capabilities = consumer.Capabilities{MutatesData: true}

// NewFactory returns the factory of the RationAnomaly processor.
func NewFactory() processor.Factory {
	return processor.NewFactory(
		metadata.Type,
		createDefaultConfig,
		processor.WithLogs(createLogs, metadata.LogsStability),
	)
}

func createLogs(
	ctx context.Context,
	set processor.Settings,
	cfg component.Config,
	next consumer.Logs,
) (processor.Logs, error) {
	judging, err := newLogsProcessor(set, cfg.(*Config))
	if err != nil {
		return nil, err
	}
	helper, err := processorhelper.NewLogs(
		ctx,
		set,
		cfg,
		next,
		judging.process,
		processorhelper.WithCapabilities(capabilities),
		processorhelper.WithStart(judging.start),
		processorhelper.WithShutdown(judging.shutdown),
	)
	if err != nil {
		judging.telemetry.Shutdown()
		return nil, err
	}
	return newDraining(helper, judging.release), nil
}
