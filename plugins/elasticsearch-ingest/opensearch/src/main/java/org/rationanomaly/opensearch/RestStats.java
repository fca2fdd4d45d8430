// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.opensearch;

import java.util.List;
import java.util.Map;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.core.xcontent.XContentBuilder;
import org.opensearch.rest.BaseRestHandler;
import org.opensearch.rest.BytesRestResponse;
import org.opensearch.rest.RestRequest;
import org.opensearch.transport.client.node.NodeClient;
import org.rationanomaly.ingest.Judge;

/** {@code GET _rationanomaly/stats}: the counters of the node that is asked. */
final class RestStats extends BaseRestHandler {
    private final Judge judge;

    RestStats(Judge judge) {
        this.judge = judge;
    }

    @Override
    public String getName() {
        return "rationanomaly_stats";
    }

    @Override
    public List<Route> routes() {
        return List.of(new Route(RestRequest.Method.GET, "/_rationanomaly/stats"));
    }

    @Override
    protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
        String node = client.getLocalNodeId();
        return channel -> {
            try (XContentBuilder answer = channel.newBuilder()) {
                answer.startObject().field("node", node);
                for (Map.Entry<String, Object> part : judge.stats().entrySet()) {
                    answer.field(part.getKey(), part.getValue());
                }
                answer.endObject();
                channel.sendResponse(new BytesRestResponse(RestStatus.OK, answer));
            }
        };
    }
}
