// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestCacheIsBounded(t *testing.T) {
	c, keys := newCache(320, time.Hour), newKeyer()
	for i := range 100_000 {
		c.put(keys.key([]byte{byte(i), byte(i >> 8), byte(i >> 16)}), &verdict{label: labelNormal})
	}
	assert.LessOrEqual(t, c.entries(), 320)
	assert.Positive(t, c.entries())
}

func TestCacheKeepsWhatIsAskedFor(t *testing.T) {
	c, keys := newCache(320, time.Hour), newKeyer()
	wanted := keys.key([]byte("wanted"))
	c.put(wanted, &verdict{label: labelAbnormal})
	for i := range 10_000 {
		c.put(keys.key([]byte{byte(i), byte(i >> 8)}), &verdict{label: labelNormal})
		found := c.get(wanted, time.Now())
		if assert.NotNil(t, found, i) {
			assert.Equal(t, labelAbnormal, found.label)
		}
	}
}

func TestCachedVerdictsEnd(t *testing.T) {
	c, keys := newCache(100, time.Minute), newKeyer()
	now := time.Unix(1_000_000, 0)
	c.now = func() time.Time { return now }
	decided, cold, long := keys.key([]byte("a")), keys.key([]byte("b")), keys.key([]byte("c"))
	c.put(decided, &verdict{label: labelNormal})
	c.put(cold, &verdict{label: labelUndecided})
	c.put(long, &verdict{label: labelNormal, template: strings.Repeat("a", maxCachedBytes+1)})

	assert.NotNil(t, c.get(decided, now.Add(59*time.Second)))
	assert.Nil(t, c.get(decided, now.Add(time.Minute)))
	assert.NotNil(t, c.get(cold, now))
	assert.Nil(t, c.get(cold, now.Add(undecidedTTL)))
	assert.Nil(t, c.get(long, now))
}

func TestCacheOfAnotherRevisionIsEmptied(t *testing.T) {
	c, keys := newCache(100, time.Minute), newKeyer()
	k := keys.key([]byte("a"))
	assert.False(t, c.revise("1"))
	c.put(k, &verdict{label: labelNormal})
	assert.False(t, c.revise(""), "a service that does not say")
	assert.False(t, c.revise("1"))
	assert.NotNil(t, c.get(k, time.Now()))
	assert.True(t, c.revise("2"))
	assert.Nil(t, c.get(k, time.Now()))
}

func TestBreaker(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	b := newBreaker()
	b.now = func() time.Time { return now }
	allowed := func() bool { _, ok := b.allow(); return ok }

	assert.False(t, b.fail("timeout", 0, false))
	assert.False(t, b.fail("timeout", 0, false))
	assert.True(t, allowed(), "two failures are tolerated")
	assert.True(t, b.fail("timeout", 0, false))
	reason, blocked := b.blocked()
	assert.True(t, blocked)
	assert.Equal(t, "timeout", reason)

	now = now.Add(firstPause)
	assert.True(t, allowed(), "one request tries")
	assert.False(t, allowed(), "and one only")
	assert.False(t, b.fail("timeout", 0, false), "it was open before")
	now = now.Add(firstPause)
	assert.False(t, allowed(), "pauses grow")
	now = now.Add(firstPause)
	assert.True(t, allowed())
	b.abandon()
	assert.True(t, allowed(), "nothing was learned, so another tries")
	assert.True(t, b.succeed())
	assert.True(t, allowed())
	assert.True(t, allowed())

	assert.True(t, b.fail("busy", 24*time.Hour, true), "at once")
	now = now.Add(maxPause)
	assert.True(t, allowed(), "a Retry-After is heeded within reason")
}
