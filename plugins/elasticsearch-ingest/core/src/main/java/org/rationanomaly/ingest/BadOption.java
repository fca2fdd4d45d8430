// SPDX-License-Identifier: Apache-2.0
package org.rationanomaly.ingest;

/** An option whose value cannot be used. The message says why, and what can be. */
public final class BadOption extends IllegalArgumentException {
    private static final long serialVersionUID = 1L;

    private final String option;

    public BadOption(String option, String message) {
        super(message);
        this.option = option;
    }

    public String option() {
        return option;
    }
}
