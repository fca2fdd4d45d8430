// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.util.List;

/** A verdict on a template, as the service sends it; what may be absent is null, and lists are empty. */
public record Verdict(
        String key,
        String template,
        String label,
        Double score,
        String category,
        String rationale,
        Boolean grounded,
        String mode,
        String model,
        List<String> evidence,
        String reasonSource,
        List<String> knowledge,
        List<String> checks,
        List<String> links,
        String severity) {
    public static final String UNDECIDED = "undecided";

    public boolean decided() {
        return !label.equals(UNDECIDED);
    }
}
