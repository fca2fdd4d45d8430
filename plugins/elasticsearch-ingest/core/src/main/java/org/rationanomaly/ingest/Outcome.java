// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.util.Objects;

/**
 * What came of asking about one message.
 *
 * @param verdict the service's, or null where there was no answer
 * @param rationale the verdict's, in the words of this message; may be null
 * @param reason why there is no decision, or null where there is one
 */
public record Outcome(Verdict verdict, String rationale, Reason reason) {
    static Outcome undecided(Reason reason) {
        return new Outcome(null, null, Objects.requireNonNull(reason));
    }

    static Outcome of(Verdict verdict, String rationale) {
        return new Outcome(verdict, rationale, verdict.decided() ? null : Reason.PENDING);
    }

    public boolean decided() {
        return reason == null;
    }
}
