// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/rationanomaly/ra-sdk/plugins/otelcol-processor/internal/metadata"
)

func loadConfig(t *testing.T, name string) *Config {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := conf.Sub(component.NewIDWithName(metadata.Type, name).String())
	require.NoError(t, err)
	cfg := createDefaultConfig()
	require.NoError(t, sub.Unmarshal(cfg))
	require.NoError(t, confmap.Validate(cfg))
	return cfg.(*Config)
}

func TestLoadDefaults(t *testing.T) {
	assert.Equal(t, createDefaultConfig(), loadConfig(t, ""))
}

func TestLoadAll(t *testing.T) {
	cfg := loadConfig(t, "all")

	assert.Equal(t, "https://ra.example:8765", cfg.ClientConfig.Endpoint)
	assert.Equal(t, 500*time.Millisecond, cfg.ClientConfig.Timeout)
	assert.Equal(t, "/etc/ra/ca.pem", cfg.ClientConfig.TLS.CAFile)
	assert.Equal(t, "bearertokenauth", cfg.ClientConfig.Auth.Get().AuthenticatorID.String())
	assert.Equal(t, configcompression.Type("none"), cfg.ClientConfig.Compression)
	tenant, _ := cfg.ClientConfig.Headers.Get("x-tenant")
	assert.Equal(t, "shop", string(tenant))
	assert.Equal(t, 2*time.Second, cfg.Wait)
	assert.Equal(t, 2*time.Millisecond, cfg.Join)
	assert.Equal(t, 500, cfg.MaxBatch)
	assert.Equal(t, QueueConfig{Records: 2000, Bytes: 4 << 20, Requests: 2}, cfg.Queue)
	assert.Equal(t, CacheConfig{By: "body", Size: 1000, Bytes: 2 << 20, TTL: time.Minute, Check: 30 * time.Second}, cfg.Cache)
	assert.Equal(t, AttributesConfig{
		Label:     "my.label",
		Category:  "ra.category",
		Rationale: "why",
		Template:  "log.record.template",
		Reason:    "ra.reason",
	}, cfg.Attributes)
	assert.Equal(t, "Info", cfg.MinSeverity)
	assert.Equal(t, []ResourceMatch{{Key: "service.name", Pattern: "orders|payments"}}, cfg.Include)
	assert.Equal(t, []ResourceMatch{{Key: "test"}}, cfg.Exclude)
	assert.InDelta(t, 0.2, cfg.DropNormalBelow, 0)
	assert.InDelta(t, 0.01, cfg.KeepNormalRatio, 0)
}

func TestValidateSpeaksInYAMLKeys(t *testing.T) {
	tests := []struct {
		change   func(*Config)
		expected string
	}{
		{func(c *Config) { c.ClientConfig.Endpoint = "" }, "`endpoint` must be an http or https URL such as http://127.0.0.1:8765, got \"\""},
		{func(c *Config) { c.ClientConfig.Endpoint = "ra:8765" }, "`endpoint` must be an http or https URL such as http://127.0.0.1:8765, got \"ra:8765\""},
		{func(c *Config) { c.ClientConfig.Timeout = 0 }, "`timeout` must be from 1ms to 5m0s, got 0s"},
		{func(c *Config) { c.Wait = -time.Second }, "`wait` must be from 0s to 1m0s, got -1s"},
		{func(c *Config) { c.Join = 2 * time.Second }, "`join` must be from 0s to 1s, got 2s"},
		{func(c *Config) { c.MaxBatch = 0 }, "`max_batch` must be from 1 to 50000, got 0"},
		{func(c *Config) { c.Queue.Records = 10 }, "`queue::records` must be at least `max_batch`, which is 1000, got 10"},
		{func(c *Config) { c.Queue.Bytes = 1 }, "`queue::bytes` must be from 1048576 to 1073741824, got 1"},
		{func(c *Config) { c.Queue.Requests = 0 }, "`queue::requests` must be from 1 to 256, got 0"},
		{func(c *Config) { c.Cache.By = "id" }, "`cache::by` must be \"shape\" or \"body\", got \"id\""},
		{func(c *Config) { c.Cache.Size = -1 }, "`cache::size` must be from 0 to 10000000, got -1"},
		{func(c *Config) { c.Cache.TTL = 0 }, "`cache::ttl` must be from 1s to 24h0m0s, got 0s"},
		{func(c *Config) { c.Cache.Check = -1 }, "`cache::check` must be from 100ms to 1h0m0s, got -1ns"},
		{func(c *Config) { c.Cache.Check = 1 }, "`cache::check` must be from 100ms to 1h0m0s, got 1ns"},
		{func(c *Config) { c.Cache.Bytes = 1 }, "`cache::bytes` must be from 1048576 to 1073741824, got 1"},
		{func(c *Config) { c.ClientConfig.Endpoint = "http://ra:1/?a=b" }, "`endpoint` must have no query and no fragment"},
		{func(c *Config) { c.ClientConfig.Endpoint = "http://ra:1#a" }, "`endpoint` must have no query and no fragment"},
		{func(c *Config) { c.ClientConfig.Compression = configcompression.TypeZstd }, "`compression` must be gzip or none, got \"zstd\""},
		{func(c *Config) { c.KeepNormalRatio = 0.1 }, "`keep_normal_ratio` keeps a share of what `drop_normal_below` drops"},
		{func(c *Config) { c.Attributes.Label = "" }, "`attributes::label` must not be empty: without it nothing tells a verdict"},
		{func(c *Config) { c.Attributes.Reason = "ra.score" }, "`attributes::score` and `attributes::reason` must differ, got \"ra.score\" for both"},
		{func(c *Config) { c.MinSeverity = "loud" }, "`min_severity` must be one of trace, debug, info, warn, error, fatal, got \"loud\""},
		{func(c *Config) { c.Include = []ResourceMatch{{}} }, "`include::0::key` must name an attribute of the resource"},
		{func(c *Config) { c.Exclude = []ResourceMatch{{Key: "a", Pattern: "("}} }, "`exclude::0::pattern` must be a regular expression, got \"(\""},
		{func(c *Config) { c.DropNormalBelow = math.NaN() }, "`drop_normal_below` must be from 0 to 1, got NaN"},
		{func(c *Config) { c.KeepNormalRatio = 1.5 }, "`keep_normal_ratio` must be from 0 to 1, got 1.5"},
	}
	for _, test := range tests {
		t.Run(test.expected, func(t *testing.T) {
			cfg := createDefaultConfig().(*Config)
			test.change(cfg)
			assert.ErrorContains(t, confmap.Validate(cfg), test.expected)
		})
	}
}

func TestValidateNamesEverythingWrongAtOnce(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.MaxBatch = 0
	cfg.Cache.By = ""
	err := cfg.Validate()
	require.ErrorContains(t, err, "max_batch")
	assert.ErrorContains(t, err, "cache::by")
}

func TestAttributesMayBeSwitchedOff(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Attributes = AttributesConfig{Label: "l"}
	assert.NoError(t, cfg.Validate())
}
