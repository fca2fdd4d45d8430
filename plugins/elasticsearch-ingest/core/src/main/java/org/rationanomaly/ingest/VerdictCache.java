// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.time.Duration;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.function.LongSupplier;

/**
 * Outcomes by message, least recently used first out, each for a limited time. Bounded by memory, not by
 * count.
 */
final class VerdictCache {
    /** An entry's objects and its place in the table, about. */
    private static final int OVERHEAD = 256;

    private record Entry(Outcome outcome, long expires, long weight) {}

    private final LinkedHashMap<Message, Entry> entries = new LinkedHashMap<>(16, 0.75f, true);
    private final long capacity;
    private final long ttl;
    private final LongSupplier clock;
    private long weight;

    VerdictCache(long capacity, Duration ttl, LongSupplier clock) {
        this.capacity = capacity;
        this.ttl = ttl.toNanos();
        this.clock = clock;
    }

    synchronized Outcome get(Message message) {
        Entry entry = entries.get(message);
        if (entry == null) {
            return null;
        }
        if (clock.getAsLong() - entry.expires >= 0) {
            entries.remove(message);
            weight -= entry.weight;
            return null;
        }
        return entry.outcome;
    }

    /** Remember a decision. What is undecided is asked again: the service judges it meanwhile. */
    synchronized void put(Message message, Outcome outcome) {
        long cost = cost(message, outcome);
        if (!outcome.decided() || cost > capacity / 16) {
            return;
        }
        Entry before = entries.put(message, new Entry(outcome, clock.getAsLong() + ttl, cost));
        weight += cost - (before == null ? 0 : before.weight);
        Iterator<Entry> oldest = entries.values().iterator();
        while (weight > capacity) {
            weight -= oldest.next().weight;
            oldest.remove();
        }
    }

    synchronized int size() {
        return entries.size();
    }

    synchronized long weight() {
        return weight;
    }

    private static long cost(Message message, Outcome outcome) {
        Verdict verdict = outcome.verdict();
        long judged = verdict == null ? 0 : verdict.chars();
        return OVERHEAD + 2L * (chars(message.body()) + chars(outcome.rationale()) + judged);
    }

    private static long chars(String text) {
        return text == null ? 0 : text.length();
    }
}
