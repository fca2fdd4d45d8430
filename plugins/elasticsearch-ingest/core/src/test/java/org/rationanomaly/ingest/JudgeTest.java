// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.rationanomaly.ingest.Asking.got;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(900)
class JudgeTest {
    private static final Duration NEVER = Duration.ofHours(1);

    private final CountDownLatch released = new CountDownLatch(1);
    private final FakeService service = new FakeService(FakeService.Call::judge);
    private final List<Asking> opened = new ArrayList<>();

    @AfterEach
    void close() {
        released.countDown();
        opened.forEach(Asking::close);
        service.close();
    }

    private Asking asking(Limits limits) {
        return asking(service.address(), limits);
    }

    private Asking asking(URI endpoint, Limits limits) {
        Asking asking = new Asking(endpoint, limits);
        opened.add(asking);
        return asking;
    }

    private void hang(FakeService.Call call) throws Exception {
        released.await();
        call.judge();
    }

    private static void await(BooleanSupplier condition) throws InterruptedException {
        while (!condition.getAsBoolean()) { // the test's time limit ends it
            Thread.sleep(2);
        }
    }

    /** A port at which nobody listens. */
    private static URI nowhere() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return URI.create("http://localhost:" + socket.getLocalPort());
        }
    }

    // joining

    @Test
    void concurrentDocumentsGoInOneRequest() {
        Asking asking = asking(new Limits().delay(NEVER).batch(30));
        List<String> messages = IntStream.range(0, 88) // the last one fills the request
                .mapToObj(i -> "disk " + (i < 87 ? i % 29 : 29) + " failed").toList();
        List<CompletableFuture<Outcome>> outcomes = messages.stream().map(asking::ask).toList();
        for (int i = 0; i < 88; i++) {
            assertEquals("It says \"" + messages.get(i) + "\".", got(outcomes.get(i)).rationale());
            assertEquals("abnormal", got(outcomes.get(i)).verdict().label());
        }
        assertEquals(1, service.calls.size());
        assertEquals(30, service.calls.get(0).bodies().size(), "equal messages are asked once");
        assertEquals(58, asking.counted("documents", "joined"));
    }

    @Test
    void aFullRequestDoesNotWait() {
        Asking asking = asking(new Limits().delay(NEVER).batch(10));
        List<CompletableFuture<Outcome>> outcomes = IntStream.range(0, 20).mapToObj(i -> asking.ask("m" + i))
                .toList();
        outcomes.forEach(outcome -> assertTrue(got(outcome).decided()));
        assertEquals(2, service.calls.size());
    }

    @Test
    void longMessagesFillARequestBeforeTheyAreMany() {
        Asking asking = asking(new Limits().delay(NEVER).batchChars(1_000));
        CompletableFuture<Outcome> first = asking.ask("a".repeat(600)), second = asking.ask("b".repeat(600));
        assertTrue(got(first).decided() && got(second).decided());
        assertEquals(1, service.calls.size());
    }

    @Test
    void whatAFullRequestLeavesOverIsSentToo() {
        service.answering = this::hang;
        Asking asking = asking(new Limits().delay(NEVER).batchChars(10).requests(1));
        CompletableFuture<Outcome> first = asking.ask("a".repeat(10)), second = asking.ask("b".repeat(10));
        CompletableFuture<Outcome> rest = asking.ask("c");
        released.countDown();
        assertTrue(got(first).decided() && got(second).decided());
        assertTrue(got(rest).decided(), "it was held until its deadline");
    }

    @Test
    void documentsWithAnotherPatienceHaveTheirOwnRequest() {
        Asking asking = asking(new Limits().delay(Duration.ofMillis(200)));
        CompletableFuture<Outcome> first = asking.ask("a");
        CompletableFuture<Outcome> second = asking.ask(new Message("b", "ERROR"),
                new Patience(Duration.ofSeconds(5), Duration.ofMinutes(5)));
        assertTrue(got(first).decided() && got(second).decided());
        Set<Boolean> waiting = service.calls.stream().map(call -> call.json().has("wait_ms"))
                .collect(Collectors.toSet());
        assertEquals(Set.of(true, false), waiting);
        assertTrue(service.calls.stream().anyMatch(call -> call.body.contains("\"severity\":\"ERROR\"")));
    }

    @Test
    void moreRequestsThanAllowedWaitForTheirTurn() throws Exception {
        AtomicInteger now = new AtomicInteger(), most = new AtomicInteger();
        service.answering = call -> {
            most.accumulateAndGet(now.incrementAndGet(), Math::max);
            Thread.sleep(5);
            now.decrementAndGet();
            call.judge();
        };
        Asking asking = asking(new Limits().batch(1).requests(2));
        List<CompletableFuture<Outcome>> outcomes = IntStream.range(0, 40).mapToObj(i -> asking.ask("m" + i))
                .toList();
        outcomes.forEach(outcome -> assertTrue(got(outcome).decided()));
        assertEquals(40, service.calls.size());
        assertTrue(most.get() <= 2, "at once: " + most);
    }

    @Test
    void partsOfARequestThatWasTooLargeWaitForTheirTurnToo() {
        AtomicInteger now = new AtomicInteger(), most = new AtomicInteger();
        service.answering = call -> {
            most.accumulateAndGet(now.incrementAndGet(), Math::max);
            Thread.sleep(5); // so that requests at once would be seen
            now.decrementAndGet();
            call.answer(413, "{}");
        };
        Asking asking = asking(new Limits().delay(NEVER).batch(64).requests(2));
        List<CompletableFuture<Outcome>> outcomes = IntStream.range(0, 64).mapToObj(i -> asking.ask("m" + i))
                .toList();
        outcomes.forEach(outcome -> assertEquals(Reason.TOO_LONG, got(outcome).reason()));
        assertEquals(2 * 64 - 1, service.calls.size());
        assertTrue(most.get() <= 2, "at once: " + most);
    }

    @Test
    void partsThatAreNotSentInTimeAreUndecidedWithoutBlameForTheService() {
        service.answering = call -> {
            if (call.bodies().size() > 1) {
                call.answer(413, "{}");
            } else {
                hang(call);
            }
        };
        Asking asking = asking(new Limits().delay(NEVER).batch(4).requests(1).failures(2));
        List<CompletableFuture<Outcome>> outcomes = IntStream.range(0, 4)
                .mapToObj(i -> asking.ask("m" + i, 1_000)).toList();
        outcomes.forEach(outcome -> assertEquals(Reason.TIMEOUT, got(outcome).reason()));
        assertTrue(asking.counted("requests", "failed") <= 1, "only one was under way");
        assertEquals(List.of(), asking.log);
    }

    // remembering

    @Test
    void whatIsKnownIsAnsweredAtOnceByTheCaller() {
        Asking asking = asking(new Limits());
        Outcome first = asking.outcome("disk failed");
        AtomicReference<Thread> by = new AtomicReference<>();
        asking.judge.judge(new Message("disk failed", null), Asking.LONG, outcome -> {
            assertEquals(first, outcome);
            by.set(Thread.currentThread());
        });
        assertSame(Thread.currentThread(), by.get());
        assertEquals(1, service.calls.size());
        assertEquals(1, asking.counted("documents", "from_cache"));
    }

    @Test
    void whatIsUndecidedIsAskedAgain() {
        Asking asking = asking(new Limits());
        Outcome outcome = asking.outcome("a new template");
        assertEquals(Reason.PENDING, outcome.reason());
        assertEquals("a new template", outcome.verdict().template());
        asking.outcome("a new template");
        assertEquals(2, service.calls.size());
    }

    // a service that is slow or dead

    @Test
    void aSlowServiceHoldsDocumentsForTheirTimeoutOnly() {
        service.answering = this::hang;
        Asking asking = asking(new Limits().requests(1).batch(1).failures(1_000)); // it is not left alone
        long started = System.nanoTime();
        List<CompletableFuture<Outcome>> outcomes = IntStream.range(0, 50)
                .mapToObj(i -> asking.ask("m" + i, 300)).toList();
        outcomes.forEach(outcome -> assertEquals(Reason.TIMEOUT, got(outcome).reason(), "sent or not"));
        long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started);
        assertTrue(millis >= 300 && millis < 20_000, "ms: " + millis);
    }

    @Test
    void aServiceThatSendsItsAnswerTooSlowlyIsNotWaitedFor() {
        service.answering = call -> {
            call.exchange.sendResponseHeaders(200, 1_000);
            call.exchange.getResponseBody().write('{');
            call.exchange.getResponseBody().flush();
            released.await();
        };
        assertEquals(Reason.TIMEOUT, got(asking(new Limits()).ask("a", 300)).reason());
    }

    @Test
    void aDeadServiceIsLeftAloneAndTriedAgain() throws Exception {
        service.answering = call -> call.answer(500, "{}");
        Asking asking = asking(new Limits().failures(2)
                .pause(Duration.ofSeconds(2), Duration.ofSeconds(2)));
        assertEquals(Reason.REFUSED, asking.reason("a"));
        assertEquals(Reason.REFUSED, asking.reason("b"));
        assertEquals(Reason.PAUSED, asking.reason("c"));
        assertEquals(2, service.calls.size());
        service.answering = FakeService.Call::judge;
        await(() -> asking.reason("d" + System.nanoTime()) == null);
        assertEquals(2, asking.log.size(), () -> "one line when it stops, one when it goes on: "
                + asking.log);
        assertTrue(asking.log.get(0).contains("status 500"), asking.log.get(0));
        assertTrue(asking.log.get(1).contains("again"), asking.log.get(1));
    }

    @Test
    void nothingStaysInTheQueueWhenTheServiceIsLeftAlone() throws Exception {
        Asking asking = asking(nowhere(), new Limits().failures(1).batch(1).requests(1).pause(NEVER, NEVER));
        List<CompletableFuture<Outcome>> outcomes = IntStream.range(0, 200).mapToObj(i -> asking.ask("m" + i))
                .toList();
        Set<Reason> reasons = outcomes.stream().map(outcome -> got(outcome).reason())
                .collect(Collectors.toSet());
        assertTrue(reasons.contains(Reason.UNREACHABLE)
                && Set.of(Reason.UNREACHABLE, Reason.PAUSED).containsAll(reasons), reasons.toString());
        assertEquals(1, asking.counted("requests", "failed"));
    }

    @Test
    void theQueueIsBounded() throws Exception {
        service.answering = this::hang;
        Asking asking = asking(new Limits().queue(3));
        List<CompletableFuture<Outcome>> held = IntStream.range(0, 3).mapToObj(i -> asking.ask("m" + i))
                .toList();
        assertEquals(Reason.QUEUE_FULL, asking.reason("one more"));
        released.countDown();
        held.forEach(outcome -> assertTrue(got(outcome).decided()));
        await(() -> ((Number) asking.judge.stats().get("waiting")).intValue() == 0);
        service.answering = FakeService.Call::judge;
        assertTrue(asking.outcome("room again").decided());
    }

    // a service that answers something else

    @ParameterizedTest
    @ValueSource(strings = {"", "garbage", "{\"records\": [], \"verdicts\": []}",
            "{\"records\": [{\"verdict\": 7}], \"verdicts\": []}"})
    void anAnswerThatIsNoneLeavesDocumentsUndecided(String answer) {
        service.answering = call -> call.answer(200, answer);
        assertEquals(Reason.BAD_ANSWER, asking(new Limits()).reason("a"));
    }

    @Test
    void bytesThatAreNotHttpAreNoAnswerEither() throws Exception {
        try (ServerSocket socket = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
            Thread answering = new Thread(() -> assertDoesNotThrow(() -> {
                try (var connection = socket.accept()) {
                    connection.getInputStream().read();
                    connection.getOutputStream()
                            .write("SSH-2.0-other\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
                }
            }));
            answering.setDaemon(true);
            answering.start();
            Reason reason = asking(URI.create("http://localhost:" + socket.getLocalPort()), new Limits())
                    .reason("a");
            assertTrue(Set.of(Reason.BAD_ANSWER, Reason.UNREACHABLE).contains(reason), reason.toString());
        }
    }

    @Test
    void aHugeAnswerIsNotReadToItsEnd() {
        byte[] huge = new byte[50 << 20];
        AtomicReference<Exception> cut = new AtomicReference<>();
        CountDownLatch over = new CountDownLatch(1);
        service.answering = call -> {
            try {
                call.answer(200, huge);
            } catch (IOException error) {
                cut.set(error);
            } finally {
                over.countDown();
            }
        };
        assertEquals(Reason.BAD_ANSWER, asking(new Limits()).reason("a"));
        assertDoesNotThrow(() -> over.await());
        assertTrue(cut.get() != null, "all 50 MB were taken");
    }

    @ParameterizedTest
    @CsvSource({"401, UNAUTHORIZED", "403, UNAUTHORIZED", "404, REFUSED", "421, REFUSED", "500, REFUSED",
            "302, REFUSED", "204, REFUSED"})
    void aStatusThatIsNoAnswerIsNamed(int status, Reason reason) {
        service.answering = call -> call.answer(status, "", "Location", "/elsewhere");
        assertEquals(reason, asking(new Limits()).reason("a"));
        assertEquals(1, service.calls.size(), "no redirect is followed");
    }

    @Test
    void anotherVersionOfTheSchemaIsRefused() {
        service.answering = call -> call.answer(404,
                "{\"error\": {\"code\": \"no_such_path\", \"message\": \"\"}}");
        Asking asking = asking(new Limits().failures(1));
        assertEquals(Reason.REFUSED, asking.reason("a"));
        assertTrue(asking.log.get(0).contains("404"), asking.log.get(0));
    }

    @Test
    void aTokenIsSentAndAWrongOneIsToldOnce() throws Exception {
        service.answering = call -> {
            if ("Bearer right".equals(call.header("Authorization"))) {
                call.judge();
            } else {
                call.answer(401, "{\"error\": {\"code\": \"unauthorized\", \"message\": \"\"}}");
            }
        };
        Asking asking = new Asking(service.address(), new Limits()
                .pause(Duration.ofMillis(50), Duration.ofMillis(50)), "wrong-secret", null);
        opened.add(asking);
        assertEquals(Reason.UNAUTHORIZED, asking.reason("a"));
        assertEquals(1, asking.log.size());
        assertFalse(asking.log.get(0).contains("secret"), "a credential in the log");
        asking.judge.token("right");
        await(() -> asking.reason("b" + System.nanoTime()) == null);
    }

    @Test
    void aBusyServiceIsAskedAgainAfterItsPause() {
        AtomicInteger calls = new AtomicInteger();
        service.answering = call -> {
            if (calls.incrementAndGet() == 1) {
                call.answer(429, "{}", "Retry-After", "not a number, so a second");
            } else {
                call.judge();
            }
        };
        Asking asking = asking(new Limits());
        long started = System.nanoTime();
        assertTrue(asking.outcome("a").decided());
        assertTrue(System.nanoTime() - started >= TimeUnit.SECONDS.toNanos(1),
                "it came before the pause was over");
        assertEquals(1, asking.counted("requests", "repeated"));
        assertEquals(List.of(), asking.log, "busy is not dead");
    }

    @Test
    void aServiceThatStaysBusyIsToldOnceInTheLog() throws Exception {
        service.answering = call -> call.answer(503, "{}", "Retry-After", "5");
        Asking asking = asking(new Limits().failures(1));
        assertEquals(Reason.BUSY, got(asking.ask("m", 4_000)).reason());
        assertEquals(1, asking.log.size(), asking.log::toString);
        assertTrue(asking.log.get(0).contains("status 503"), asking.log.get(0));
        service.answering = FakeService.Call::judge;
        await(() -> got(asking.ask("n" + System.nanoTime())).decided());
        assertEquals(2, asking.log.size(), asking.log::toString);
        assertTrue(asking.log.get(1).contains("again"), asking.log.get(1));
    }

    @ParameterizedTest
    @ValueSource(strings = {"3600", "99999999999999999999"})
    void aLongPauseIsHeldUpToTheLongestOne(String pause) {
        service.answering = call -> call.answer(503, "{}", "Retry-After", pause);
        Asking asking = asking(new Limits().pause(NEVER, NEVER));
        assertEquals(Reason.BUSY, got(asking.ask("a", 60_000)).reason());
        assertEquals(Reason.PAUSED, got(asking.ask("b", 60_000)).reason(), "the pause counted as absent");
    }

    @ParameterizedTest
    @ValueSource(ints = {429, 503})
    void whoCannotWaitForThePauseIsUndecidedAtOnce(int status) {
        service.answering = call -> call.answer(status, "{}", "Retry-After", "3600");
        Asking asking = asking(new Limits());
        long started = System.nanoTime();
        assertEquals(Reason.BUSY, got(asking.ask("a", 25_000)).reason());
        assertEquals(Reason.PAUSED, got(asking.ask("b", 25_000)).reason());
        assertTrue(System.nanoTime() - started < TimeUnit.SECONDS.toNanos(25), "they waited");
        assertEquals(1, service.calls.size(), "it was asked during the pause");
    }

    @Test
    void aMessageThatTheServiceRefusesDoesNotHarmOthers() {
        service.answering = call -> {
            if (call.bodies().contains("poison")) {
                call.answer(413, "{\"error\": {\"code\": \"line_too_large\", \"message\": \"\"}}");
            } else {
                call.judge();
            }
        };
        Asking asking = asking(new Limits().delay(Duration.ofMillis(300)));
        List<CompletableFuture<Outcome>> others = new ArrayList<>();
        CompletableFuture<Outcome> poison = null;
        for (int i = 0; i < 20; i++) {
            others.add(asking.ask("m" + i));
            poison = i == 11 ? asking.ask("poison") : poison;
        }
        assertEquals(Reason.TOO_LONG, got(poison).reason());
        others.forEach(outcome -> assertTrue(got(outcome).decided()));
        assertEquals(0, asking.counted("requests", "failed"));
    }

    @Test
    void aRequestThatIsRefusedForAnotherReasonIsNotDivided() {
        service.answering = call -> call.answer(422,
                "{\"error\": {\"code\": \"wrong_shape\", \"message\": \"\"}}");
        Asking asking = asking(new Limits().delay(NEVER).batch(20));
        List<CompletableFuture<Outcome>> outcomes = IntStream.range(0, 20).mapToObj(i -> asking.ask("m" + i))
                .toList();
        outcomes.forEach(outcome -> assertEquals(Reason.REFUSED, got(outcome).reason()));
        assertEquals(1, service.calls.size());
    }

    @Test
    void aMegabyteIsJudgedAndMoreIsNotAsked() {
        Asking asking = asking(new Limits());
        String megabyte = "x".repeat(999_990) + "failed";
        assertEquals("abnormal", asking.outcome(megabyte).verdict().label());
        assertEquals(Reason.TOO_LONG, asking.reason("x".repeat((1 << 20) + 1)));
        assertEquals(1, service.calls.size());
    }

    // its own behaviour

    @Test
    void aPipelineThatFailsAfterwardsDoesNotHarmOthers() {
        Asking asking = asking(new Limits().delay(Duration.ofMillis(200)));
        asking.judge.judge(new Message("a", null), Asking.LONG, outcome -> {
            throw new IllegalStateException("the next processor");
        });
        assertTrue(asking.outcome("b").decided());
        assertTrue(asking.outcome("a").decided());
    }

    @Test
    void anErrorInAPipelineIsTheServersAndDoesNotHarmOthers() throws Exception {
        Asking asking = asking(new Limits().delay(NEVER).batch(2));
        Error broken = new AssertionError("the next processor");
        asking.judge.judge(new Message("a", null), Asking.LONG, outcome -> {
            throw broken;
        });
        assertTrue(asking.outcome("b").decided());
        assertEquals(List.of(broken), asking.threads.uncaught);
    }

    @Test
    void closingAnswersEverybodyAndLeavesNoThread() throws Exception {
        service.answering = this::hang;
        Set<Thread> before = Thread.getAllStackTraces().keySet();
        Asking asking = asking(new Limits().requests(1).batch(2));
        List<CompletableFuture<Outcome>> outcomes = IntStream.range(0, 9).mapToObj(i -> asking.ask("m" + i))
                .toList();
        await(() -> !service.calls.isEmpty());
        asking.close();
        outcomes.forEach(outcome -> assertEquals(Reason.CLOSED, got(outcome).reason()));
        assertEquals(Reason.CLOSED, asking.reason("later"));
        for (Thread thread : asking.threads.made) {
            thread.join(10_000);
            assertFalse(thread.isAlive(), thread.getName());
        }
        await(() -> Thread.getAllStackTraces().keySet().stream()
                .noneMatch(thread -> thread.getName().startsWith("HttpClient") && !before.contains(thread)));
        asking.close();
    }

    @Test
    void everyDocumentIsToldOnceWhateverHappens() throws Exception {
        Random random = new Random(7);
        service.answering = call -> {
            int what;
            synchronized (random) {
                what = random.nextInt(8);
            }
            switch (what) {
                case 0 -> call.answer(500, "{}");
                case 1 -> call.answer(429, "{}", "Retry-After", "0");
                case 2 -> call.answer(200, "garbage");
                case 3 -> call.answer(413, "{}");
                case 4 -> call.exchange.close();
                case 5 -> Thread.sleep(60);
                default -> call.judge();
            }
        };
        Asking asking = asking(new Limits().batch(20).delay(Duration.ofMillis(1))
                .pause(Duration.ofMillis(5), Duration.ofMillis(10)));
        AtomicInteger told = new AtomicInteger();
        for (int i = 0; i < 3_000; i++) {
            asking.judge.judge(new Message("m" + i % 700, null), Asking.patience(20 + i % 3 * 100),
                    outcome -> told.incrementAndGet());
            if (i % 50 == 0) {
                Thread.sleep(1);
            }
        }
        await(() -> told.get() >= 3_000 && ((Number) asking.judge.stats().get("waiting")).intValue() == 0);
        asking.close();
        assertEquals(3_000, told.get());
        assertEquals(3_000, asking.counted("documents", "total"));
        assertEquals(0, ((Number) asking.judge.stats().get("under_way")).intValue());
    }

    @ParameterizedTest
    @ValueSource(strings = {"ftp://a", "http:/a", "a", "http://user:secret@a", "http://a?token=secret",
            "http://a#secret", "http://user:se cret@a", "http://secret:99999", "http://", ""})
    void anEndpointThatCannotBeIsNotRepeated(String endpoint) {
        BadOption error = assertThrows(BadOption.class, () -> Endpoints.parse(endpoint));
        assertNull(error.getCause());
        assertEquals("endpoint", error.option());
        assertFalse(error.getMessage().contains("secret"));
    }

    @Test
    void aTokenThatIsNoHeaderIsNotRepeated() {
        BadOption error = assertThrows(BadOption.class,
                () -> new Asking(service.address(), new Limits(), "se\ncret", null));
        assertEquals("token", error.option());
        assertFalse(error.getMessage().contains("cret"));
        assertNull(error.getCause());
    }

    @ParameterizedTest
    @ValueSource(strings = {"http://logs.example", "HTTP://logs.example", "http://127.evil.example",
            "http://localhost.example"})
    void aTokenInTheOpenIsWarnedOf(String endpoint) {
        try (Asking asking = new Asking(Endpoints.parse(endpoint), new Limits(), "t0ken", null)) {
            assertTrue(asking.log.get(0).contains("https"), asking.log.toString());
            assertFalse(asking.log.get(0).contains("t0ken"));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"https://logs.example", "http://127.0.0.1:8765", "http://localhost",
            "http://[::1]"})
    void aTokenThatNobodyElseCanReadIsNot(String endpoint) {
        try (Asking asking = new Asking(Endpoints.parse(endpoint), new Limits(), "t0ken", null)) {
            assertEquals(List.of(), asking.log);
        }
    }

    @Test
    void theLongestPauseIsNotShorterThanTheFirst() {
        BadOption error = assertThrows(BadOption.class,
                () -> new Limits().pause(Duration.ofSeconds(5), Duration.ofSeconds(1)));
        assertEquals("breaker.longest_pause", error.option());
        assertTrue(error.getMessage().contains("[5s], got [1s]"), error.getMessage());
    }
}
