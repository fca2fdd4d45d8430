// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.net.URI;
import java.net.http.HttpResponse;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import javax.net.ssl.SSLContext;

/**
 * Asks the service for verdicts on behalf of documents, and never makes them wait for longer than they said.
 *
 * <p>Messages of concurrent documents go together in one request, equal ones once. Every document is answered
 * exactly once, with a verdict or with the reason why there is none, whatever the service does. No method
 * blocks; documents are answered on the caller's thread if the verdict is remembered or there is none to wait
 * for, and else on a thread of this object.
 */
public final class Judge implements AutoCloseable {
    private static final long IDLE_S = 30;

    private final URI endpoint;
    private final Limits limits;
    private final Log log;
    private final Transport transport;
    private final VerdictCache cache;
    private final Counters counters = new Counters();
    private final ScheduledThreadPoolExecutor timer;
    private final ThreadPoolExecutor sending;
    private final ThreadPoolExecutor answering;

    private final Object lock = new Object(); // guards all below
    private final Breaker breaker;
    private final Map<Patience, Lane> lanes = new LinkedHashMap<>();
    private final Set<Lane.Batch> flying = new HashSet<>();
    private final ArrayDeque<Lane.Batch> divided = new ArrayDeque<>(); // parts of what was too large
    private int busy; // requests in a row that were told to come again when their documents could not wait
    private int held; // documents that have no answer yet
    private boolean closed;

    /**
     * @param endpoint where the service is, such as {@code http://127.0.0.1:8765}
     * @param token may be null
     * @param tls null for the certificate authorities that Java knows
     * @param threads makes daemon threads
     */
    public Judge(URI endpoint, String token, SSLContext tls, Limits limits, ThreadFactory threads, Log log) {
        this.endpoint = Endpoints.checked(endpoint);
        this.limits = limits;
        this.log = log;
        cache = new VerdictCache(limits.cacheBytes, limits.cacheTtl, System::nanoTime);
        breaker = new Breaker(limits.failures, limits.pause, limits.longestPause);
        timer = new ScheduledThreadPoolExecutor(1, threads, new ThreadPoolExecutor.DiscardPolicy());
        timer.setRemoveOnCancelPolicy(true);
        sending = pool(limits.requests + 1, threads);
        answering = pool(Math.max(2, Runtime.getRuntime().availableProcessors()), threads);
        transport = new Transport(endpoint, tls, sending, limits.answerBytes);
        token(token);
    }

