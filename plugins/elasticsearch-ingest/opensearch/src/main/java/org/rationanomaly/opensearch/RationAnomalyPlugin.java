// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.opensearch;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.opensearch.cluster.metadata.IndexNameExpressionResolver;
import org.opensearch.cluster.node.DiscoveryNodes;
import org.opensearch.common.settings.ClusterSettings;
import org.opensearch.common.settings.IndexScopedSettings;
import org.opensearch.common.settings.Setting;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.settings.SettingsFilter;
import org.opensearch.ingest.Processor;
import org.opensearch.plugins.ActionPlugin;
import org.opensearch.plugins.IngestPlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.plugins.ReloadablePlugin;
import org.opensearch.rest.RestController;
import org.opensearch.rest.RestHandler;
import org.rationanomaly.ingest.Judge;

/** The processor {@code rationanomaly}, and the node's one connection to the service. */
public final class RationAnomalyPlugin extends Plugin implements IngestPlugin, ActionPlugin,
        ReloadablePlugin {
    private final Judge judge;

    public RationAnomalyPlugin(Settings settings, Path configPath) {
        judge = NodeSettings.judge(settings, configPath);
    }

    @Override
    public List<Setting<?>> getSettings() {
        return NodeSettings.ALL;
    }

    @Override
    public Map<String, Processor.Factory> getProcessors(Processor.Parameters parameters) {
        return Map.of(RationAnomalyProcessor.TYPE, (factories, tag, description, config) ->
                RationAnomalyProcessor.create(tag, description, config, judge, parameters.threadContext));
    }

    @Override
    public List<RestHandler> getRestHandlers(
            Settings settings,
            RestController restController,
            ClusterSettings clusterSettings,
            IndexScopedSettings indexScopedSettings,
            SettingsFilter settingsFilter,
            IndexNameExpressionResolver indexNameExpressionResolver,
            Supplier<DiscoveryNodes> nodesInCluster) {
        return List.of(new RestStats(judge));
    }

    /** The token can be changed while the node runs: {@code POST _nodes/reload_secure_settings}. */
    @Override
    public void reload(Settings settings) {
        NodeSettings.reload(settings, judge);
    }

    @Override
    public void close() {
        judge.close();
    }
}
