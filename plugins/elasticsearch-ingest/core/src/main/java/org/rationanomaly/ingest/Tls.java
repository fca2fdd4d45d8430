// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.List;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** TLS that trusts the certificate authorities of PEM files, and no others. */
public final class Tls {
    private Tls() {}

    /** @throws BadOption if a file cannot be read or has no certificate */
    public static SSLContext trusting(List<Path> files) {
        try {
            KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
            trusted.load(null, null);
            for (Path file : files) {
                add(file, trusted);
            }
            TrustManagerFactory managers =
                    TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            managers.init(trusted);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, managers.getTrustManagers(), null);
            return context;
        } catch (IOException | GeneralSecurityException error) {
            throw new IllegalStateException("no TLS with this Java: " + error, error);
        }
    }

    private static void add(Path file, KeyStore trusted) throws GeneralSecurityException {
        int before = trusted.size();
        try (InputStream pem = Files.newInputStream(file)) {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            for (Certificate certificate : factory.generateCertificates(pem)) {
                trusted.setCertificateEntry("ca-" + trusted.size(), certificate);
            }
        } catch (IOException | GeneralSecurityException error) {
            throw new BadOption("ssl.certificate_authorities", "must name PEM files with certificates, but ["
                    + file + "] cannot be read: " + error);
        }
        if (trusted.size() == before) {
            throw new BadOption("ssl.certificate_authorities", "must name PEM files with certificates, but ["
                    + file + "] has none");
        }
    }
}
