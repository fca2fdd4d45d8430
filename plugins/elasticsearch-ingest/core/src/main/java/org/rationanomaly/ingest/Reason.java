// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.util.Locale;

/** Why a document is undecided. A closed set of words, so that they can be searched and counted. */
public enum Reason {
    /** The service has not judged the template yet. */
    PENDING,
    /** No answer within the processor's timeout. */
    TIMEOUT,
    /** No connection to the service. */
    UNREACHABLE,
    /** The service's certificate is not trusted, or is for another host. */
    TLS,
    /** The server does not let the plugin connect: its permissions are missing. */
    FORBIDDEN,
    /** The service does not accept the token. */
    UNAUTHORIZED,
    /** The service is overloaded or still starting. */
    BUSY,
    /** The service refuses the request in another way. */
    REFUSED,
    /** The answer is not in the wire format. */
    BAD_ANSWER,
    /** The service failed recently, and is left alone for a while. */
    PAUSED,
    /** Too many documents wait on this node. */
    QUEUE_FULL,
    /** The message is longer than the service accepts. */
    TOO_LONG,
    /** The node is shutting down. */
    CLOSED;

    /** As documents have it. */
    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }
}
