// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.elasticsearch;

import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.settings.ClusterSettings;
import org.elasticsearch.common.settings.IndexScopedSettings;
import org.elasticsearch.common.settings.Setting;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.settings.SettingsFilter;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.ingest.Processor;
import org.elasticsearch.plugins.ActionPlugin;
import org.elasticsearch.plugins.IngestPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.plugins.ReloadablePlugin;
import org.elasticsearch.rest.RestController;
import org.elasticsearch.rest.RestHandler;
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
        return Map.of(RationAnomalyProcessor.TYPE, new RationAnomalyFactory(judge, parameters.threadContext));
    }

    @Override
    public Collection<RestHandler> getRestHandlers(
            Settings settings,
            NamedWriteableRegistry namedWriteableRegistry,
            RestController restController,
            ClusterSettings clusterSettings,
            IndexScopedSettings indexScopedSettings,
            SettingsFilter settingsFilter,
            IndexNameExpressionResolver indexNameExpressionResolver,
            Supplier<DiscoveryNodes> nodesInCluster,
            Predicate<NodeFeature> clusterSupportsFeature) {
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
