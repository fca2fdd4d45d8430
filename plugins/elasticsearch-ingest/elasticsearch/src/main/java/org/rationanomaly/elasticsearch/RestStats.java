// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.elasticsearch;

import java.util.List;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.xcontent.XContentBuilder;
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
                answer.startObject().field("node", node).mapContents(judge.stats()).endObject();
                channel.sendResponse(new RestResponse(RestStatus.OK, answer));
            }
        };
    }
}
