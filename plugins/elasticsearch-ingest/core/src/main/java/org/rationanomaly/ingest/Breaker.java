// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.time.Duration;

/**
 * Leaves a service alone that fails, and tries it again with one request after a while. Times are those of
 * {@link System#nanoTime}.
 *
 * <p>Not synchronized: its owner's lock guards it.
 */
final class Breaker {
    enum State { CLOSED, OPEN, TRYING }

    private final int threshold;
    private final long firstPause;
    private final long longestPause;
    private State state = State.CLOSED;
    private int generation;
    private int failures;
    private long pause;
    private long openUntil;
    private boolean held;
    private long heldUntil;

    Breaker(int threshold, Duration firstPause, Duration longestPause) {
        this.threshold = threshold;
        this.firstPause = firstPause.toNanos();
        this.longestPause = longestPause.toNanos();
        pause = this.firstPause;
    }

    State state() {
        return state;
    }

    /** Grows when it opens, so that a request that was sent before is known by it. */
    int generation() {
        return generation;
    }

    /** Whether a document that can wait until {@code deadline} has a chance to be judged. */
    boolean admits(long now, long deadline) {
        boolean leftAlone = state == State.TRYING || state == State.OPEN && now - openUntil < 0;
        return !leftAlone && !(isHeld(now) && deadline - heldUntil <= 0);
    }

    /** Whether a request may be sent now. After a pause it may be one, until its result is told. */
    boolean acquire(long now) {
        if (state == State.TRYING || isHeld(now)) {
            return false;
        }
        if (state == State.OPEN) {
            if (now - openUntil < 0) {
                return false;
            }
            state = State.TRYING;
        }
        return true;
    }

    /** Returns whether the service was left alone before. */
    boolean succeeded() {
        boolean recovered = state != State.CLOSED;
        state = State.CLOSED;
        failures = 0;
        pause = firstPause;
        return recovered;
    }

    /**
     * Returns how long the service is left alone from now on, in nanoseconds; 0: no longer than before.
     *
     * @param sent the generation when the request was sent; an older one says nothing about the service now
     */
    long failed(int sent, long now, boolean certain) {
        if (sent != generation) {
            return 0;
        }
        failures++;
        if (state == State.CLOSED && failures < threshold && !certain) {
            return 0;
        }
        long length = pause;
        state = State.OPEN;
        generation++;
        openUntil = now + length;
        pause = Math.min(2 * pause, longestPause);
        return length;
    }

    /** The service said when to come again. It answers, so it does not count as failing. */
    void hold(long until) {
        if (!held || until - heldUntil > 0) {
            held = true;
            heldUntil = until;
        }
        if (state == State.TRYING) {
            state = State.CLOSED;
            failures = 0;
        }
    }

    private boolean isHeld(long now) {
        held = held && now - heldUntil < 0;
        return held;
    }
}
