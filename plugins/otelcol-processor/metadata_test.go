// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

type describedMetric struct {
	Description string         `mapstructure:"description"`
	Unit        string         `mapstructure:"unit"`
	Gauge       map[string]any `mapstructure:"gauge"`
	Sum         map[string]any `mapstructure:"sum"`
	Histogram   map[string]any `mapstructure:"histogram"`
	Attributes  []string       `mapstructure:"attributes"`
}

type describedAttribute struct {
	Description string   `mapstructure:"description"`
	Enum        []string `mapstructure:"enum"`
}

// described is what metadata.yaml says of the telemetry.
type described struct {
	Telemetry struct {
		Metrics map[string]describedMetric `mapstructure:"metrics"`
	} `mapstructure:"telemetry"`
	Attributes map[string]describedAttribute `mapstructure:"attributes"`
}

func readMetadata(t *testing.T) (found described) {
	t.Helper()
	conf, err := confmaptest.LoadConf("metadata.yaml")
	require.NoError(t, err)
	require.NoError(t, conf.Unmarshal(&found, confmap.WithIgnoreUnused()))
	require.NotEmpty(t, found.Telemetry.Metrics)
	return found
}

// documentation.md is what mdatagen would make of metadata.yaml.
func TestDocumentationIsThatOfTheMetadata(t *testing.T) {
	metadata := readMetadata(t)
	var expected strings.Builder
	for _, name := range slices.Sorted(maps.Keys(metadata.Telemetry.Metrics)) {
		metric := metadata.Telemetry.Metrics[name]
		fmt.Fprintf(&expected, "### otelcol_%s\n\n%s\n\n%s", name, metric.Description, metric.table())
		if len(metric.Attributes) > 0 {
			expected.WriteString("\n#### Attributes\n\n| Name | Description | Values |\n| ---- | ----------- | ------ |\n")
		}
		for _, name := range metric.Attributes {
			attribute := metadata.Attributes[name]
			fmt.Fprintf(&expected, "| %s | %s | Str: ``%s`` |\n", name, attribute.Description, strings.Join(attribute.Enum, "``, ``"))
		}
		expected.WriteString("\n")
	}
	documentation, err := os.ReadFile("documentation.md")
	require.NoError(t, err)
	_, found, _ := strings.Cut(string(documentation), "emitted by this component.\n\n")

	assert.Equal(t, strings.TrimSpace(expected.String()), strings.TrimSpace(found))
}

func (m *describedMetric) table() string {
	switch {
	case m.Sum != nil:
		return "| Unit | Metric Type | Value Type | Monotonic | Stability |\n| ---- | ----------- | ---------- | --------- | --------- |\n" +
			fmt.Sprintf("| %s | Sum | Int | %v | Alpha |\n", m.Unit, m.Sum["monotonic"])
	case m.Gauge != nil:
		return "| Unit | Metric Type | Value Type | Stability |\n| ---- | ----------- | ---------- | --------- |\n" +
			fmt.Sprintf("| %s | Gauge | Int | Alpha |\n", m.Unit)
	default:
		return "| Unit | Metric Type | Value Type | Stability |\n| ---- | ----------- | ---------- | --------- |\n" +
			fmt.Sprintf("| %s | Histogram | Double | Alpha |\n", m.Unit)
	}
}

// The metrics that are registered are those of metadata.yaml, with its descriptions and units.
func TestTelemetryIsThatOfTheMetadata(t *testing.T) {
	source, err := os.ReadFile("internal/metadata/generated_telemetry.go")
	require.NoError(t, err)
	registered := map[string][2]string{}
	for _, match := range regexp.MustCompile(
		`meter\.\w+\(\s*"otelcol_(\w+)",\s*metric\.WithDescription\("(.*) \[Alpha\]"\),\s*metric\.WithUnit\("(.*)"\)`,
	).FindAllStringSubmatch(string(source), -1) {
		registered[match[1]] = [2]string{match[2], match[3]}
	}
	expected := map[string][2]string{}
	for name, metric := range readMetadata(t).Telemetry.Metrics {
		expected[name] = [2]string{metric.Description, metric.Unit}
	}

	assert.Equal(t, expected, registered)
}

// Every reason that a record can have is in metadata.yaml and in the README.
func TestReasonsAreDescribed(t *testing.T) {
	reasons := []string{
		reasonPending, reasonBusy, reasonInvalidAnswer, reasonNotReady, reasonQueueFull, reasonRefused, reasonShutdown, reasonTimeout,
		reasonUnauthorized, reasonUnreachable,
	}
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)

	assert.ElementsMatch(t, reasons, readMetadata(t).Attributes["reason"].Enum)
	for _, reason := range reasons {
		assert.Regexp(t, "(?m)^\\|.*`"+reason+"`.*\\|", string(readme))
	}
}
