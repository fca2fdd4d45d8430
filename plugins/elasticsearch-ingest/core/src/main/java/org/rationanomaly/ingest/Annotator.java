// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;

/**
 * What a processor does with one document: asks for a verdict on its message, and writes what comes into its
 * target field.
 */
public final class Annotator {
    private static final int LONGEST_SEVERITY = 64;

    /** A document of either server. */
    public interface Document {
        /**
         * The value at a path, or null; throws IllegalArgumentException where there is none, unless that is
         * ignored.
         */
        Object get(String path, boolean ignoreMissing);

        void set(String path, Object value);
    }

    private final ProcessorOptions options;
    private final Judge judge;

    public Annotator(ProcessorOptions options, Judge judge) {
        this.options = options;
        this.judge = judge;
    }

    /** {@code done} is told exactly once: null, or the exception with which the processor fails. */
    public void annotate(Document document, Consumer<Exception> done) {
        String body;
        try {
            body = body(document);
        } catch (RuntimeException error) {
            done.accept(error);
            return;
        }
        if (body == null) {
            done.accept(null);
            return;
        }
        judge.judge(new Message(body, severity(document)), options.patience(),
                outcome -> done.accept(written(document, outcome)));
    }

    private String body(Document document) {
        Object value = document.get(options.field(), options.ignoreMissing());
        if (value == null && !options.ignoreMissing()) {
            throw new IllegalArgumentException("field [" + options.field()
                    + "] is null, so it has no message to judge");
        }
        if (value != null && !(value instanceof String)) {
            String type = value.getClass().getName();
            throw new IllegalArgumentException(
                    "field [" + options.field() + "] of type [" + type + "] cannot be cast to"
                            + " [java.lang.String]");
        }
        return (String) value;
    }

    /** The severity of a document. Anything but a short text is left out: it only helps the verdict. */
    private String severity(Document document) {
        try {
            Object value = document.get(options.severityField(), true);
            return value instanceof String text && text.length() <= LONGEST_SEVERITY ? text : null;
        } catch (IllegalArgumentException error) { // a part of the path is not an object
            return null;
        }
    }

    private Exception written(Document document, Outcome outcome) {
        Map<String, Object> fields = new LinkedHashMap<>();
        for (Property property : options.properties()) {
            Object value = property.in(outcome);
            if (value != null) {
                fields.put(property.word(), value);
            }
        }
        try {
            document.set(options.targetField(), fields);
            return null;
        } catch (RuntimeException error) {
            return error;
        }
    }
}
