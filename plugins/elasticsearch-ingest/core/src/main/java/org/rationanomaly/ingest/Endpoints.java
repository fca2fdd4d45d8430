// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

import java.net.URI;

/** What an endpoint and a token may be. */
final class Endpoints {
    private Endpoints() {}

    static URI checked(URI endpoint) {
        boolean web = "http".equals(endpoint.getScheme()) || "https".equals(endpoint.getScheme());
        // The URI is not repeated in the message: it may have a password.
        if (!web || endpoint.getHost() == null) {
            throw new BadOption("endpoint",
                    "must be an http or https URL with a host, such as http://127.0.0.1:8765");
        }
        if (endpoint.getUserInfo() != null || endpoint.getQuery() != null || endpoint.getFragment() != null) {
            throw new BadOption("endpoint",
                    "must have no user, query or fragment; a token belongs in the keystore");
        }
        return endpoint;
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
        boolean loopback = host.equalsIgnoreCase("localhost") || host.startsWith("127.")
                || host.equals("[::1]");
        return endpoint.getScheme().equals("http") && !loopback;
    }
}
