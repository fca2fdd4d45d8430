// SPDX-License-Identifier: Apache-2.0
// Written by hand in the shape of mdatagen; metadata.yaml is the source.

package rationanomalyprocessor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
)

var typ = component.MustNewType("rationanomaly")

func TestComponentFactoryType(t *testing.T) {
	require.Equal(t, typ, NewFactory().Type())
}

func TestComponentConfigStruct(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(NewFactory().CreateDefaultConfig()))
}

type contextCapturingConsumer struct{ capturedCtx context.Context }

func (*contextCapturingConsumer) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

func (c *contextCapturingConsumer) ConsumeLogs(ctx context.Context, _ plog.Logs) error {
	c.capturedCtx = ctx
	return nil
}

type ccpKey struct{}

func TestComponentLifecycle(t *testing.T) {
	factory := NewFactory()

	cm, err := confmaptest.LoadConf("metadata.yaml")
	require.NoError(t, err)
	cfg := factory.CreateDefaultConfig()
	sub, err := cm.Sub("tests::config")
	require.NoError(t, err)
	require.NoError(t, sub.Unmarshal(&cfg))

	t.Run("logs-shutdown", func(t *testing.T) {
		c, err := factory.CreateLogs(context.Background(), processortest.NewNopSettings(typ), cfg, &contextCapturingConsumer{})
		require.NoError(t, err)
		require.NoError(t, c.Shutdown(context.Background()))
	})
	t.Run("logs-lifecycle", func(t *testing.T) {
		next := &contextCapturingConsumer{}
		c, err := factory.CreateLogs(context.Background(), processortest.NewNopSettings(typ), cfg, next)
		require.NoError(t, err)
		require.NoError(t, c.Start(context.Background(), componenttest.NewNopHost()))
		ctx := context.WithValue(context.Background(), ccpKey{}, "test-value")
		var e processor.Logs = c
		logs := generateLifecycleTestLogs()
		if !e.Capabilities().MutatesData {
			logs.MarkReadOnly()
		}
		require.NoError(t, e.ConsumeLogs(ctx, logs))
		require.Same(t, ctx, next.capturedCtx)
		require.Equal(t, "test-value", next.capturedCtx.Value(ccpKey{}))
		require.NoError(t, c.Shutdown(context.Background()))
	})
}

func generateLifecycleTestLogs() plog.Logs {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("resource", "R1")
	l := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	l.Body().SetStr("test log message")
	l.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	return logs
}
