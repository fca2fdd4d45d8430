// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.net.URI;
import java.net.URISyntaxException;

/** What an endpoint and a token may be. */
public final class Endpoints {
    private static final int LAST_PORT = 65_535;

    private Endpoints() {}

    /** @throws BadOption if it is not the URL of a service */
    public static URI parse(String endpoint) {
        try {
            return checked(new URI(endpoint));
        } catch (URISyntaxException error) { // it is not the cause: its message repeats the text
            throw notUsable();
        }
    }

    static URI checked(URI endpoint) {
        boolean web = "http".equalsIgnoreCase(endpoint.getScheme()) || isSecure(endpoint);
        if (!web || endpoint.getHost() == null || endpoint.getPort() > LAST_PORT) {
            throw notUsable();
        }
        if (endpoint.getUserInfo() != null || endpoint.getQuery() != null || endpoint.getFragment() != null) {
            throw new BadOption("endpoint",
                    "must have no user, query or fragment; a token belongs in the keystore");
        }
        return endpoint;
    }

    /** The URL is not repeated in the message: it may have a password. */
    private static BadOption notUsable() {
        return new BadOption("endpoint", "must be an http or https URL with a host name without underscores,"
                + " and a port up to " + LAST_PORT + ", such as http://127.0.0.1:8765");
    }

    private static boolean isSecure(URI endpoint) {
        return "https".equalsIgnoreCase(endpoint.getScheme());
    }

    /** HTTP's own check of a header would repeat the token in its message. */
    static void checkToken(String token) {
        if (token != null && !token.matches("[!-~]+")) {
            throw new BadOption("token", "must be visible ASCII characters without spaces");
        }
    }

    /** Whether others than this machine can read what is sent. */
    static boolean isExposed(URI endpoint) {
        String host = endpoint.getHost();
        boolean loopback = host.equalsIgnoreCase("localhost") || host.matches("127(\\.\\d+){3}")
                || host.equals("[::1]");
        return !isSecure(endpoint) && !loopback;
    }
}
