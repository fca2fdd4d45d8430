// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLContext;

/** A judge for tests, whose outcomes can be awaited. */
final class Asking implements AutoCloseable {
    static final Patience LONG = new Patience(Duration.ZERO, Duration.ofMinutes(5));

    final List<String> log = new CopyOnWriteArrayList<>();
    final Threads threads = new Threads();
    private final AtomicInteger toldTwice = new AtomicInteger(); // on a thread whose failure no test sees
    final Judge judge;

    Asking(URI endpoint, Limits limits) {
        this(endpoint, limits, null, null);
    }

    Asking(URI endpoint, Limits limits, String token, SSLContext tls) {
        judge = new Judge(endpoint, token, tls, limits, threads, new Log() {
            @Override
            public void info(String message) {
                log.add(message);
            }

            @Override
            public void warn(String message) {
                log.add(message);
            }
        });
    }

    static Patience patience(long millis) {
        return new Patience(Duration.ZERO, Duration.ofMillis(millis));
    }

    CompletableFuture<Outcome> ask(String body) {
        return ask(new Message(body, null), LONG);
    }

    CompletableFuture<Outcome> ask(String body, long timeoutMillis) {
        return ask(new Message(body, null), patience(timeoutMillis));
    }

    CompletableFuture<Outcome> ask(Message message, Patience patience) {
        CompletableFuture<Outcome> outcome = new CompletableFuture<>();
        judge.judge(message, patience, found -> {
            if (!outcome.complete(found)) {
                toldTwice.incrementAndGet();
            }
        });
        return outcome;
    }

    static Outcome got(CompletableFuture<Outcome> outcome) {
        try {
            return outcome.get(10, TimeUnit.MINUTES);
        } catch (Exception error) {
            throw new AssertionError("no answer", error);
        }
    }

    Outcome outcome(String body) {
        return got(ask(body));
    }

    /** Why there is none, for a message that is asked for the first time. */
    Reason reason(String body) {
        return outcome(body).reason();
    }

    @SuppressWarnings("unchecked")
    long counted(String part, String name) {
        return ((Number) ((java.util.Map<String, Object>) judge.stats().get(part)).get(name)).longValue();
    }

    @Override
    public void close() {
        judge.close();
        assertEquals(0, toldTwice.get(), "documents that were told twice");
    }

    /** Remembers the threads that it makes. */
    static final class Threads implements ThreadFactory {
        final List<Thread> made = new CopyOnWriteArrayList<>();
        final List<Throwable> uncaught = new CopyOnWriteArrayList<>();
        private final AtomicInteger count = new AtomicInteger();

        @Override
        public Thread newThread(Runnable work) {
            Thread thread = new Thread(work, "judge-" + count.incrementAndGet());
            thread.setDaemon(true);
            thread.setUncaughtExceptionHandler((where, error) -> uncaught.add(error));
            made.add(thread);
            return thread;
        }
    }
}
