// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.time.Duration;

/**
 * How long documents may be held.
 *
 * @param modelWait how long the service may wait for its model to judge a template that is new to it
 * @param timeout how long a document is held in all; it must leave time beyond {@code modelWait} for the
 * request itself
 */
public record Patience(Duration modelWait, Duration timeout) {
    /** The most that the service accepts; part of the wire format. */
    public static final Duration LONGEST_WAIT = Duration.ofSeconds(60);

    private static final Duration LONGEST_TIMEOUT = Duration.ofMinutes(10);

    public Patience {
        if (modelWait.isNegative() || modelWait.compareTo(LONGEST_WAIT) > 0) {
            throw new BadOption("wait", "must be between 0 and " + Durations.text(LONGEST_WAIT) + ", got "
                    + Durations.text(modelWait));
        }
        if (timeout.compareTo(modelWait) <= 0 || timeout.compareTo(LONGEST_TIMEOUT) > 0) {
            String bounds = "longer than wait [" + Durations.text(modelWait) + "] and at most "
                    + Durations.text(LONGEST_TIMEOUT);
            throw new BadOption("timeout", "must be " + bounds + ", got " + Durations.text(timeout));
        }
    }
}
