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
	period   period // changes whenever the breaker opens, closes or lets a trial through
	failures int
	pause    time.Duration
	until    time.Time // zero: closed
	trying   bool
	last     *failure
}

// period is what a request was allowed in. What it brings counts only in the same one: requests that were under way when the
// breaker opened say nothing about the service after that.
type period uint64

func newBreaker() *breaker { return &breaker{now: time.Now} }

// blocked reports whether no request may be made now, and why the last one failed.
func (b *breaker) blocked() (reason string, blocked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.refuses() {
		return "", false
	}
	return b.last.reason, true
}

// allow reports whether a request may be made. Each that was must be followed by succeed, answer, fail or abandon.
func (b *breaker) allow() (p period, reason string, allowed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuses() {
		return 0, b.last.reason, false
	}
	if b.isOpen() {
		b.trying = true
		b.period++
	}
	return b.period, "", true
}

func (b *breaker) isOpen() bool { return !b.until.IsZero() }

func (b *breaker) refuses() bool { return b.isOpen() && (b.trying || b.now().Before(b.until)) }

// succeed says that a request brought verdicts: all is well.
func (b *breaker) succeed(p period) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p == b.period {
		b.close()
		b.failures, b.pause = 0, 0
	}
}

// answered says that the service answers, though nothing shows that it gives verdicts: the next failure opens the breaker
// again, for longer.
func (b *breaker) answered(p period) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p == b.period {
		b.close()
	}
}

func (b *breaker) close() {
	if b.isOpen() {
		b.period++
	}
	b.until, b.trying = time.Time{}, false
}

// fail counts a failure.
func (b *breaker) fail(p period, f *failure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.now().Add(min(f.after, maxPause))
	if p != b.period {
		if b.isOpen() && asked.After(b.until) { // whenever it was asked, the service wants to be left alone
			b.until = asked
		}
		return
	}
	b.failures++
	b.last = f
	if !b.isOpen() && !f.atOnce && b.failures < tolerated {
		return
	}
	b.trying = false
	b.period++
	b.pause = min(max(2*b.pause, firstPause), longPause)
	b.until = later(b.until, later(asked, b.now().Add(b.pause)))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// abandon says that nothing was learned.
func (b *breaker) abandon(p period) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p == b.period {
		b.trying = false
	}
}

// state returns the failure that keeps the breaker open; nil: it is closed.
func (b *breaker) state() *failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isOpen() {
		return b.last
	}
	return nil
}