    private static ThreadPoolExecutor pool(int size, ThreadFactory threads) {
        // Work that comes after the shutdown is done by who brings it: nobody may be left without an answer.
        ThreadPoolExecutor pool = new ThreadPoolExecutor(
                size, size, IDLE_S, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), threads,
                (work, ended) -> work.run());
        pool.allowCoreThreadTimeOut(true);
        return pool;
    }

    /** Use this token from now on. */
    public void token(String token) {
        Endpoints.checkToken(token);
        if (token != null && Endpoints.isExposed(endpoint)) {
            log.warn("the token is sent to " + endpoint + " without TLS; use https");
        }
        transport.token(token);
    }

    /** Ask about one message; {@code document} is told, exactly once. */
    public void judge(Message message, Patience patience, Consumer<Outcome> document) {
        counters.documents.increment();
        Outcome known = cache.get(message);
        if (known != null) {
            counters.cached.increment();
        } else {
            boolean tooLong = message.body().length() > limits.messageChars;
            Reason refusal = tooLong ? Reason.TOO_LONG : queue(message, patience, document);
            if (refusal == null) {
                return;
            }
            known = Outcome.undecided(refusal);
        }
        counters.count(known);
        document.accept(known);
    }

    /** Returns why the message cannot wait to be sent, or null. */
    private Reason queue(Message message, Patience patience, Consumer<Outcome> document) {
        synchronized (lock) {
            long now = System.nanoTime();
            if (closed) {
                return Reason.CLOSED;
            }
            if (!breaker.admits(now, now + patience.timeout().toNanos())) {
                return Reason.PAUSED;
            }
            if (held >= limits.queue) {
                return Reason.QUEUE_FULL;
            }
            held++;
            Lane lane = lanes.computeIfAbsent(patience, Lane::new);
            if (lane.add(message, document, now)) {
                counters.joined.increment();
            } else if (lane.isFull(limits)) {
                lane.due = true; // also what may be left over, for which no timer runs
                pump();
            } else if (lane.flush == null) {
                lane.flush = timer.schedule(() -> flush(lane), limits.delay.toNanos(), TimeUnit.NANOSECONDS);
            }
            watch(lane, now);
            return null;
        }
    }

    private void flush(Lane lane) {
        synchronized (lock) {
            lane.due = true;
            pump();
        }
    }

    /** Send what is ready, as far as requests are free; each lane has its turn. */
    private void pump() {
        for (Lane.Batch batch : List.copyOf(divided)) {
            if (System.nanoTime() - batch.deadline < 0) { // else its timer is about to answer it
                if (!mayLaunch()) {
                    return;
                }
                divided.remove(batch);
                launch(batch);
            }
        }
        ArrayDeque<Lane> turns = new ArrayDeque<>(lanes.values());
        while (!turns.isEmpty()) {
            Lane lane = turns.poll();
            if (lane.isEmpty()) {
                lane.stopTimers();
                lanes.remove(lane.patience, lane);
            } else if (lane.due || lane.isFull(limits)) {
                if (!mayLaunch()) {
                    return;
                }
                launch(expiring(lane.take(limits)));
                turns.add(lane);
            }
        }
    }

    private boolean mayLaunch() {
        return flying.size() < limits.requests && breaker.acquire(System.nanoTime());
    }

    /** From here on it is answered at its deadline at the latest, whatever becomes of the request. */
    private Lane.Batch expiring(Lane.Batch batch) {
        batch.expiry = timer.schedule(() -> expire(batch), batch.deadline - System.nanoTime(),
                TimeUnit.NANOSECONDS);
        return batch;
    }

    private void launch(Lane.Batch batch) {
        flying.add(batch);
        batch.generation = breaker.generation();
        batch.launched = System.nanoTime();
        sending.execute(() -> send(batch));
    }

    /** Have what waits in the lane answered at its deadline, even if it is never sent. */
    private void watch(Lane lane, long now) {
        if (lane.expiry == null && !lane.isEmpty()) {
            lane.expiry = timer.schedule(() -> expire(lane), lane.nextDeadline() - now, TimeUnit.NANOSECONDS);
        }
    }

    private void expire(Lane lane) {
        List<Lane.Ticket> expired;
        synchronized (lock) {
            long now = System.nanoTime();
            lane.expiry = null;
            expired = lane.expired(now);
            watch(lane, now);
            pump();
        }
        answer(expired, Outcome.undecided(Reason.TIMEOUT));
    }

    private void send(Lane.Batch batch) {
        byte[] body = Wire.encode(batch.messages(), modelWait(batch));
        CompletableFuture<HttpResponse<byte[]>> call;
        synchronized (lock) {
            if (batch.ended) {
                return;
            }
            counters.requests.increment();
            call = posted(body);
            batch.call = call;
        }
        call.whenComplete((answer, error) -> answered(batch, answer, error));
    }

    private CompletableFuture<HttpResponse<byte[]>> posted(byte[] body) {
        try {
            return transport.post(body);
        } catch (RuntimeException error) { // the server's, where it does not let the plugin connect
            return CompletableFuture.failedFuture(error);
        }
    }

    /** How long the service may wait, without what the messages have waited here. */
    private static long modelWait(Lane.Batch batch) {
        long spent = batch.patience.timeout().toNanos() - (batch.deadline - System.nanoTime());
        long left = batch.patience.modelWait().toNanos() - Math.max(0, spent);
        return TimeUnit.NANOSECONDS.toMillis(Math.max(0, left));
    }

    private void expire(Lane.Batch batch) {
        if (isHurried(batch)) {
            end(batch, Outcome.undecided(Reason.TIMEOUT));
            return;
        }
        String limit = Durations.text(batch.patience.timeout());
        fail(batch, new Failure(Reason.TIMEOUT, "no answer within " + limit));
    }

    /** Whether it spent most of its time waiting here, which is not the service's fault. */
    private boolean isHurried(Lane.Batch batch) {
        synchronized (lock) {
            boolean tries = breaker.state() == Breaker.State.TRYING; // what came of that has to be told
            long given = batch.deadline - batch.launched;
            return divided.contains(batch) || !tries && given < batch.patience.timeout().toNanos() / 2;
        }
    }

    private void answered(Lane.Batch batch, HttpResponse<byte[]> answer, Throwable error) {
        if (error != null) {
            fail(batch, Failure.of(error));
        } else if (answer.statusCode() == 200) {
            read(batch, answer.body());
        } else if (Failure.isTooLarge(answer.statusCode())) {
            divide(batch);
        } else if (Failure.isTemporary(answer.statusCode())) {
            repeat(batch, answer);
        } else {
            fail(batch, Failure.of(answer));
        }
    }

    private void read(Lane.Batch batch, byte[] body) {
        List<Outcome> outcomes;
        try {
            outcomes = Wire.decode(body, batch.tickets.size());
        } catch (Wire.BadAnswer error) {
            fail(batch, new Failure(Reason.BAD_ANSWER, error.getMessage()));
            return;
        }
        if (!end(batch)) {
            return;
        }
        alive();
        for (int i = 0; i < outcomes.size(); i++) {
            cache.put(batch.tickets.get(i).message, outcomes.get(i));
        }
        answering.execute(() -> {
            for (int i = 0; i < outcomes.size(); i++) {
                answer(batch.tickets.get(i), outcomes.get(i));
            }
        });
    }

    /** One of the messages is too long, or together they are: those that are not must not suffer. */
    private void divide(Lane.Batch batch) {
        int size = batch.tickets.size();
        if (size == 1) {
            alive();
            end(batch, Outcome.undecided(Reason.TOO_LONG));
            return;
        }
        synchronized (lock) {
            if (!end(batch)) {
                return;
            }
            counters.split.increment();
            divided.add(expiring(new Lane.Batch(batch.tickets.subList(0, size / 2), batch.patience)));
            divided.add(expiring(new Lane.Batch(batch.tickets.subList(size / 2, size), batch.patience)));
        }
        alive();
    }

    /** The service says to come again: after that pause, if the documents can wait so long. */
    private void repeat(Lane.Batch batch, HttpResponse<byte[]> answer) {
        long pause = Failure.retryAfter(answer, limits.longestPause).toNanos();
        long now = System.nanoTime();
        boolean lasting;
        synchronized (lock) {
            breaker.hold(now + pause);
            if (!closed) {
                timer.schedule(this::resume, pause, TimeUnit.NANOSECONDS);
            }
            if (!batch.ended && now + pause - batch.deadline < 0) {
                counters.repeated.increment();
                timer.schedule(() -> sending.execute(() -> send(batch)), pause, TimeUnit.NANOSECONDS);
                return;
            }
            lasting = !batch.ended && ++busy == limits.failures;
        }
        if (lasting) {
            log.warn("no verdicts from " + endpoint + ": " + Failure.of(answer).detail()
                    + "; documents that cannot wait pass undecided");
        }
        end(batch, Outcome.undecided(Reason.BUSY));
    }

    private void resume() {
        synchronized (lock) {
            pump();
        }
    }

    private void fail(Lane.Batch batch, Failure failure) {
        List<Lane.Ticket> abandoned = new ArrayList<>();
        long pause;
        synchronized (lock) {
            if (!end(batch)) {
                return;
            }
            counters.failed.increment();
            pause = breaker.failed(batch.generation, System.nanoTime(), failure.isCertain());
            if (pause > 0) {
                counters.opened.increment();
                abandoned.addAll(emptied());
            }
            pump();
        }
        if (pause > 0) {
            log.warn("no verdicts from " + endpoint + ": " + failure.detail()
                    + "; documents pass undecided, next try in "
                    + TimeUnit.NANOSECONDS.toMillis(pause) + " ms");
        }
        answer(batch.tickets, Outcome.undecided(failure.reason()));
        answer(abandoned, Outcome.undecided(Reason.PAUSED));
    }

    /** The service answers. */
    private void alive() {
        boolean recovered;
        synchronized (lock) {
            recovered = breaker.succeeded() || busy >= limits.failures;
            busy = 0;
            pump();
        }
        if (recovered) {
            log.info("verdicts from " + endpoint + " again");
        }
    }

    /** Take all that waits. */
    private List<Lane.Ticket> emptied() {
        List<Lane.Ticket> taken = new ArrayList<>();
        for (Lane lane : lanes.values()) {
            taken.addAll(lane.emptied());
        }
        lanes.clear();
        for (Lane.Batch batch : List.copyOf(divided)) {
            end(batch);
            taken.addAll(batch.tickets);
        }
        return taken;
    }

    /**
     * Returns whether it is the caller who answers the batch: its answer, its deadline and the shutdown race.
     */
    private boolean end(Lane.Batch batch) {
        synchronized (lock) {
            if (batch.ended) {
                return false;
            }
            batch.ended = true;
            if (!flying.remove(batch)) {
                divided.remove(batch);
            }
            batch.expiry.cancel(false);
            if (batch.call != null && !batch.call.isDone()) {
                sending.execute(() -> batch.call.cancel(true));
            }
            return true;
        }
    }

    private void end(Lane.Batch batch, Outcome outcome) {
        if (end(batch)) {
            resume();
            answer(batch.tickets, outcome);
        }
    }

    private void answer(Collection<Lane.Ticket> tickets, Outcome outcome) {
        if (!tickets.isEmpty()) {
            answering.execute(() -> tickets.forEach(ticket -> answer(ticket, outcome)));
        }
    }

    private void answer(Lane.Ticket ticket, Outcome outcome) {
        synchronized (lock) {
            held -= ticket.documents.size();
        }
        for (Consumer<Outcome> document : ticket.documents) {
            counters.count(outcome);
            try {
                document.accept(outcome);
            } catch (RuntimeException error) { // of the rest of a pipeline; other documents must not suffer
                log.warn("a document's pipeline failed after the verdict: " + error);
            } catch (Error error) { // the server decides whether it survives; if so, others need their answer
                Thread current = Thread.currentThread();
                current.getUncaughtExceptionHandler().uncaughtException(current, error);
            }
        }
    }

    /** For the operator: what happened on this node since it started, and how it is now. */
    public Map<String, Object> stats() {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("documents", counters.documents());
        found.put("requests", counters.requests());
        Map<String, Object> cached = new LinkedHashMap<>();
        cached.put("entries", cache.size());
        cached.put("bytes", cache.weight());
        found.put("cache", cached);
        synchronized (lock) {
            found.put("waiting", held);
            found.put("under_way", flying.size());
            String state = breaker.state().name().toLowerCase(Locale.ROOT);
            found.put("breaker", Map.of("state", state, "opened", counters.opened.sum()));
        }
        return found;
    }

    /** Answer all documents, undecided, and end all threads. */
    @Override
    public void close() {
        List<Lane.Ticket> left;
        synchronized (lock) {
            closed = true;
            left = emptied();
            for (Lane.Batch batch : List.copyOf(flying)) {
                end(batch);
                left.addAll(batch.tickets);
            }
        }
        timer.shutdownNow();
        answer(left, Outcome.undecided(Reason.CLOSED));
        answering.shutdown();
        transport.close();
        sending.shutdown();
    }
}
