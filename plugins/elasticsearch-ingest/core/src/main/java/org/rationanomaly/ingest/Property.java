// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.stream.Collectors;

/** What can be written into a document, by the names of the wire format. */
public enum Property {
    LABEL(outcome -> outcome.decided() ? outcome.verdict().label() : Verdict.UNDECIDED),
    /** Why there is no decision. */
    REASON(outcome -> outcome.decided() ? null : outcome.reason().word()),
    SCORE(of(Verdict::score)),
    CATEGORY(of(Verdict::category)),
    RATIONALE(Outcome::rationale),
    TEMPLATE(of(Verdict::template)),
    GROUNDED(of(Verdict::grounded)),
    REASON_SOURCE(of(Verdict::reasonSource)),
    EVIDENCE(of(Verdict::evidence)),
    KNOWLEDGE(of(Verdict::knowledge)),
    CHECKS(of(Verdict::checks)),
    LINKS(of(Verdict::links)),
    SEVERITY(of(Verdict::severity)),
    MODE(of(Verdict::mode)),
    MODEL(of(Verdict::model)),
    KEY(of(Verdict::key));

    static final List<Property> DEFAULT = List.of(LABEL, REASON, SCORE, CATEGORY, RATIONALE, TEMPLATE);

    private final Function<Outcome, Object> value;

    Property(Function<Outcome, Object> value) {
        this.value = value;
    }

    private static Function<Outcome, Object> of(Function<Verdict, Object> part) {
        return outcome -> outcome.verdict() == null ? null : part.apply(outcome.verdict());
    }

    /** The value for a document, which owns it and may change it; null where there is none. */
    Object in(Outcome outcome) {
        Object found = value.apply(outcome);
        if (found instanceof List<?> list) {
            return list.isEmpty() ? null : new ArrayList<>(list);
        }
        return found;
    }

    String word() {
        return name().toLowerCase(Locale.ROOT);
    }

    static String words() {
        return Arrays.stream(values()).map(Property::word).collect(Collectors.joining(", "));
    }

    static Property named(Object name) {
        return Arrays.stream(values()).filter(property -> property.word().equals(name)).findFirst()
                .orElseThrow(() -> new BadOption("properties", "must be among " + words() + ", got [" + name
                        + "]"));
    }
}
