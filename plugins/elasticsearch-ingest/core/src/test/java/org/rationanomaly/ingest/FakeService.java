// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.SSLContext;

/** A service on loopback that answers as a test wants it, and remembers what it was asked. */
final class FakeService implements AutoCloseable {
    /** One request, and its answer. */
    static final class Call {
        final HttpExchange exchange;
        final String body;

        Call(HttpExchange exchange) throws IOException {
            this.exchange = exchange;
            body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        }

        String header(String name) {
            return exchange.getRequestHeaders().getFirst(name);
        }

        JsonObject json() {
            return JsonParser.parseString(body).getAsJsonObject();
        }

        List<String> bodies() {
            List<String> found = new ArrayList<>();
            for (JsonElement record : json().getAsJsonArray("records")) {
                found.add(record.getAsJsonObject().get("body").getAsString());
            }
            return found;
        }

        void answer(int status, String text, String... headers) throws IOException {
            answer(status, text.getBytes(StandardCharsets.UTF_8), headers);
        }

        void answer(int status, byte[] data, String... headers) throws IOException {
            for (int i = 0; i < headers.length; i += 2) {
                exchange.getResponseHeaders().set(headers[i], headers[i + 1]);
            }
            exchange.sendResponseHeaders(status, data.length == 0 ? -1 : data.length);
            exchange.getResponseBody().write(data);
            exchange.close();
        }

        /** As the service would with the stand-in for a model: what has "failed" in it is abnormal. */
        void judge() throws IOException {
            answer(200, verdicts(bodies()), "Content-Type", "application/json");
        }
    }

    interface Answering {
        void answer(Call call) throws Exception;
    }

    final List<Call> calls = new CopyOnWriteArrayList<>();
    volatile Answering answering;
    private final HttpServer server;
    private final ExecutorService threads = Executors.newCachedThreadPool();

    FakeService(Answering answering) {
        this(answering, null);
    }

    FakeService(Answering answering, SSLContext tls) {
        this.answering = answering;
        InetSocketAddress anywhere = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
        try {
            if (tls == null) {
                server = HttpServer.create(anywhere, 0);
            } else {
                HttpsServer secure = HttpsServer.create(anywhere, 0);
                secure.setHttpsConfigurator(new HttpsConfigurator(tls));
                server = secure;
            }
        } catch (IOException error) {
            throw new AssertionError(error);
        }
        server.setExecutor(threads);
        server.createContext("/", this::handle);
        server.start();
    }

    private void handle(HttpExchange exchange) throws IOException {
        Call call = new Call(exchange);
        calls.add(call);
        try {
            answering.answer(call);
        } catch (IOException error) {
            throw error; // the client went away
        } catch (Exception error) {
            throw new IOException(error);
        }
    }

    URI address() {
        String scheme = server instanceof HttpsServer ? "https" : "http";
        return URI.create(scheme + "://localhost:" + server.getAddress().getPort());
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }

    /** The answer for these bodies: each distinct one is a template. */
    static String verdicts(List<String> bodies) {
        Map<String, Integer> order = new LinkedHashMap<>();
        JsonArray records = new JsonArray();
        JsonArray verdicts = new JsonArray();
        for (String body : bodies) {
            if (!order.containsKey(body)) {
                order.put(body, order.size());
                verdicts.add(verdict(body));
            }
            JsonObject reference = new JsonObject();
            reference.addProperty("verdict", order.get(body));
            records.add(reference);
        }
        JsonObject answer = new JsonObject();
        answer.add("records", records);
        answer.add("verdicts", verdicts);
        return answer.toString();
    }

    private static JsonObject verdict(String body) {
        boolean undecided = body.contains("new"), failed = body.contains("failed");
        JsonObject verdict = new JsonObject();
        verdict.addProperty("key", "0".repeat(64));
        verdict.addProperty("template", body);
        verdict.addProperty("label", undecided ? "undecided" : failed ? "abnormal" : "normal");
        verdict.addProperty("score", undecided ? null : (Number) (failed ? 0.9 : 0.1));
        verdict.addProperty("category", failed ? "system" : null);
        verdict.addProperty("rationale", failed ? "It says \"" + body + "\"." : null);
        return verdict;
    }
}
