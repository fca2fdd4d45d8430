// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.JsonWriter;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;

/** The wire format of {@code POST /v1/verdicts}, as the files of {@code plugins/contract} have it. */
final class Wire {
    static final String PATH = "/v1/verdicts";
    private static final int MOST_TEXTS = 1_000; // of one list; a service has a few
    private static final Set<String> LABELS = Set.of("normal", "abnormal", Verdict.UNDECIDED);

    private Wire() {}

    /** An answer that is not in the wire format. */
    static final class BadAnswer extends IOException {
        private static final long serialVersionUID = 1L;

        BadAnswer(String message) {
            super(message);
        }
    }

    /**
     * What an answer says of one record: an index into its verdicts, and a rationale where the record has its
     * own.
     */
    private record Reference(int verdict, String rationale) {}

    static byte[] encode(Collection<Message> messages, long waitMillis) {
        StringWriter text = new StringWriter();
        try (JsonWriter json = new JsonWriter(text)) {
            json.beginObject().name("records").beginArray();
            for (Message message : messages) {
                json.beginObject().name("body").value(message.body());
                if (message.severity() != null) {
                    json.name("severity").value(message.severity());
                }
                json.endObject();
            }
            json.endArray();
            if (waitMillis > 0) {
                json.name("wait_ms").value(waitMillis);
            }
            json.endObject();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return wellFormed(text.toString()).getBytes(StandardCharsets.UTF_8);
    }

    /** The text with U+FFFD for half surrogate pairs, as the service reads them; UTF-8 has none. */
    private static String wellFormed(String text) {
        if (StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
            return text;
        }
        return text.codePoints()
                .map(point -> Character.getType(point) == Character.SURROGATE ? '\uFFFD' : point)
                .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                .toString();
    }

    /** One outcome for each of the {@code asked} messages, in their order. */
    static List<Outcome> decode(byte[] answer, int asked) throws BadAnswer {
        try {
            JsonReader json = reader(answer);
            List<Outcome> outcomes = outcomes(json, asked);
            if (json.peek() != JsonToken.END_DOCUMENT) {
                throw new BadAnswer("there is more behind the answer");
            }
            return outcomes;
        } catch (BadAnswer error) {
            throw error;
        } catch (IOException | IllegalStateException | NumberFormatException error) {
            throw new BadAnswer("the answer is not valid: " + error.getMessage());
        }
    }

    static JsonReader reader(byte[] json) {
        // Not as one text: several copies of a large answer would be in memory at once.
        JsonReader reader = new JsonReader(
                new InputStreamReader(new ByteArrayInputStream(json), StandardCharsets.UTF_8.newDecoder()));
        reader.setStrictness(Strictness.STRICT);
        return reader;
    }

    private static List<Outcome> outcomes(JsonReader json, int asked) throws IOException {
        List<Reference> references = null;
        List<Verdict> verdicts = null;
        json.beginObject();
        while (json.hasNext()) {
            switch (json.nextName()) {
                case "records" -> references = references(json, asked);
                case "verdicts" -> verdicts = verdicts(json, asked);
                default -> json.skipValue();
            }
        }
        json.endObject();
        if (references == null || verdicts == null) {
            throw new BadAnswer("the answer has no records or no verdicts");
        }
        if (references.size() != asked) {
            throw new BadAnswer("the answer is about " + references.size() + " records, asked were " + asked);
        }
        return joined(references, verdicts);
    }

    private static List<Outcome> joined(List<Reference> references, List<Verdict> verdicts) throws BadAnswer {
        List<Outcome> outcomes = new ArrayList<>(references.size());
        for (Reference reference : references) {
            if (reference.verdict < 0 || reference.verdict >= verdicts.size()) {
                throw new BadAnswer("a record refers to verdict " + reference.verdict + " of "
                        + verdicts.size());
            }
            Verdict verdict = verdicts.get(reference.verdict);
            String rationale = reference.rationale != null ? reference.rationale : verdict.rationale();
            outcomes.add(Outcome.of(verdict, rationale));
        }
        return outcomes;
    }

    private static List<Reference> references(JsonReader json, int most) throws IOException {
        List<Reference> found = new ArrayList<>();
        json.beginArray();
        while (json.hasNext()) {
            if (found.size() == most) {
                throw new BadAnswer("the answer is about more than the " + most + " records that were asked");
            }
            found.add(reference(json));
        }
        json.endArray();
        return found;
    }

    private static Reference reference(JsonReader json) throws IOException {
        int verdict = -1;
        String rationale = null;
        json.beginObject();
        while (json.hasNext()) {
            switch (json.nextName()) {
                case "verdict" -> verdict = json.nextInt();
                case "rationale" -> rationale = text(json);
                default -> json.skipValue();
            }
        }
        json.endObject();
        return new Reference(verdict, rationale);
    }

    private static List<Verdict> verdicts(JsonReader json, int most) throws IOException {
        List<Verdict> found = new ArrayList<>();
        json.beginArray();
        while (json.hasNext()) {
            if (found.size() == most) {
                throw new BadAnswer("the answer has more verdicts than records");
            }
            found.add(verdict(json));
        }
        json.endArray();
        return found;
    }

    static Verdict verdict(JsonReader json) throws IOException {
        String key = null, template = null, label = null, category = null, rationale = null;
        String mode = null, model = null, source = null, severity = null;
        Double score = null;
        Boolean grounded = null;
        List<String> evidence = List.of(), knowledge = List.of(), checks = List.of(), links = List.of();
        json.beginObject();
        while (json.hasNext()) {
            switch (json.nextName()) {
                case "key" -> key = text(json);
                case "template" -> template = text(json);
                case "label" -> label = text(json);
                case "score" -> score = isNull(json) ? null : (Double) json.nextDouble();
                case "category" -> category = text(json);
                case "rationale" -> rationale = text(json);
                case "grounded" -> grounded = isNull(json) ? null : (Boolean) json.nextBoolean();
                case "mode" -> mode = text(json);
                case "model" -> model = text(json);
                case "evidence" -> evidence = texts(json);
                case "reason_source" -> source = text(json);
                case "knowledge" -> knowledge = texts(json);
                case "checks" -> checks = texts(json);
                case "links" -> links = texts(json);
                case "severity" -> severity = text(json);
                default -> json.skipValue();
            }
        }
        json.endObject();
        checkVerdict(template, label, score);
        return new Verdict(key, template, label, score, category, rationale, grounded, mode, model, evidence,
                source, knowledge, checks, links, severity);
    }

    private static void checkVerdict(String template, String label, Double score) throws BadAnswer {
        if (template == null || label == null || !LABELS.contains(label)) {
            throw new BadAnswer("a verdict has no template, or the label " + label);
        }
        boolean undecided = label.equals(Verdict.UNDECIDED);
        if (undecided != (score == null) || !undecided && !(score >= 0 && score <= 1)) {
            throw new BadAnswer("a verdict that is " + label + " has the score " + score);
        }
    }

    /** A string or null; JsonReader itself would also turn a number into a string. */
    private static String text(JsonReader json) throws IOException {
        if (isNull(json)) {
            return null;
        }
        if (json.peek() != JsonToken.STRING) {
            throw new BadAnswer("there is a " + json.peek() + " where a string belongs");
        }
        return json.nextString();
    }

    private static List<String> texts(JsonReader json) throws IOException {
        List<String> found = new ArrayList<>();
        json.beginArray();
        while (json.hasNext()) {
            if (found.size() == MOST_TEXTS) {
                throw new BadAnswer("a verdict has a list of more than " + MOST_TEXTS + " texts");
            }
            found.add(json.nextString());
        }
        json.endArray();
        return List.copyOf(found);
    }

    private static boolean isNull(JsonReader json) throws IOException {
        if (json.peek() != JsonToken.NULL) {
            return false;
        }
        json.nextNull();
        return true;
    }
}
