// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

/** Where changes of state are told: the log of the server. */
public interface Log {
    void info(String message);

    void warn(String message);
}
