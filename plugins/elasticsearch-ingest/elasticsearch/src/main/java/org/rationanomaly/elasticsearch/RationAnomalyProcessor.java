// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.elasticsearch;

import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import org.elasticsearch.common.util.concurrent.ThreadContext;
import org.elasticsearch.ingest.AbstractProcessor;
import org.elasticsearch.ingest.ConfigurationUtils;
import org.elasticsearch.ingest.IngestDocument;
import org.rationanomaly.ingest.Annotator;
import org.rationanomaly.ingest.BadOption;
import org.rationanomaly.ingest.Judge;
import org.rationanomaly.ingest.ProcessorOptions;

/** Hands a document to an {@link Annotator}, and goes on with it in the thread context that it came with. */
final class RationAnomalyProcessor extends AbstractProcessor {
    static final String TYPE = "rationanomaly";

    private final Annotator annotator;
    private final ThreadContext context;

    private RationAnomalyProcessor(String tag, String description, Annotator annotator,
            ThreadContext context) {
        super(tag, description);
        this.annotator = annotator;
        this.context = context;
    }

    /** Read its options, and remove them from {@code config}. */
    static RationAnomalyProcessor create(
            String tag, String description, Map<String, Object> config, Judge judge, ThreadContext context) {
        try {
            return new RationAnomalyProcessor(tag, description,
                    new Annotator(ProcessorOptions.read(config), judge), context);
        } catch (BadOption error) {
            throw ConfigurationUtils.newConfigurationException(TYPE, tag, error.option(), error.getMessage());
        }
    }

    @Override
    public boolean isAsync() {
        return true;
    }

    @Override
    public void execute(IngestDocument document, BiConsumer<IngestDocument, Exception> done) {
        // The rest of the pipeline and the write run where the verdict arrives: without this, without the
        // user's permissions.
        Supplier<ThreadContext.StoredContext> restorable = context.newRestorableContext(false);
        annotator.annotate(new Fields(document), error -> {
            try (ThreadContext.StoredContext ignored = restorable.get()) {
                done.accept(error == null ? document : null, error);
            }
        });
    }

    @Override
    public IngestDocument execute(IngestDocument document) {
        throw new UnsupportedOperationException("this processor is asynchronous");
    }

    @Override
    public String getType() {
        return TYPE;
    }

    private record Fields(IngestDocument document) implements Annotator.Document {
        @Override
        public Object get(String path, boolean ignoreMissing) {
            return document.getFieldValue(path, Object.class, ignoreMissing);
        }

        @Override
        public void set(String path, Object value) {
            document.setFieldValue(path, value);
        }
    }
}
