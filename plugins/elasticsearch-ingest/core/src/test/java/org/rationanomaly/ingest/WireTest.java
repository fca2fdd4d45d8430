// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class WireTest {
    private static final String NORMAL = "{'template': 'a', 'label': 'normal', 'score': 0.1}";

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    @Test
    void aRequestHasWhatIsKnown() {
        byte[] body = Wire.encode(List.of(new Message("a \"b\"\n\u0000", "WARN"), new Message("c", null)),
                250);
        String wanted = "{'records':[{'body':'a \\'b\\'\\n\\u0000','severity':'WARN'},{'body':'c'}],"
                + "'wait_ms':250}";
        assertEquals(wanted.replace('\'', '"'), new String(body, StandardCharsets.UTF_8));
    }

    @Test
    void halvesOfSurrogatePairsBecomeTheReplacementCharacter() {
        byte[] body = Wire.encode(List.of(new Message("\uD83D \uD83D\uDE00 \uDE00", null)), 0);
        assertEquals("{\"records\":[{\"body\":\"\uFFFD \uD83D\uDE00 \uFFFD\"}]}",
                new String(body, StandardCharsets.UTF_8));
    }

    @Test
    void whatIsNotKnownIsPassedOver() throws Exception {
        String answer = "{'later': [1, {'a': null}], 'records': [{'verdict': 0, 'y': 2, 'rationale': 'own'}],"
                + " 'verdicts': [{'x': {}, 'template': 't', 'label': 'abnormal', 'score': 1,"
                + " 'mode': 'other'}]}";
        Outcome outcome = Wire.decode(bytes(answer.replace('\'', '"')), 1).get(0);
        assertEquals("abnormal", outcome.verdict().label());
        assertEquals("other", outcome.verdict().mode());
        assertEquals("own", outcome.rationale());
        assertNull(outcome.reason());
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", "null", "[]", "{}", "<html>", "{'records': []}", "{'records': [], 'verdicts': []}",
        "{'records': [{'verdict': 0}], 'verdicts': []}",
        "{'records': [{'verdict': -1}], 'verdicts': [" + NORMAL + "]}",
        "{'records': [{}], 'verdicts': [" + NORMAL + "]}",
        "{'records': [{'verdict': 0.5}], 'verdicts': [" + NORMAL + "]}",
        "{'records': [{'verdict': 0}, {'verdict': 0}], 'verdicts': [" + NORMAL + "]}",
        "{'records': [{'verdict': 0}], 'verdicts': [" + NORMAL + "]} more",
        "{'records': [{'verdict': 0}], 'verdicts': [" + NORMAL,
        "{'records': [{'verdict': 0}], 'verdicts': [{'template': 'a', 'label': 'odd', 'score': 0.1}]}",
        "{'records': [{'verdict': 0}], 'verdicts': [{'template': 'a', 'label': 'normal', 'score': 1.5}]}",
        "{'records': [{'verdict': 0}], 'verdicts': [{'template': 'a', 'label': 'normal', 'score': null}]}",
        "{'records': [{'verdict': 0}], 'verdicts': [{'template': 'a', 'label': 'undecided', 'score': 0.1}]}",
        "{'records': [{'verdict': 0}], 'verdicts': [{'template': 5, 'label': 'normal', 'score': 0.1}]}",
        "{'records': [{'verdict': 0}], 'verdicts': [{'label': 'normal', 'score': 0.1}]}",
        "{'records': [{'verdict': 0}], 'verdicts': [{'template': 'a', 'label': 'normal', 'score': NaN}]}",
    })
    void whatIsNotTheFormatIsRefused(String answer) {
        assertThrows(Wire.BadAnswer.class, () -> Wire.decode(bytes(answer.replace('\'', '"')), 1));
    }

    @Test
    void aListHasAnEnd() throws Exception {
        String answer = "{\"records\": [{\"verdict\": 0}], \"verdicts\": [{\"template\": \"a\","
                + " \"label\": \"normal\", \"score\": 0.1, \"links\": [%s\"\"]}]}";
        assertEquals(1_000, Wire.decode(bytes(answer.formatted("\"\",".repeat(999))), 1).get(0).verdict()
                .links().size());
        assertThrows(Wire.BadAnswer.class,
                () -> Wire.decode(bytes(answer.formatted("\"\",".repeat(1_000))), 1));
    }

    @Test
    void neitherDepthNorEncodingBreaksTheReader() {
        String deep = "{\"later\": " + "[".repeat(100_000) + "]".repeat(100_000) + "}";
        assertThrows(Wire.BadAnswer.class, () -> Wire.decode(bytes(deep), 1));
        assertThrows(Wire.BadAnswer.class, () -> Wire.decode(new byte[] {'"', (byte) 0xC3, '"'}, 1));
    }
}
