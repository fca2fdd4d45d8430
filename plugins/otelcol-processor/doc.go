// SPDX-License-Identifier: Apache-2.0

// Package rationanomalyprocessor puts the verdicts of a RationAnomaly service on log records: normal, abnormal or
// undecided, with a probability, a category and a reason.
package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"
