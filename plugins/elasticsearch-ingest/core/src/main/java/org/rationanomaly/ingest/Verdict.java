// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.util.Arrays;
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

    private static final int TEXT_OVERHEAD = 24;

    /** The characters of its texts but the label, about; each one has a price of its own, too. */
    long chars() {
        long sum = 0;
        for (String text : Arrays.asList(key, template, category, rationale, mode, model, reasonSource,
                severity)) {
            sum += text == null ? 0 : text.length();
        }
        for (List<String> texts : List.of(evidence, knowledge, checks, links)) {
            for (String text : texts) {
                sum += TEXT_OVERHEAD + text.length();
            }
        }
        return sum;
    }

    public boolean decided() {
        return !label.equals(UNDECIDED);
    }
}
