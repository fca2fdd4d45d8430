// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	maxWait  = time.Minute // the most that the service takes as wait_ms
	maxJoin  = time.Second
	minCheck = 100 * time.Millisecond
	maxBatch = 50_000 // the service's own limit, unless its operator changed it

	cacheByShape = "shape"
	cacheByBody  = "body"
)

// Config is the configuration of the processor.
type Config struct {
	// ClientConfig says where the service is and how to reach it. Its timeout bounds how long a batch is held for an
	// answer, or Wait if that is longer.
	ClientConfig confighttp.ClientConfig `mapstructure:",squash"`

	// Wait is how long a batch may be held for templates that the model has not judged yet; 0: not at all. It begins with
	// the batch, as the timeout does.
	Wait time.Duration `mapstructure:"wait"`

	// Join is how long a request may be held for further records of concurrent batches.
	Join time.Duration `mapstructure:"join"`

	// MaxBatch is the most records of one request.
	MaxBatch int `mapstructure:"max_batch"`

	Queue      QueueConfig      `mapstructure:"queue"`
	Cache      CacheConfig      `mapstructure:"cache"`
	Attributes AttributesConfig `mapstructure:"attributes"`

	// MinSeverity is the least severity of records that are judged, such as "info"; empty: all. Records without a
	// severity are judged.
	MinSeverity string `mapstructure:"min_severity"`

	// Include and Exclude choose the resources whose records are judged: those that match one of Include, if there
	// are any, and none of Exclude.
	Include []ResourceMatch `mapstructure:"include"`
	Exclude []ResourceMatch `mapstructure:"exclude"`

	// DropNormalBelow drops records that are normal with a score below this; 0 drops nothing.
	DropNormalBelow float64 `mapstructure:"drop_normal_below"`

	// KeepNormalRatio is the share of the records chosen by DropNormalBelow that is kept all the same.
	KeepNormalRatio float64 `mapstructure:"keep_normal_ratio"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// QueueConfig bounds what waits for the service.
type QueueConfig struct {
	// Records is the most distinct records that wait; more pass undecided.
	Records int `mapstructure:"records"`

	// Bytes is the most bytes of their bodies and attributes.
	Bytes int `mapstructure:"bytes"`

	// Requests is the most requests under way at once.
	Requests int `mapstructure:"requests"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// CacheConfig configures the cache of verdicts.
type CacheConfig struct {
	// By is what a verdict is remembered by: "shape", under which bodies that differ in values that no verdict
	// depends on are one, or "body", the whole body.
	By string `mapstructure:"by"`

	// Size is the most verdicts that are remembered; 0 remembers none.
	Size int `mapstructure:"size"`

	// Bytes is the most bytes that they take, roughly.
	Bytes int `mapstructure:"bytes"`

	// TTL is how long a verdict is remembered.
	TTL time.Duration `mapstructure:"ttl"`

	// Check is how often the service is asked whether its verdicts have changed, as they do with another model or an
	// operator's override; 0: never. The cache is emptied when they have.
	Check time.Duration `mapstructure:"check"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// AttributesConfig names the attributes of a verdict. Those without a name are left out.
type AttributesConfig struct {
	Label     string `mapstructure:"label"`
	Score     string `mapstructure:"score"`
	Category  string `mapstructure:"category"`
	Rationale string `mapstructure:"rationale"`
	Template  string `mapstructure:"template"`
	Reason    string `mapstructure:"reason"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ResourceMatch matches resources by an attribute.
type ResourceMatch struct {
	// Key is the attribute's name.
	Key string `mapstructure:"key"`

	// Pattern is a regular expression that its value must match, anchored at both ends; empty: any value.
	Pattern string `mapstructure:"pattern"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	client := confighttp.NewDefaultClientConfig()
	client.Endpoint = "http://127.0.0.1:8765"
	client.Timeout = time.Second
	client.Compression = configcompression.TypeGzip
	// the service closes connections that idle for 10 s
	client.Keepalive.Get().IdleConnTimeout = 5 * time.Second
	client.Keepalive.Get().MaxIdleConnsPerHost = 16
	return &Config{
		ClientConfig: client,
		Join:         5 * time.Millisecond,
		MaxBatch:     1000,
		Queue:        QueueConfig{Records: 10_000, Bytes: 32 << 20, Requests: 4},
		Cache:        CacheConfig{By: cacheByShape, Size: 100_000, Bytes: 64 << 20, TTL: 10 * time.Minute, Check: 10 * time.Second},
		Attributes: AttributesConfig{
			Label:     "ra.label",
			Score:     "ra.score",
			Category:  "ra.category",
			Rationale: "ra.rationale",
			Template:  "log.record.template",
			Reason:    "ra.reason",
		},
	}
}

// Validate checks the configuration. Errors name the keys as they are written in YAML.
func (cfg *Config) Validate() error {
	return errors.Join(
		cfg.validateEndpoint(),
		within("timeout", cfg.ClientConfig.Timeout, time.Millisecond, 5*time.Minute),
		within("wait", cfg.Wait, 0, maxWait),
		within("join", cfg.Join, 0, maxJoin),
		within("max_batch", cfg.MaxBatch, 1, maxBatch),
		within("queue::records", cfg.Queue.Records, 1, 10_000_000),
		within("queue::bytes", cfg.Queue.Bytes, 1<<20, 1<<30),
		within("queue::requests", cfg.Queue.Requests, 1, 256),
		within("cache::size", cfg.Cache.Size, 0, 10_000_000),
		within("cache::bytes", cfg.Cache.Bytes, 1<<20, 1<<30),
		within("cache::ttl", cfg.Cache.TTL, time.Second, 24*time.Hour),
		within("drop_normal_below", cfg.DropNormalBelow, 0, 1),
		within("keep_normal_ratio", cfg.KeepNormalRatio, 0, 1),
		cfg.validateTogether(),
		cfg.validateCompression(),
		cfg.validateCheck(),
		cfg.validateCacheBy(),
		cfg.Attributes.validateNames(),
		validateSeverity(cfg.MinSeverity),
		validateMatches("include", cfg.Include),
		validateMatches("exclude", cfg.Exclude),
	)
}

func (cfg *Config) validateEndpoint() error {
	endpoint := cfg.ClientConfig.Endpoint
	parsed, err := url.Parse(endpoint)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" {
		return fmt.Errorf("`endpoint` must be an http or https URL such as http://127.0.0.1:8765, got %q", endpoint)
	}
	if parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "" {
		return fmt.Errorf("`endpoint` must have no query and no fragment, because paths are added to it, got %q", endpoint)
	}
	return nil
}

func (cfg *Config) validateTogether() error {
	var errs error
	if cfg.Queue.Records < cfg.MaxBatch {
		errs = fmt.Errorf("`queue::records` must be at least `max_batch`, which is %d, got %d", cfg.MaxBatch, cfg.Queue.Records)
	}
	if cfg.KeepNormalRatio > 0 && cfg.DropNormalBelow == 0 {
		errs = errors.Join(errs, errors.New("`keep_normal_ratio` keeps a share of what `drop_normal_below` drops: set that, too, or neither"))
	}
	return errs
}

// validateCompression allows what the service unpacks.
func (cfg *Config) validateCompression() error {
	compression := cfg.ClientConfig.Compression
	if compression == configcompression.TypeGzip || !compression.IsCompressed() {
		return nil
	}
	return fmt.Errorf("`compression` must be gzip or none, got %q", compression)
}

func (cfg *Config) validateCheck() error {
	if cfg.Cache.Check == 0 {
		return nil
	}
	return within("cache::check", cfg.Cache.Check, minCheck, time.Hour)
}

func (cfg *Config) validateCacheBy() error {
	if by := cfg.Cache.By; by != cacheByShape && by != cacheByBody {
		return fmt.Errorf("`cache::by` must be %q or %q, got %q", cacheByShape, cacheByBody, by)
	}
	return nil
}

func (a *AttributesConfig) validateNames() error {
	if a.Label == "" {
		return errors.New("`attributes::label` must not be empty: without it nothing tells a verdict")
	}
	keys := map[string]string{}
	var errs error
	for _, named := range []struct{ key, name string }{
		{"label", a.Label},
		{"score", a.Score},
		{"category", a.Category},
		{"rationale", a.Rationale},
		{"template", a.Template},
		{"reason", a.Reason},
	} {
		if other, taken := keys[named.name]; taken && named.name != "" {
			errs = errors.Join(errs, fmt.Errorf("`attributes::%s` and `attributes::%s` must differ, got %q for both", other, named.key, named.name))
		}
		keys[named.name] = named.key
	}
	return errs
}

// severities are the names that min_severity takes, and the lowest number of each.
// See https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber.
var severities = map[string]plog.SeverityNumber{
	"":      plog.SeverityNumberUnspecified,
	"trace": plog.SeverityNumberTrace,
	"debug": plog.SeverityNumberDebug,
	"info":  plog.SeverityNumberInfo,
	"warn":  plog.SeverityNumberWarn,
	"error": plog.SeverityNumberError,
	"fatal": plog.SeverityNumberFatal,
}

func validateSeverity(name string) error {
	if _, known := severities[strings.ToLower(name)]; known {
		return nil
	}
	return fmt.Errorf("`min_severity` must be one of trace, debug, info, warn, error, fatal, got %q", name)
}

func validateMatches(key string, matches []ResourceMatch) error {
	var errs error
	for i, match := range matches {
		if match.Key == "" {
			errs = errors.Join(errs, fmt.Errorf("`%s::%d::key` must name an attribute of the resource", key, i))
		}
		if _, err := match.compile(); err != nil {
			errs = errors.Join(errs, fmt.Errorf("`%s::%d::pattern` must be a regular expression, got %q: %w", key, i, match.Pattern, err))
		}
	}
	return errs
}

func (m *ResourceMatch) compile() (*regexp.Regexp, error) {
	if m.Pattern == "" {
		return nil, nil
	}
	return regexp.Compile(`\A(?:` + m.Pattern + `)\z`)
}

func within[T int | float64 | time.Duration](key string, value, low, high T) error {
	// not value < low: NaN must fail
	if value >= low && value <= high {
		return nil
	}
	return fmt.Errorf("`%s` must be from %v to %v, got %v", key, low, high, value)
}

// ownAttributes are the attributes that the processor may write.
func (a *AttributesConfig) ownAttributes() []string {
	names := []string{a.Label, a.Score, a.Category, a.Rationale, a.Template, a.Reason}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}
