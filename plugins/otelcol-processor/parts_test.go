// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCacheIsBounded(t *testing.T) {
	c, keys := newCache(320, 1<<20, time.Hour), newKeyer()
	for i := range 100_000 {
		c.put(keys.key([]byte{byte(i), byte(i >> 8), byte(i >> 16)}), &verdict{label: labelNormal}, "")
	}
	assert.LessOrEqual(t, c.entries(), 320)
	assert.Positive(t, c.entries())
}

func TestCacheKeepsWhatIsAskedFor(t *testing.T) {
	c, keys := newCache(320, 1<<20, time.Hour), newKeyer()
	wanted := keys.key([]byte("wanted"))
	c.put(wanted, &verdict{label: labelAbnormal}, "")
	for i := range 10_000 {
		c.put(keys.key([]byte{byte(i), byte(i >> 8)}), &verdict{label: labelNormal}, "")
		found := c.get(wanted, time.Now())
		if assert.NotNil(t, found, i) {
			assert.Equal(t, labelAbnormal, found.label)
		}
	}
}

func TestCachedVerdictsEnd(t *testing.T) {
	c, keys := newCache(100, 1<<20, time.Minute), newKeyer()
	now := time.Unix(1_000_000, 0)
	c.now = func() time.Time { return now }
	decided, cold, long := keys.key([]byte("a")), keys.key([]byte("b")), keys.key([]byte("c"))
	c.put(decided, &verdict{label: labelNormal}, "")
	c.put(cold, &verdict{label: labelUndecided}, "")
	c.put(long, &verdict{label: labelNormal, template: strings.Repeat("a", maxCachedBytes+1)}, "")

	assert.NotNil(t, c.get(decided, now.Add(59*time.Second)))
	assert.Nil(t, c.get(decided, now.Add(time.Minute)))
	assert.NotNil(t, c.get(cold, now))
	assert.Nil(t, c.get(cold, now.Add(undecidedTTL)))
	assert.Nil(t, c.get(long, now))
}

func TestCacheOfAnotherRevisionIsEmptied(t *testing.T) {
	c, keys := newCache(100, 1<<20, time.Minute), newKeyer()
	k := keys.key([]byte("a"))
	assert.False(t, c.revise("1", time.Now()))
	c.put(k, &verdict{label: labelNormal}, "")
	assert.False(t, c.revise("", time.Now()), "a service that does not say")
	assert.False(t, c.revise("1", time.Now()))
	assert.NotNil(t, c.get(k, time.Now()))
	assert.True(t, c.revise("2", time.Now()))
	assert.Nil(t, c.get(k, time.Now()))
}

func TestCacheOfOneEntry(t *testing.T) {
	c, keys := newCache(1, 1<<20, time.Hour), newKeyer()
	for i := range 100 {
		c.put(keys.key([]byte{byte(i)}), &verdict{label: labelNormal}, "")
		assert.Equal(t, 1, c.entries())
	}
}

func TestCacheIsBoundedInBytes(t *testing.T) {
	const budget = 4 << 20
	c, keys := newCache(100_000, budget, 10*time.Minute), newKeyer()
	now := time.Unix(1_000_000, 0)
	c.now = func() time.Time { return now }
	for i := range 20_000 {
		c.put(keys.key([]byte{byte(i), byte(i >> 8)}), &verdict{label: labelUndecided, template: strings.Repeat("€", 1300)}, "")
	}
	held := 0
	for i := range c.shards {
		for _, generation := range []map[key]cached{c.shards[i].young, c.shards[i].older} {
			for _, entry := range generation {
				held += entry.size()
			}
		}
	}
	assert.LessOrEqual(t, held, budget)
	assert.Greater(t, held, budget/4)

	now = now.Add(undecidedTTL)
	assert.Zero(t, c.entries(), "what has expired is not kept")
	for i := range c.shards {
		assert.Zero(t, c.shards[i].bytes)
	}
}

