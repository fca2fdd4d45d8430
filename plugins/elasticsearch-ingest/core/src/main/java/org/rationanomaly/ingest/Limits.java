// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.time.Duration;

/** The bounds of a {@link Judge}. Setters check their value and return this. */
public final class Limits {
    int queue = 50_000;
    int batch = 1_000;
    int batchChars = 1 << 20;
    int requests = 4;
    Duration delay = Duration.ofMillis(3);
    long cacheBytes = 16L << 20;
    Duration cacheTtl = Duration.ofMinutes(5);
    int failures = 3;
    Duration pause = Duration.ofSeconds(5);
    Duration longestPause = Duration.ofSeconds(60);
    int messageChars = 1 << 20;
    int answerBytes = 16 << 20;

    /** Documents that may wait for a verdict at once. */
    public Limits queue(int documents) {
        queue = positive("queue", documents);
        return this;
    }

    /** Messages of one request; its text is bounded as well, by {@link #batchChars}. */
    public Limits batch(int messages) {
        batch = positive("batch", messages);
        return this;
    }

    public Limits batchChars(int chars) {
        batchChars = positive("batch_chars", chars);
        return this;
    }

    /** Requests under way at once. */
    public Limits requests(int most) {
        requests = positive("requests", most);
        return this;
    }

    /** How long the first message of a request waits for others. */
    public Limits delay(Duration delay) {
        this.delay = positive("delay", delay);
        return this;
    }

    /** Memory for verdicts that are remembered, about; 0 remembers none. */
    public Limits cacheBytes(long bytes) {
        if (bytes < 0) {
            throw new BadOption("cache.size", "must not be negative, got " + bytes);
        }
        cacheBytes = bytes;
        return this;
    }

    /** How long they are; a correction in the service is noticed after that. */
    public Limits cacheTtl(Duration ttl) {
        cacheTtl = positive("cache.ttl", ttl);
        return this;
    }

    /** How many requests in a row may fail until the service is left alone. */
    public Limits failures(int inARow) {
        failures = positive("breaker.failures", inARow);
        return this;
    }

    /** For how long it is left alone: at first, and at most, if it keeps failing. */
    public Limits pause(Duration first, Duration longest) {
        pause = positive("breaker.pause", first);
        if (longest.compareTo(first) < 0) {
            throw new BadOption("breaker.longest_pause", "must not be shorter than breaker.pause ["
                    + Durations.text(first) + "], got [" + Durations.text(longest) + "]");
        }
        longestPause = longest;
        return this;
    }

    /** Characters of one message; the service accepts a mebi by default. */
    public Limits messageChars(int most) {
        messageChars = positive("message_chars", most);
        return this;
    }

    /** Bytes of one answer; a longer one is not read to its end. */
    public Limits answerBytes(int most) {
        answerBytes = positive("answer_bytes", most);
        return this;
    }

    private static int positive(String name, int value) {
        if (value < 1) {
            throw new BadOption(name, "must be at least 1, got " + value);
        }
        return value;
    }

    private static Duration positive(String name, Duration value) {
        if (value.isNegative() || value.isZero()) {
            throw new BadOption(name, "must be longer than 0, got " + value);
        }
        return value;
    }
}
