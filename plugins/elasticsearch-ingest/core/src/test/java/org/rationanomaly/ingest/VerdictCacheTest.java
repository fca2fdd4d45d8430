// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class VerdictCacheTest {
    private final AtomicLong clock = new AtomicLong(Long.MAX_VALUE - 500); // nanoTime may overflow

    private VerdictCache cache(long bytes) {
        return new VerdictCache(bytes, Duration.ofNanos(1_000), clock::get);
    }

    private static Message message(Object body) {
        return new Message(body.toString(), null);
    }

    private static Outcome outcome(String label) {
        Double score = label.equals(Verdict.UNDECIDED) ? null : (Double) 0.5;
        return Outcome.of(new Verdict("k", "t", label, score, null, null, null, null, null, List.of(), null,
                List.of(), List.of(), List.of(), null), null);
    }

    @Test
    void forgetsAfterItsTime() {
        VerdictCache cache = cache(10_000);
        cache.put(message("a"), outcome("normal"));
        clock.addAndGet(999);
        assertNotNull(cache.get(message("a")));
        clock.addAndGet(1);
        assertNull(cache.get(message("a")));
        assertEquals(0, cache.size());
        assertEquals(0, cache.weight());
    }

    @Test
    void forgetsTheLeastRecentlyUsed() {
        VerdictCache cache = cache(10_000);
        for (int i = 0; i < 1_000; i++) {
            cache.put(message(i), outcome("normal"));
            assertNotNull(cache.get(message(0)), "used all the time");
            assertTrue(cache.weight() <= 10_000);
        }
        assertTrue(cache.size() > 10 && cache.size() < 40, "entries: " + cache.size());
        assertNull(cache.get(message(1)));
        assertNotNull(cache.get(message(999)));
    }

    @Test
    void severityIsPartOfTheQuestion() {
        VerdictCache cache = cache(10_000);
        cache.put(new Message("a", "ERROR"), outcome("abnormal"));
        assertNull(cache.get(message("a")));
        assertNotNull(cache.get(new Message("a", "ERROR")));
    }

    @Test
    void replacesWithoutGrowing() {
        VerdictCache cache = cache(10_000);
        cache.put(message("a"), outcome("normal"));
        long weight = cache.weight();
        cache.put(message("a"), outcome("abnormal"));
        assertEquals(weight, cache.weight());
        assertEquals("abnormal", cache.get(message("a")).verdict().label());
    }

    @Test
    void everyTextOfAVerdictCounts() {
        VerdictCache cache = cache(1_000_000);
        cache.put(message("a"), outcome("normal"));
        long bare = cache.weight();
        List<String> texts = List.of("x".repeat(1_000), "");
        Verdict verdict = new Verdict("k", "t", "normal", 0.5, null, null, null, null,
                "m".repeat(1_000), texts, null, texts, texts, texts, null);
        cache.put(message("a"), Outcome.of(verdict, null));
        assertTrue(cache.weight() >= bare + 5 * 2 * 1_000, "weight: " + cache.weight());
    }

    @Test
    void messagesHaveAnOrderThatAgreesWithEquality() {
        List<Message> messages = List.of(new Message("Aa", null), new Message("Aa", "INFO"),
                new Message("Aa", "WARN"), new Message("BB", null));
        assertEquals("Aa".hashCode(), "BB".hashCode());
        for (int i = 0; i < messages.size(); i++) {
            for (int j = 0; j < messages.size(); j++) {
                assertEquals(Integer.signum(i - j),
                        Integer.signum(messages.get(i).compareTo(messages.get(j))), i + " " + j);
            }
        }
    }

    @Test
    void neitherWhatIsUndecidedNorWhatIsHugeIsKept() {
        VerdictCache cache = cache(10_000);
        cache.put(message("a"), outcome(Verdict.UNDECIDED));
        cache.put(message("b".repeat(1_000)), outcome("normal"));
        cache(0).put(message("c"), outcome("normal"));
        assertEquals(0, cache.size());
    }
}
