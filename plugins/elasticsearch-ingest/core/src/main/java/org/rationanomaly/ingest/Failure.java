// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.net.ProtocolException;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.concurrent.CompletionException;
import javax.net.ssl.SSLException;

/** Why a request brought no verdicts: a word for documents, and more for the log of the server. */
record Failure(Reason reason, String detail) {
    private static final Duration PAUSE = Duration.ofSeconds(1);
    private static final Duration SHORTEST_PAUSE = Duration.ofMillis(100);

    static Failure of(Throwable error) {
        boolean wrapped = error instanceof CompletionException && error.getCause() != null;
        Throwable cause = wrapped ? error.getCause() : error;
        return new Failure(reason(cause), cause.toString());
    }

    private static Reason reason(Throwable cause) {
        if (cause instanceof SSLException) {
            return Reason.TLS;
        }
        if (cause instanceof LimitedBody.TooLong || cause instanceof ProtocolException) {
            return Reason.BAD_ANSWER;
        }
        return cause instanceof RuntimeException ? Reason.FORBIDDEN : Reason.UNREACHABLE;
    }

    static Failure of(HttpResponse<?> answer) {
        int status = answer.statusCode();
        Reason reason = status == 401 || status == 403 ? Reason.UNAUTHORIZED : Reason.REFUSED;
        return new Failure(reason, "it answers with status " + status);
    }

    /** Whether another try within moments is in vain. */
    boolean isCertain() {
        return reason == Reason.TLS || reason == Reason.UNAUTHORIZED || reason == Reason.FORBIDDEN;
    }

    /**
     * Whether the service, or a proxy before it, finds the request or one of its messages too large, and may
     * accept a part of it.
     */
    static boolean isTooLarge(int status) {
        return status == 413;
    }

    static boolean isTemporary(int status) {
        return status == 429 || status == 503;
    }

    /** The pause that a temporary refusal asks for, in seconds; the wire format has no dates. */
    static Duration retryAfter(HttpResponse<?> answer, Duration longest) {
        Duration pause = answer.headers().firstValue("retry-after").filter(text -> text.matches("\\d+"))
                .map(text -> text.length() > 9 ? longest : Duration.ofSeconds(Long.parseLong(text)))
                .orElse(PAUSE);
        if (pause.compareTo(longest) > 0) {
            return longest;
        }
        return pause.compareTo(SHORTEST_PAUSE) < 0 ? SHORTEST_PAUSE : pause;
    }
}