func TestExpiredVerdictsLeaveWhenTheyAreAskedFor(t *testing.T) {
	c, keys := newCache(100, 1<<20, time.Minute), newKeyer()
	k := keys.key([]byte("a"))
	c.put(k, &verdict{label: labelNormal}, "")
	require.Nil(t, c.get(k, time.Now().Add(time.Hour)))
	assert.Empty(t, c.shards[0].young)
	assert.Zero(t, c.shards[0].bytes)
}

// An answer that was under way when the verdicts changed is neither remembered, nor taken for the newer one.
func TestVerdictsFromBeforeAnOverrideAreNotRemembered(t *testing.T) {
	c, keys := newCache(100, 1<<20, time.Minute), newKeyer()
	k := keys.key([]byte("a"))
	asked := time.Now()
	c.revise("1", asked)
	require.True(t, c.revise("2", time.Now()))

	assert.False(t, c.revise("1", asked))
	c.put(k, &verdict{label: labelNormal}, "1")
	assert.Nil(t, c.get(k, time.Now()))

	c.put(k, &verdict{label: labelAbnormal}, "2")
	assert.NotNil(t, c.get(k, time.Now()))
}

func TestCacheWhileRevisionsChange(t *testing.T) {
	c, keys := newCache(100, 1<<20, time.Minute), newKeyer()
	k := keys.key([]byte("a"))
	var work sync.WaitGroup
	for _, revision := range []string{"1", "2"} {
		work.Go(func() {
			for range 1000 {
				c.revise(revision, time.Now())
				c.put(k, &verdict{label: labelNormal, template: revision}, revision)
			}
		})
	}
	work.Wait()
	if found := c.get(k, time.Now()); found != nil {
		assert.Equal(t, c.revision, found.template)
	}
}

func newTestBreaker() (*breaker, *time.Time) {
	now := time.Unix(1_000_000, 0)
	b := newBreaker()
	b.now = func() time.Time { return now }
	return b, &now
}

func (b *breaker) allows() bool { _, blocked := b.blocked(); return !blocked }

func mustAllow(t *testing.T, b *breaker) period {
	t.Helper()
	p, _, allowed := b.allow()
	require.True(t, allowed)
	return p
}

var (
	timedOut = &failure{reason: reasonTimeout, err: errors.New("timeout")}
	atOnce   = &failure{reason: reasonBusy, atOnce: true, err: errors.New("busy")}
)

func busyFor(after time.Duration) *failure {
	return &failure{reason: reasonBusy, after: after, atOnce: true, err: errors.New("busy")}
}

func TestBreaker(t *testing.T) {
	b, now := newTestBreaker()
	b.fail(mustAllow(t, b), timedOut)
	b.fail(mustAllow(t, b), timedOut)
	assert.True(t, b.allows(), "two failures are tolerated")
	b.fail(mustAllow(t, b), timedOut)
	reason, blocked := b.blocked()
	assert.True(t, blocked)
	assert.Equal(t, "timeout", reason)

	*now = now.Add(firstPause)
	trial := mustAllow(t, b)
	assert.False(t, b.allows(), "one request tries, and one only")
	b.fail(trial, timedOut)
	*now = now.Add(firstPause)
	assert.False(t, b.allows(), "pauses grow")
	*now = now.Add(firstPause)
	b.abandon(mustAllow(t, b))
	trial = mustAllow(t, b) // nothing was learned, so another tries
	b.succeed(trial)
	assert.Nil(t, b.state())

	b.fail(mustAllow(t, b), busyFor(24*time.Hour))
	*now = now.Add(maxPause)
	assert.True(t, b.allows(), "a Retry-After is heeded within reason")
}

