// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.util.Comparator;
import java.util.Objects;

/**
 * What a verdict depends on: the text of a log record, and its severity where the document has one.
 *
 * @param severity in any spelling, or null
 */
public record Message(String body, String severity) implements Comparable<Message> {
    private static final Comparator<Message> ORDER = Comparator.comparing(Message::body)
            .thenComparing(Message::severity, Comparator.nullsFirst(Comparator.naturalOrder()));

    public Message {
        Objects.requireNonNull(body, "body");
    }

    /** With an order, a hash table stays fast even if log lines are made to have the same hash. */
    @Override
    public int compareTo(Message other) {
        return ORDER.compare(this, other);
    }
}
