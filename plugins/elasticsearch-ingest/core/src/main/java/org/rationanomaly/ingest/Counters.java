// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;

/** What happened since the node started. */
final class Counters {
    final LongAdder documents = new LongAdder();
    final LongAdder decided = new LongAdder();
    final LongAdder cached = new LongAdder();
    final LongAdder joined = new LongAdder();
    final LongAdder requests = new LongAdder();
    final LongAdder failed = new LongAdder();
    final LongAdder repeated = new LongAdder();
    final LongAdder split = new LongAdder();
    final LongAdder opened = new LongAdder();
    private final Map<Reason, LongAdder> undecided = new EnumMap<>(Reason.class);

    Counters() {
        for (Reason reason : Reason.values()) {
            undecided.put(reason, new LongAdder());
        }
    }

    void count(Outcome outcome) {
        (outcome.decided() ? decided : undecided.get(outcome.reason())).increment();
    }

    Map<String, Object> documents() {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("total", documents.sum());
        found.put("decided", decided.sum());
        found.put("from_cache", cached.sum());
        found.put("joined", joined.sum());
        Map<String, Object> reasons = new LinkedHashMap<>();
        undecided.forEach((reason, count) -> reasons.put(reason.word(), count.sum()));
        found.put("undecided", reasons);
        return found;
    }

    Map<String, Object> requests() {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("total", requests.sum());
        found.put("failed", failed.sum());
        found.put("repeated", repeated.sum());
        found.put("split", split.sum());
        return found;
    }
}
