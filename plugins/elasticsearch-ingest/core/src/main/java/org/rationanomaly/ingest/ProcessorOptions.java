// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The options of one processor in a pipeline.
 *
 * @param field the message
 * @param severityField its severity, where the document has it as text
 * @param properties what is written, in this order
 */
public record ProcessorOptions(
        String field,
        String targetField,
        String severityField,
        boolean ignoreMissing,
        List<Property> properties,
        Patience patience) {
    private static final Duration TIMEOUT = Duration.ofSeconds(1);

    /**
     * Read the options and remove them from {@code config}; what is left, the server reads or refuses.
     *
     * @throws BadOption for a value that cannot be used
     */
    public static ProcessorOptions read(Map<String, Object> config) {
        Duration wait = duration(config, "wait", Duration.ZERO);
        String field = text(config, "field", "message");
        return new ProcessorOptions(
                field,
                target(config, field),
                text(config, "severity_field", "log.level"),
                flag(config, "ignore_missing"),
                properties(config),
                new Patience(wait, duration(config, "timeout", wait.plus(TIMEOUT))));
    }

    private static String text(Map<String, Object> config, String name, String otherwise) {
        Object value = config.remove(name);
        if (value == null) {
            return otherwise;
        }
        if (!(value instanceof String text) || text.isBlank()) {
            throw new BadOption(name, "must be the name of a field, got [" + value + "]");
        }
        return text;
    }

    private static String target(Map<String, Object> config, String field) {
        String target = text(config, "target_field", "ra");
        if ((field + ".").startsWith(target + ".")) {
            throw new BadOption("target_field", "must be a field that does not hold the message [" + field
                    + "], which would be lost, got [" + target + "]");
        }
        return target;
    }

    private static boolean flag(Map<String, Object> config, String name) {
        Object value = config.remove(name);
        return switch (value == null ? "false" : value.toString()) {
            case "true" -> true;
            case "false" -> false;
            default -> throw new BadOption(name, "must be true or false, got [" + value + "]");
        };
    }

    private static Duration duration(Map<String, Object> config, String name, Duration otherwise) {
        Object value = config.remove(name);
        return value == null ? otherwise : Durations.parse(name, value.toString());
    }

    private static List<Property> properties(Map<String, Object> config) {
        Object value = config.remove("properties");
        if (value == null) {
            return Property.DEFAULT;
        }
        if (!(value instanceof List<?> names) || names.isEmpty()) {
            throw new BadOption("properties", "must be a list with at least one of " + Property.words()
                    + ", got [" + value + "]");
        }
        List<Property> found = new ArrayList<>();
        for (Object name : names) {
            found.add(Property.named(name));
        }
        return List.copyOf(found);
    }
}
