// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.InputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TlsTest {
    private static final char[] PASSWORD = "changeit".toCharArray();

    @TempDir
    static Path folder;

    private static Path ours;
    private static Path other;

    @BeforeAll
    static void makeCertificates() throws Exception {
        ours = certificate("ours", "dns:localhost");
        other = certificate("other", "dns:elsewhere.example");
    }

    /** A key in a key store, and its certificate as PEM. */
    private static Path certificate(String name, String host) throws Exception {
        Path pem = folder.resolve(name + ".pem");
        List<String> making = List.of("-genkeypair", "-alias", name, "-keyalg", "EC", "-dname", "CN=" + name);
        keytool(Stream.concat(making.stream(), Stream.of("-ext", "san=" + host)).toList(), name);
        keytool(List.of("-exportcert", "-rfc", "-alias", name, "-file", pem.toString()), name);
        return pem;
    }

    private static void keytool(List<String> arguments, String name) throws Exception {
        Path tool = Path.of(System.getProperty("java.home"), "bin", "keytool");
        List<String> command = new ArrayList<>(List.of(tool.toString()));
        command.addAll(arguments);
        command.addAll(List.of("-keystore", folder.resolve(name + ".p12").toString(), "-storepass",
                new String(PASSWORD)));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), said);
    }

    private static SSLContext serving(String name) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream file = Files.newInputStream(folder.resolve(name + ".p12"))) {
            store.load(file, PASSWORD);
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, PASSWORD);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        return context;
    }

    private static Outcome asked(String serving, SSLContext trusting) throws Exception {
        try (FakeService service = new FakeService(FakeService.Call::judge, serving(serving));
                Asking asking = new Asking(service.address(), new Limits(), null, trusting)) {
            return asking.outcome("disk failed");
        }
    }

    @Test
    void aServiceWhoseAuthorityIsTrustedIsAsked() throws Exception {
        assertEquals("abnormal", asked("ours", Tls.trusting(List.of(ours))).verdict().label());
        assertEquals("abnormal", asked("ours", Tls.trusting(List.of(other, ours))).verdict().label());
    }

    @Test
    void aServiceThatIsNotTrustedGetsNoLogs() throws Exception {
        assertEquals(Reason.TLS, asked("ours", null).reason(), "by the authorities that Java knows");
        assertEquals(Reason.TLS, asked("ours", Tls.trusting(List.of(other))).reason(), "by another one");
        assertEquals(Reason.TLS, asked("other", Tls.trusting(List.of(other))).reason(), "for another host");
    }

    @Test
    void tlsAndPlainHttpDoNotMix() throws Exception {
        try (FakeService plain = new FakeService(FakeService.Call::judge);
                Asking asking = new Asking(URI.create(plain.address().toString().replace("http:", "https:")),
                        new Limits())) {
            assertFalse(Asking.got(asking.ask("a", 1_000)).decided(),
                    "a server may also wait for more of what it takes for HTTP");
            assertTrue(plain.calls.isEmpty(), "it was sent without TLS");
        }
        try (FakeService secure = new FakeService(FakeService.Call::judge, serving("ours"));
                Asking asking =
                        new Asking(URI.create(secure.address().toString().replace("https:", "http:")),
                                new Limits())) {
            assertFalse(asking.outcome("a").decided());
        }
    }

    @Test
    void aFileWithoutCertificatesIsNamed() throws Exception {
        Path empty = Files.createFile(folder.resolve("empty.pem"));
        for (Path file : List.of(empty, folder.resolve("ours.p12"), folder.resolve("missing.pem"))) {
            BadOption error = assertThrows(BadOption.class, () -> Tls.trusting(List.of(file)));
            assertTrue(error.getMessage().contains(file.toString()), error.getMessage());
        }
    }
}
