// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/**
 * The files of plugins/contract are the wire format: a service answers from them, and what comes of it is
 * compared with them.
 */
class ContractTest {
    private static final Path FILES = Path.of("../../contract/v1");

    @TestFactory
    List<DynamicTest> cases() throws IOException {
        List<DynamicTest> tests = new ArrayList<>();
        try (Stream<Path> files = Files.list(FILES)) {
            for (Path file : files.sorted().toList()) {
                JsonArray exchanges = JsonParser.parseString(Files.readString(file)).getAsJsonObject()
                        .getAsJsonArray("exchanges");
                tests.add(DynamicTest.dynamicTest(file.getFileName().toString(), () -> play(exchanges)));
            }
        }
        assertFalse(tests.isEmpty(), "no contract at " + FILES.toAbsolutePath());
        return tests;
    }

    private static void play(JsonArray exchanges) throws IOException {
        int checked = 0;
        for (JsonElement exchange : exchanges) {
            JsonObject request = exchange.getAsJsonObject().getAsJsonObject("request");
            JsonObject response = exchange.getAsJsonObject().getAsJsonObject("response");
            checked += verdicts(response.get("body"));
            if (request.get("path").getAsString().equals(Wire.PATH)
                    && request.get("method").getAsString().equals("POST")) {
                ask(records(request), request, response);
                checked++;
            }
        }
        boolean otherPathsOnly = exchanges.asList().stream()
                .noneMatch(one -> one.getAsJsonObject().getAsJsonObject("request").get("path").getAsString()
                        .startsWith("/v1/verdicts"));
        assertTrue(checked > 0 || otherPathsOnly, "nothing of this file was checked");
    }

    /** Every verdict, wherever it stands, is read as it is written. Returns how many there are. */
    private static int verdicts(JsonElement found) throws IOException {
        if (found == null || found.isJsonPrimitive() || found.isJsonNull()) {
            return 0;
        }
        int count = 0;
        if (found.isJsonArray()) {
            for (JsonElement item : found.getAsJsonArray()) {
                count += verdicts(item);
            }
            return count;
        }
        JsonObject object = found.getAsJsonObject();
        if (object.has("template") && object.has("label")) {
            Verdict verdict = Wire.verdict(Wire.reader(object.toString().getBytes(StandardCharsets.UTF_8)));
            compare(object, verdict);
            return 1;
        }
        for (String name : object.keySet()) {
            count += verdicts(object.get(name));
        }
        return count;
    }

    private static void compare(JsonObject written, Verdict verdict) {
        Outcome outcome = Outcome.of(verdict, verdict.rationale());
        for (Property property : Property.values()) {
            if (property == Property.REASON || property == Property.RATIONALE) {
                continue;
            }
            JsonElement expected = written.get(property.word());
            Object value = property.in(outcome);
            if (expected == null || expected.isJsonNull() || expected.isJsonArray()
                    && expected.getAsJsonArray().isEmpty()) {
                assertEquals(null, value, property.word());
            } else {
                assertEquals(expected, new com.google.gson.Gson().toJsonTree(value), property.word());
            }
        }
    }

    /**
     * The records of a request; one without is asked as if it had a record, to see what its answer leads to.
     */
    private static List<Message> records(JsonObject request) throws IOException {
        List<Message> found = new ArrayList<>();
        try {
            JsonObject asked = JsonParser.parseString(text(request)).getAsJsonObject();
            for (JsonElement record : asked.getAsJsonArray("records")) {
                JsonElement severity = record.getAsJsonObject().get("severity");
                String body = record.getAsJsonObject().get("body").getAsString();
                found.add(new Message(body, severity == null || severity.isJsonNull() ? null
                        : severity.getAsString()));
            }
        } catch (JsonParseException | IllegalStateException | NullPointerException error) {
            found.add(new Message("any", null));
        }
        return found;
    }

    private static String text(JsonObject request) throws IOException {
        if (request.has("text")) {
            return request.get("text").getAsString();
        }
        if (!request.has("base64")) {
            return String.valueOf(request.get("body"));
        }
        byte[] data = Base64.getDecoder().decode(request.get("base64").getAsString());
        boolean packed = request.toString().contains("\"gzip\"");
        byte[] unpacked = packed ? new GZIPInputStream(new ByteArrayInputStream(data)).readAllBytes() : data;
        return new String(unpacked, StandardCharsets.UTF_8);
    }

