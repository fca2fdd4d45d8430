// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"sync"
	"time"
)

const (
	tolerated  = 3 // failures in a row that open the breaker
	firstPause = time.Second
	longPause  = 30 * time.Second
	maxPause   = 5 * time.Minute // of a Retry-After
)

// breaker keeps requests from a service that fails. It opens after a few failures in a row, or at once where the service
// says when to come again; after a pause, one request tries whether the service is back.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int
	pause    time.Duration
	until    time.Time // zero: closed
	trying   bool
	reason   string
}

func newBreaker() *breaker { return &breaker{now: time.Now} }

// blocked reports whether no request may be made now, and why the last one failed.
func (b *breaker) blocked() (reason string, blocked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reason, b.refuses()
}

// allow reports whether a request may be made. Each that was must be followed by succeed, fail or abandon.
func (b *breaker) allow() (reason string, allowed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuses() {
		return b.reason, false
	}
	b.trying = !b.until.IsZero()
	return "", true
}

func (b *breaker) refuses() bool {
	return !b.until.IsZero() && (b.trying || b.now().Before(b.until))
}

// succeed closes the breaker. It reports whether it was open.
func (b *breaker) succeed() (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed = !b.until.IsZero()
	b.failures, b.pause, b.until, b.trying, b.reason = 0, 0, time.Time{}, false, ""
	return changed
}

// fail counts a failure. after: when the service wants to be asked again; 0: it did not say. It reports whether the breaker
// opened.
func (b *breaker) fail(reason string, after time.Duration, atOnce bool) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	b.reason = reason
	b.trying = false
	wasOpen := !b.until.IsZero()
	if !wasOpen && !atOnce && b.failures < tolerated {
		return false
	}
	b.pause = min(max(2*b.pause, firstPause), longPause)
	b.until = b.now().Add(max(b.pause, min(after, maxPause)))
	return !wasOpen
}

// abandon says that nothing was learned.
func (b *breaker) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
}

func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.until.IsZero()
}