func TestRequestsFromBeforeTheBreakerOpenedSayNothing(t *testing.T) {
	t.Run("failures lengthen no pause", func(t *testing.T) {
		b, now := newTestBreaker()
		var underWay []period
		for range 16 {
			underWay = append(underWay, mustAllow(t, b))
		}
		for _, p := range underWay {
			b.fail(p, timedOut)
		}
		*now = now.Add(firstPause)
		assert.True(t, b.allows())
	})
	t.Run("failures shorten no Retry-After", func(t *testing.T) {
		b, now := newTestBreaker()
		first, second := mustAllow(t, b), mustAllow(t, b)
		b.fail(first, busyFor(time.Minute))
		b.fail(second, timedOut)
		*now = now.Add(59 * time.Second)
		assert.False(t, b.allows())
	})
	t.Run("a longer Retry-After is heeded", func(t *testing.T) {
		b, now := newTestBreaker()
		first, second := mustAllow(t, b), mustAllow(t, b)
		b.fail(first, atOnce)
		b.fail(second, busyFor(time.Minute))
		*now = now.Add(59 * time.Second)
		assert.False(t, b.allows())
	})
	t.Run("a success does not close it", func(t *testing.T) {
		b, _ := newTestBreaker()
		first, second := mustAllow(t, b), mustAllow(t, b)
		b.fail(first, atOnce)
		b.succeed(second)
		assert.False(t, b.allows())
	})
	t.Run("they end no trial", func(t *testing.T) {
		b, now := newTestBreaker()
		first, second, third := mustAllow(t, b), mustAllow(t, b), mustAllow(t, b)
		b.fail(first, atOnce)
		*now = now.Add(firstPause)
		mustAllow(t, b)
		b.abandon(second)
		b.fail(third, timedOut)
		*now = now.Add(firstPause)
		assert.False(t, b.allows())
	})
}

// An answer that has no verdicts closes the breaker, but the next failure opens it again, for longer.
func TestAnswersWithoutVerdicts(t *testing.T) {
	b, now := newTestBreaker()
	b.fail(mustAllow(t, b), atOnce)
	*now = now.Add(firstPause)
	b.answered(mustAllow(t, b))
	assert.Nil(t, b.state())

	for range tolerated {
		b.fail(mustAllow(t, b), timedOut)
		if b.state() != nil {
			break
		}
	}
	*now = now.Add(firstPause)
	assert.False(t, b.allows())
	*now = now.Add(firstPause)
	assert.True(t, b.allows())
}

func TestRetryAfter(t *testing.T) {
	for text, expected := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "7": 7 * time.Second, "soon": 0, "99999999999": maxPause, "99999999999999999999999": maxPause,
	} {
		assert.Equal(t, expected, retryAfter(&http.Response{Header: http.Header{"Retry-After": {text}}}), text)
	}
}

// What an answer claims to hold must not decide how much memory it gets.
func TestLongListsAreNotDecoded(t *testing.T) {
	for name, answer := range map[string]string{
		"verdicts": `{"records":[],"verdicts":[` + strings.Repeat(`{},`, 500_000) + `{}]}`,
		"records":  `{"verdicts":[],"records":[` + strings.Repeat(`{},`, 500_000) + `{}]}`,
		"again":    `{"verdicts":[]` + strings.Repeat(`,"records":[{},{},{}]`, 50_000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := decodeAnswer(strings.NewReader(answer), 10)
			runtime.ReadMemStats(&after)
			require.Error(t, err)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20))
		})
	}
}

func TestNamesOfAnswersAreCaseSensitive(t *testing.T) {
	_, err := decodeAnswer(strings.NewReader(`{"RECORDS":[{"verdict":0}],"Verdicts":[{"template":"t","label":"normal","score":0.1}]}`), 1)
	assert.Error(t, err)
}

// No text of a record can be taken for another one's.
func TestKeysAreUnambiguous(t *testing.T) {
	records := []input{
		{body: "Z", severity: "A\x00SX"},
		{body: "X\x00SZ", severity: "A"},
		{body: "b", attributes: []pair{{"error", "a\x00err\x00c", false}}},
		{body: "b", attributes: []pair{{"error", "a", false}, {"err", "c", false}}},
		{body: "b", attributes: []pair{{"error", "{}", false}}},
		{body: "b", attributes: []pair{{"error", "{}", true}}},
	}
	seen := map[string]int{}
	for i := range records {
		key := string(appendKey(nil, &records[i], nil, nil))
		other, known := seen[key]
		assert.False(t, known, "%d and %d", i, other)
		seen[key] = i
	}
	names := []pair{{"app", "a", false}}
	assert.NotEqual(t,
		appendKey(nil, &input{body: "b"}, names, nil),
		appendKey(nil, &input{body: "b", attributes: names}, nil, nil))
}