    private static void ask(List<Message> messages, JsonObject request, JsonObject response) {
        int status = response.get("status").getAsInt();
        if (messages.isEmpty() && status == 200) {
            assertEquals(List.of(), decoded(response));
            return;
        }
        List<Message> asked = messages.isEmpty() ? List.of(new Message("any", null)) : messages;
        JsonElement wait = request.has("body") ? request.getAsJsonObject("body").get("wait_ms") : null;
        Duration modelWait = Duration.ofMillis(wait == null ? 0 : Math.min(wait.getAsLong(), 60_000));
        AtomicInteger calls = new AtomicInteger();
        FakeService.Answering answering = call -> {
            if (Failure.isTemporary(status) && calls.incrementAndGet() > 1) {
                call.judge(); // its pause is over
            } else {
                answer(call, response);
            }
        };
        try (FakeService service = new FakeService(answering);
                Asking asking = new Asking(service.address(), together(asked))) {
            Patience patience = new Patience(modelWait, modelWait.plusMinutes(5));
            List<CompletableFuture<Outcome>> outcomes = asked.stream()
                    .map(message -> asking.ask(message, patience)).toList();
            if (Failure.isTemporary(status)) {
                outcomes.forEach(outcome -> assertTrue(Asking.got(outcome).decided()));
                assertEquals(List.of(service.calls.get(0).body, service.calls.get(0).body),
                        service.calls.stream().map(call -> call.body).toList(),
                        "the same was to be sent again");
                return;
            }
            for (int i = 0; i < asked.size(); i++) {
                compare(asked.get(i), i, Asking.got(outcomes.get(i)), response);
            }
            assertEquals("application/json", service.calls.get(0).header("Content-Type"));
            assertTrue(service.calls.get(0).bodies().contains(asked.get(0).body()));
            if (modelWait.toMillis() > 1_000 && status == 200) {
                long told = service.calls.get(0).json().get("wait_ms").getAsLong();
                assertTrue(told > 0 && told <= modelWait.toMillis(), "wait_ms " + told);
            }
        }
    }

    /** Limits with which these go in one request, however slow this machine is; equal ones have to be quick. */
    private static Limits together(List<Message> messages) {
        boolean distinct = messages.stream().distinct().count() == messages.size();
        return distinct ? new Limits().delay(Duration.ofHours(1)).batch(messages.size())
                : new Limits().delay(Duration.ofSeconds(1));
    }

    /**
     * The file's answer. A message that occurs twice is asked once, so its answer is put together for what
     * was asked.
     */
    private static void answer(FakeService.Call call, JsonObject response) throws IOException {
        List<String> headers = new ArrayList<>();
        JsonObject given = response.has("headers") ? response.getAsJsonObject("headers") : new JsonObject();
        given.keySet().forEach(name -> headers.addAll(List.of(name, given.get(name).getAsString())));
        JsonObject body = response.get("body").deepCopy().getAsJsonObject();
        if (response.get("status").getAsInt() == 200) {
            JsonArray references = new JsonArray();
            for (int i = 0, from = 0; i < call.bodies().size(); i++, from++) {
                while (isRepeated(body, from)) {
                    from++;
                }
                references.add(body.getAsJsonArray("records").get(from));
            }
            body.add("records", references);
        }
        call.answer(response.get("status").getAsInt(), body.toString(), headers.toArray(String[]::new));
    }

    private static boolean isRepeated(JsonObject body, int place) {
        JsonArray references = body.getAsJsonArray("records");
        return references.asList().subList(0, place).contains(references.get(place));
    }

    private static void compare(Message message, int place, Outcome outcome, JsonObject response) {
        int status = response.get("status").getAsInt();
        if (status == 200) {
            JsonObject reference = response.getAsJsonObject("body").getAsJsonArray("records").get(place)
                    .getAsJsonObject();
            JsonObject verdict = response.getAsJsonObject("body").getAsJsonArray("verdicts")
                    .get(reference.get("verdict").getAsInt())
                    .getAsJsonObject();
            compare(verdict, outcome.verdict());
            JsonElement rationale = reference.has("rationale") ? reference.get("rationale")
                    : verdict.get("rationale");
            assertEquals(rationale.isJsonNull() ? null : rationale.getAsString(), outcome.rationale());
            return;
        }
        assertEquals(expected(status), outcome.reason(), message.body());
    }

    private static Reason expected(int status) {
        return switch (status) {
            case 401 -> Reason.UNAUTHORIZED;
            case 413 -> Reason.TOO_LONG;
            default -> Reason.REFUSED;
        };
    }

    private static List<Outcome> decoded(JsonObject response) {
        try {
            return Wire.decode(response.get("body").toString().getBytes(StandardCharsets.UTF_8), 0);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
