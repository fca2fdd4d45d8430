// SPDX-License-Identifier: Apache-2.0
// Written by hand in the shape of mdatagen; metadata.yaml is the source.

package metadata

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/trace"

	"go.opentelemetry.io/collector/component"
)

func Meter(settings component.TelemetrySettings) metric.Meter {
	return settings.MeterProvider.Meter(ScopeName)
}

func Tracer(settings component.TelemetrySettings) trace.Tracer {
	return settings.TracerProvider.Tracer(ScopeName)
}

// TelemetryBuilder provides an interface for components to report telemetry
// as defined in metadata and user config.
type TelemetryBuilder struct {
	meter                                 metric.Meter
	mu                                    sync.Mutex
	registrations                         []metric.Registration
	ProcessorRationanomalyBreakerOpen     metric.Int64ObservableGauge
	ProcessorRationanomalyCacheEntries    metric.Int64ObservableGauge
	ProcessorRationanomalyCacheHits       metric.Int64Counter
	ProcessorRationanomalyCacheMisses     metric.Int64Counter
	ProcessorRationanomalyDropped         metric.Int64Counter
	ProcessorRationanomalyQueueRecords    metric.Int64ObservableGauge
	ProcessorRationanomalyRecords         metric.Int64Counter
	ProcessorRationanomalyRequestDuration metric.Float64Histogram
	ProcessorRationanomalyRequests        metric.Int64Counter
	ProcessorRationanomalySkipped         metric.Int64Counter
	ProcessorRationanomalyUndecided       metric.Int64Counter
}

// TelemetryBuilderOption applies changes to default builder.
type TelemetryBuilderOption interface {
	apply(*TelemetryBuilder)
}

type telemetryBuilderOptionFunc func(mb *TelemetryBuilder)

func (tbof telemetryBuilderOptionFunc) apply(mb *TelemetryBuilder) {
	tbof(mb)
}

// RegisterProcessorRationanomalyBreakerOpenCallback sets callback for observable ProcessorRationanomalyBreakerOpen metric.
func (builder *TelemetryBuilder) RegisterProcessorRationanomalyBreakerOpenCallback(cb metric.Int64Callback) error {
	reg, err := builder.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerInt64{inst: builder.ProcessorRationanomalyBreakerOpen, obs: o})
	}, builder.ProcessorRationanomalyBreakerOpen)
	if err != nil {
		return err
	}
	builder.mu.Lock()
	defer builder.mu.Unlock()
	builder.registrations = append(builder.registrations, reg)
	return nil
}

// RegisterProcessorRationanomalyCacheEntriesCallback sets callback for observable ProcessorRationanomalyCacheEntries metric.
func (builder *TelemetryBuilder) RegisterProcessorRationanomalyCacheEntriesCallback(cb metric.Int64Callback) error {
	reg, err := builder.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerInt64{inst: builder.ProcessorRationanomalyCacheEntries, obs: o})
	}, builder.ProcessorRationanomalyCacheEntries)
	if err != nil {
		return err
	}
	builder.mu.Lock()
	defer builder.mu.Unlock()
	builder.registrations = append(builder.registrations, reg)
	return nil
}

// RegisterProcessorRationanomalyQueueRecordsCallback sets callback for observable ProcessorRationanomalyQueueRecords metric.
func (builder *TelemetryBuilder) RegisterProcessorRationanomalyQueueRecordsCallback(cb metric.Int64Callback) error {
	reg, err := builder.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerInt64{inst: builder.ProcessorRationanomalyQueueRecords, obs: o})
	}, builder.ProcessorRationanomalyQueueRecords)
	if err != nil {
		return err
	}
	builder.mu.Lock()
	defer builder.mu.Unlock()
	builder.registrations = append(builder.registrations, reg)
	return nil
}

type observerInt64 struct {
	embedded.Int64Observer
	inst metric.Int64Observable
	obs  metric.Observer
}

func (oi *observerInt64) Observe(value int64, opts ...metric.ObserveOption) {
	oi.obs.ObserveInt64(oi.inst, value, opts...)
}

// Shutdown unregister all registered callbacks for async instruments.
func (builder *TelemetryBuilder) Shutdown() {
	builder.mu.Lock()
	defer builder.mu.Unlock()
	for _, reg := range builder.registrations {
		reg.Unregister()
	}
}

