// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

// The examples must not say that a record has arrived before it is on a disk or with the next Collector.
func TestExamplesLoseNothing(t *testing.T) {
	for _, name := range []string{"machine", "agent", "gateway"} {
		t.Run(name, func(t *testing.T) {
			conf, err := confmaptest.LoadConf(filepath.Join("..", "..", "examples", "collector", name+".yaml"))
			require.NoError(t, err)
			processors, err := conf.Sub("processors")
			require.NoError(t, err)
			assert.NotContains(t, processors.ToStringMap(), "batch", "it answers before a record is in an exporter's queue")
			exporters, err := conf.Sub("exporters")
			require.NoError(t, err)
			require.NotEmpty(t, exporters.ToStringMap())
			for id := range exporters.ToStringMap() {
				stored, _ := exporters.Get(id + "::sending_queue::storage").(string)
				answered, _ := exporters.Get(id + "::sending_queue::wait_for_result").(bool)
				assert.NotEqual(t, answered, (stored != ""), id)
				if stored != "" {
					assert.Equal(t, "0s", exporters.Get(id+"::retry_on_failure::max_elapsed_time"), id)
				}
			}
		})
	}
}

// Components have the names that they have now, not their former ones.
func TestExamplesNameComponentsAsTheyAreCalled(t *testing.T) {
	for _, name := range []string{"machine", "agent", "gateway"} {
		conf, err := confmaptest.LoadConf(filepath.Join("..", "..", "examples", "collector", name+".yaml"))
		require.NoError(t, err)
		for _, former := range []string{"receivers::filelog", "exporters::otlp", "exporters::otlphttp"} {
			for _, key := range conf.AllKeys() {
				assert.False(t, strings.HasPrefix(key, former+"::") || strings.HasPrefix(key, former+"/"), key)
			}
		}
	}
}
