// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class ProcessorOptionsTest {
    @Test
    void everythingHasADefault() {
        ProcessorOptions options = ProcessorOptions.read(new HashMap<>());
        assertEquals("message", options.field());
        assertEquals("ra", options.targetField());
        assertEquals(new Patience(Duration.ZERO, Duration.ofSeconds(1)), options.patience());
        assertEquals(Property.DEFAULT, options.properties());
    }

    @Test
    void whatIsReadIsRemovedSoThatTheServerSeesWhatIsUnknown() {
        Map<String, Object> config = new HashMap<>(Map.of(
                "field", "body.text", "target_field", "x.y", "severity_field", "level",
                "ignore_missing", "true", "properties", List.of("score", "label"), "wait", "2s",
                "unknown", 1));
        ProcessorOptions options = ProcessorOptions.read(config);
        assertEquals(Map.of("unknown", 1), config);
        assertTrue(options.ignoreMissing());
        assertEquals(List.of(Property.SCORE, Property.LABEL), options.properties());
        assertEquals(new Patience(Duration.ofSeconds(2), Duration.ofSeconds(3)), options.patience());
    }

    static Stream<Arguments> bad() {
        return Stream.of(
                Arguments.of("field", 5),
                Arguments.of("field", " "),
                Arguments.of("target_field", List.of("a")),
                Arguments.of("target_field", "message"),
                Arguments.of("ignore_missing", "yes"),
                Arguments.of("properties", "label"),
                Arguments.of("properties", List.of()),
                Arguments.of("properties", List.of("label", "colour")),
                Arguments.of("wait", "soon"),
                Arguments.of("wait", "61s"),
                Arguments.of("wait", "-1s"),
                Arguments.of("wait", "99999999999999999999s"),
                Arguments.of("timeout", "0"),
                Arguments.of("timeout", "999999999m"),
                Arguments.of("timeout", 500));
    }

    @ParameterizedTest
    @MethodSource("bad")
    void aBadValueIsNamed(String option, Object value) {
        BadOption error = assertThrows(BadOption.class,
                () -> ProcessorOptions.read(new HashMap<>(Map.of(option, value))));
        assertEquals(option, error.option());
        assertTrue(error.getMessage().startsWith("must be "), error.getMessage());
    }

    @Test
    void theTargetDoesNotReplaceTheMessage() {
        Map<String, Object> parent = new HashMap<>(Map.of("field", "event.text", "target_field", "event"));
        BadOption error = assertThrows(BadOption.class, () -> ProcessorOptions.read(parent));
        assertEquals("target_field", error.option());
        Map<String, Object> sibling = new HashMap<>(Map.of("field", "event.text", "target_field", "event.o"));
        assertEquals("event.o", ProcessorOptions.read(sibling).targetField());
    }

    @Test
    void timeoutMustLeaveTimeBeyondWait() {
        Map<String, Object> config = new HashMap<>(Map.of("wait", "2s", "timeout", "2s"));
        assertEquals("timeout", assertThrows(BadOption.class, () -> ProcessorOptions.read(config)).option());
    }
}