// NewTelemetryBuilder provides a struct with methods to update all internal telemetry
// for a component
func NewTelemetryBuilder(settings component.TelemetrySettings, options ...TelemetryBuilderOption) (*TelemetryBuilder, error) {
	builder := TelemetryBuilder{}
	for _, op := range options {
		op.apply(&builder)
	}
	builder.meter = Meter(settings)
	var err, errs error
	builder.ProcessorRationanomalyBreakerOpen, err = builder.meter.Int64ObservableGauge(
		"otelcol_processor_rationanomaly_breaker_open",
		metric.WithDescription("Whether the circuit breaker keeps requests from the service (1) or not (0). [Alpha]"),
		metric.WithUnit("1"),
	)
	errs = errors.Join(errs, err)
	builder.ProcessorRationanomalyCacheEntries, err = builder.meter.Int64ObservableGauge(
		"otelcol_processor_rationanomaly_cache_entries",
		metric.WithDescription("Number of verdicts in the cache. [Alpha]"),
		metric.WithUnit("{entry}"),
	)
	errs = errors.Join(errs, err)
	builder.ProcessorRationanomalyCacheHits, err = builder.meter.Int64Counter(
		"otelcol_processor_rationanomaly_cache_hits",
		metric.WithDescription("Number of log records whose verdict was in the cache. [Alpha]"),
		metric.WithUnit("{record}"),
	)
	errs = errors.Join(errs, err)
	builder.ProcessorRationanomalyCacheMisses, err = builder.meter.Int64Counter(
		"otelcol_processor_rationanomaly_cache_misses",
		metric.WithDescription("Number of log records whose verdict was not in the cache. [Alpha]"),
		metric.WithUnit("{record}"),
	)
	errs = errors.Join(errs, err)
	builder.ProcessorRationanomalyDropped, err = builder.meter.Int64Counter(
		"otelcol_processor_rationanomaly_dropped",
		metric.WithDescription("Number of normal log records dropped because of drop_normal_below. [Alpha]"),
		metric.WithUnit("{record}"),
	)
	errs = errors.Join(errs, err)
	builder.ProcessorRationanomalyQueueRecords, err = builder.meter.Int64ObservableGauge(
		"otelcol_processor_rationanomaly_queue_records",
		metric.WithDescription("Number of distinct log records that wait for an answer of the service. [Alpha]"),
		metric.WithUnit("{record}"),
	)
	errs = errors.Join(errs, err)
	builder.ProcessorRationanomalyRecords, err = builder.meter.Int64Counter(
		"otelcol_processor_rationanomaly_records",
		metric.WithDescription("Number of log records that got a verdict, by label. [Alpha]"),
		metric.WithUnit("{record}"),
	)
	errs = errors.Join(errs, err)
	builder.ProcessorRationanomalyRequestDuration, err = builder.meter.Float64Histogram(
		"otelcol_processor_rationanomaly_request_duration",
		metric.WithDescription("Duration of requests to the service. [Alpha]"),
		metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries([]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}...),
	)
	errs = errors.Join(errs, err)
	builder.ProcessorRationanomalyRequests, err = builder.meter.Int64Counter(
		"otelcol_processor_rationanomaly_requests",
		metric.WithDescription("Number of requests to the service, by outcome, which is ok or the reason of a failure. [Alpha]"),
		metric.WithUnit("{request}"),
	)
	errs = errors.Join(errs, err)
	builder.ProcessorRationanomalySkipped, err = builder.meter.Int64Counter(
		"otelcol_processor_rationanomaly_skipped",
		metric.WithDescription("Number of log records that were not judged because of min_severity, include or exclude. [Alpha]"),
		metric.WithUnit("{record}"),
	)
	errs = errors.Join(errs, err)
	builder.ProcessorRationanomalyUndecided, err = builder.meter.Int64Counter(
		"otelcol_processor_rationanomaly_undecided",
		metric.WithDescription("Number of undecided log records, by reason. [Alpha]"),
		metric.WithUnit("{record}"),
	)
	errs = errors.Join(errs, err)
	return &builder, errs
}
