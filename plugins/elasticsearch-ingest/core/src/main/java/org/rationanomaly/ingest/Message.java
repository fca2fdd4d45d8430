// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.util.Objects;

/**
 * What a verdict depends on: the text of a log record, and its severity where the document has one.
 *
 * @param severity in any spelling, or null
 */
public record Message(String body, String severity) {
    public Message {
        Objects.requireNonNull(body, "body");
    }
}
