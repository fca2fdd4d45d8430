// SPDX-License-Identifier: Apache-2.0
// Written by hand in the shape of mdatagen; metadata.yaml is the source.

// Package metadata contains the build and telemetry information of the processor.
package metadata

import (
	"go.opentelemetry.io/collector/component"
)

var (
	Type      = component.MustNewType("rationanomaly")
	ScopeName = "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"
)

const (
	LogsStability = component.StabilityLevelAlpha
)
