// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class AnnotatorTest {
    private final FakeService service = new FakeService(FakeService.Call::judge);
    private final Asking asking = new Asking(service.address(), new Limits());
    private final Map<String, Object> fields = new HashMap<>();
    private final AtomicInteger toldTwice = new AtomicInteger();

    @AfterEach
    void close() {
        asking.close();
        service.close();
        assertEquals(0, toldTwice.get());
    }

    /** A document of flat fields. */
    private final class Flat implements Annotator.Document {
        @Override
        public Object get(String path, boolean ignoreMissing) {
            if (!fields.containsKey(path) && !ignoreMissing) {
                throw new IllegalArgumentException("field [" + path + "] not present");
            }
            return fields.get(path);
        }

        @Override
        public void set(String path, Object value) {
            if (path.startsWith("message.")) {
                throw new IllegalArgumentException("cannot set [" + path
                        + "] with parent object of type [java.lang.String]");
            }
            fields.put(path, value);
        }
    }

    private Exception annotated(Map<String, Object> config) {
        CompletableFuture<Exception> done = new CompletableFuture<>();
        new Annotator(ProcessorOptions.read(new HashMap<>(config)), asking.judge)
                .annotate(new Flat(), error -> {
            if (!done.complete(error)) {
                toldTwice.incrementAndGet();
            }
        });
        try {
            return done.get(10, TimeUnit.MINUTES);
        } catch (Exception error) {
            throw new AssertionError(error);
        }
    }

    @Test
    void aVerdictIsWrittenAsAnObject() {
        fields.put("message", "disk failed");
        assertNull(annotated(Map.of()));
        assertEquals(Map.of("label", "abnormal", "score", 0.9, "category", "system", "rationale",
                "It says \"disk failed\".",
                "template", "disk failed"), fields.get("ra"));
    }

    @Test
    void fieldsAndPropertiesAreChosen() {
        fields.put("body.text", "all good");
        fields.put("level", "INFO");
        assertNull(annotated(Map.of("field", "body.text", "target_field", "x", "severity_field", "level",
                "properties", List.of("score"))));
        assertEquals(Map.of("score", 0.1), fields.get("x"));
        assertTrue(service.calls.get(0).body.contains("\"severity\":\"INFO\""));
    }

    @Test
    void withoutADecisionThereIsAReason() {
        fields.put("message", "something new");
        assertNull(annotated(Map.of()));
        assertEquals(Map.of("label", "undecided", "reason", "pending", "template", "something new"),
                fields.get("ra"));
        service.answering = call -> call.answer(200, "garbage");
        assertNull(annotated(Map.of()));
        assertEquals(Map.of("label", "undecided", "reason", "bad_answer"), fields.get("ra"),
                "what was there before is replaced");
    }

    @Test
    void whatIsWrittenCanBeChangedByTheNextProcessor() {
        fields.put("message", "disk failed");
        assertNull(annotated(Map.of()));
        @SuppressWarnings("unchecked")
        Map<String, Object> written = (Map<String, Object>) fields.get("ra");
        written.put("label", "changed");
        assertNull(annotated(Map.of()));
        assertEquals("abnormal", ((Map<?, ?>) fields.get("ra")).get("label"),
                "the remembered verdict was changed");
    }

    @Test
    void aMissingMessageFailsOrIsIgnored() {
        assertInstanceOf(IllegalArgumentException.class, annotated(Map.of()));
        assertNull(annotated(Map.of("ignore_missing", true)));
        fields.put("message", null);
        assertTrue(annotated(Map.of()).getMessage().contains("[message] is null"));
        assertNull(annotated(Map.of("ignore_missing", true)));
        assertFalse(fields.containsKey("ra"));
        assertTrue(service.calls.isEmpty());
    }

    @Test
    void aMessageThatIsNoTextFails() {
        fields.put("message", 5);
        assertTrue(annotated(Map.of("ignore_missing", true)).getMessage()
                .contains("[java.lang.Integer] cannot be cast"));
    }

    @Test
    void aTargetThatCannotBeWrittenFails() {
        fields.put("message", "disk failed");
        assertTrue(annotated(Map.of("target_field", "message.ra")).getMessage().contains("[message.ra]"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"x", "1234567890123456789012345678901234567890123456789012345678901234567890"})
    void aSeverityIsShort(String severity) {
        fields.put("message", "a");
        fields.put("log.level", severity);
        assertNull(annotated(Map.of()));
        assertEquals(severity.length() < 64, service.calls.get(0).body.contains("severity"));
    }

    @Test
    void aSeverityThatIsNoTextIsLeftOut() {
        fields.put("message", "a");
        fields.put("log.level", List.of("ERROR"));
        assertNull(annotated(Map.of()));
        assertFalse(service.calls.get(0).body.contains("severity"));
    }
}
