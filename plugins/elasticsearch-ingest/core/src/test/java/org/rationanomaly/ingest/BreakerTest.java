// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class BreakerTest {
    private final Breaker breaker = new Breaker(2, Duration.ofNanos(100), Duration.ofNanos(250));

    /** Of a request that was sent just now. */
    private long failed(long now, boolean certain) {
        return breaker.failed(breaker.generation(), now, certain);
    }

    @Test
    void opensAfterFailuresInARow() {
        assertEquals(0, failed(0, false));
        breaker.succeeded();
        assertEquals(0, failed(0, false));
        assertTrue(breaker.acquire(0));
        assertEquals(100, failed(0, false));
        assertFalse(breaker.admits(99, Long.MAX_VALUE));
        assertFalse(breaker.acquire(99));
    }

    @Test
    void triesWithOneRequestAndWaitsLongerEachTime() {
        failed(0, true);
        assertTrue(breaker.admits(100, 101));
        assertTrue(breaker.acquire(100));
        assertFalse(breaker.acquire(100), "a second one");
        assertFalse(breaker.admits(100, 101));
        assertEquals(200, failed(100, false));
        assertTrue(breaker.acquire(300));
        assertEquals(250, failed(300, false), "the longest pause");
        assertTrue(breaker.acquire(550));
        assertTrue(breaker.succeeded());
        assertTrue(breaker.acquire(551));
        assertTrue(breaker.acquire(551));
        assertEquals(100, failed(600, true), "the first pause again");
    }

    @Test
    void aFailureOfARequestThatWasSentBeforeItOpenedDoesNotCount() {
        int before = breaker.generation();
        failed(0, true);
        assertEquals(0, breaker.failed(before, 50, true), "while it is open");
        assertTrue(breaker.acquire(100));
        assertEquals(0, breaker.failed(before, 110, true), "while another request tries");
        assertEquals(Breaker.State.TRYING, breaker.state());
        assertTrue(breaker.succeeded());
        assertEquals(0, breaker.failed(before, 120, true), "after the service recovered");
        assertEquals(Breaker.State.CLOSED, breaker.state());
    }

    @Test
    void holdsWhatTheServiceAskedFor() {
        breaker.hold(50);
        breaker.hold(40);
        assertFalse(breaker.acquire(49));
        assertFalse(breaker.admits(10, 50));
        assertTrue(breaker.admits(10, 51), "it can wait so long");
        assertTrue(breaker.acquire(50));
        assertFalse(breaker.succeeded(), "it was never open");
    }
}
