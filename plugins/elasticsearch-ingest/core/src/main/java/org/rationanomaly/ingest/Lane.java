// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.function.Consumer;

/**
 * The messages that wait to be sent, of documents with the same patience. The oldest is first, so its
 * deadline is the next.
 *
 * <p>Not synchronized: its owner's lock guards it, and all it holds.
 */
final class Lane {
    /** One message, and the documents that have it. */
    static final class Ticket {
        final Message message;
        final long deadline;
        final List<Consumer<Outcome>> documents = new ArrayList<>(1);

        Ticket(Message message, long deadline) {
            this.message = message;
            this.deadline = deadline;
        }
    }

    /** Messages that are asked about in one request, which may be repeated. */
    static final class Batch {
        final List<Ticket> tickets;
        final Patience patience;
        final long deadline;
        boolean ended;
        long launched;
        int generation; // the breaker's, when it was sent
        Future<?> expiry;
        CompletableFuture<?> call;

        Batch(List<Ticket> tickets, Patience patience) {
            this.tickets = tickets;
            this.patience = patience;
            deadline = tickets.get(0).deadline;
        }

        List<Message> messages() {
            return tickets.stream().map(ticket -> ticket.message).toList();
        }
    }

    final Patience patience;
    private final Map<Message, Ticket> waiting = new LinkedHashMap<>();
    private long chars;
    boolean due;
    Future<?> flush;
    Future<?> expiry;

    Lane(Patience patience) {
        this.patience = patience;
    }

    boolean isEmpty() {
        return waiting.isEmpty();
    }

    /** Returns whether the message waits already, for another document. */
    boolean add(Message message, Consumer<Outcome> document, long now) {
        Ticket ticket = waiting.get(message);
        boolean joins = ticket != null;
        if (!joins) {
            ticket = new Ticket(message, now + patience.timeout().toNanos());
            waiting.put(message, ticket);
            chars += message.body().length();
        }
        ticket.documents.add(document);
        return joins;
    }

    boolean isFull(Limits limits) {
        return waiting.size() >= limits.batch || chars >= limits.batchChars;
    }

    /** The oldest messages, as many as a request may have. */
    Batch take(Limits limits) {
        List<Ticket> taken = new ArrayList<>();
        long length = 0;
        Iterator<Ticket> oldest = waiting.values().iterator();
        while (oldest.hasNext() && taken.size() < limits.batch && length < limits.batchChars) {
            Ticket ticket = oldest.next();
            oldest.remove();
            taken.add(ticket);
            length += ticket.message.body().length();
        }
        chars -= length;
        return new Batch(taken, patience);
    }

    /** Those whose deadline has passed. */
    List<Ticket> expired(long now) {
        List<Ticket> taken = new ArrayList<>();
        Iterator<Ticket> oldest = waiting.values().iterator();
        while (oldest.hasNext()) {
            Ticket ticket = oldest.next();
            if (now - ticket.deadline < 0) {
                break;
            }
            oldest.remove();
            taken.add(ticket);
            chars -= ticket.message.body().length();
        }
        return taken;
    }

    List<Ticket> emptied() {
        List<Ticket> taken = new ArrayList<>(waiting.values());
        waiting.clear();
        chars = 0;
        stopTimers();
        return taken;
    }

    long nextDeadline() {
        return waiting.values().iterator().next().deadline;
    }

    void stopTimers() {
        due = false;
        flush = stopped(flush);
        expiry = stopped(expiry);
    }

    private static Future<?> stopped(Future<?> timer) {
        if (timer != null) {
            timer.cancel(false);
        }
        return null;
    }
}
