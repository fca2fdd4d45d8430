// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.elasticsearch;

import java.util.Map;
import org.elasticsearch.common.util.concurrent.ThreadContext;
import org.elasticsearch.ingest.Processor;
import org.rationanomaly.ingest.Judge;

/** Makes processors in Elasticsearch 8.x; all that differs between the two lines is here. */
record RationAnomalyFactory(Judge judge, ThreadContext context) implements Processor.Factory {
    @Override
    public Processor create(
            Map<String, Processor.Factory> factories,
            String tag,
            String description,
            Map<String, Object> config) {
        return RationAnomalyProcessor.create(tag, description, config, judge, context);
    }
}
