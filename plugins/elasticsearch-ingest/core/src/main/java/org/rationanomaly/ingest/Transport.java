// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import javax.net.ssl.SSLContext;

/** HTTP to the service. */
final class Transport implements AutoCloseable {
    private final URI address;
    private final HttpClient client;
    private final int answerBytes;
    private volatile String authorization;

    /** @param tls null for the certificate authorities that Java knows */
    Transport(URI endpoint, SSLContext tls, Executor executor, int answerBytes) {
        address = URI.create(endpoint.toString().replaceAll("/+$", "") + Wire.PATH);
        this.answerBytes = answerBytes;
        // Logs go to the service that was named and nowhere else, so neither a proxy nor a redirect is
        // followed. Time limits are the business of the documents, which have theirs.
        HttpClient.Builder builder = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .followRedirects(HttpClient.Redirect.NEVER)
                .proxy(HttpClient.Builder.NO_PROXY)
                .executor(executor);
        if (tls != null) {
            builder.sslContext(tls);
        }
        client = builder.build();
    }

    void token(String token) {
        authorization = token == null ? null : "Bearer " + token;
    }

    CompletableFuture<HttpResponse<byte[]>> post(byte[] json) {
        HttpRequest.Builder request = HttpRequest.newBuilder(address)
                .header("Content-Type", "application/json")
                .header("Accept", "application/json")
                .header("User-Agent", "rationanomaly-ingest")
                .POST(HttpRequest.BodyPublishers.ofByteArray(json));
        String known = authorization;
        if (known != null) {
            request.header("Authorization", known);
        }
        return client.sendAsync(request.build(), answer -> new LimitedBody(answerBytes));
    }

    /** Ends its threads without waiting for what is under way. */
    @Override
    public void close() {
        try {
            HttpClient.class.getMethod("shutdownNow").invoke(client); // since Java 21
        } catch (ReflectiveOperationException error) {
            return; // before, a client ends when it is garbage
        }
    }
}
