// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	shards = 16

	// An undecided template is judged in the background: its records soon have a verdict.
	undecidedTTL = time.Second

	// Verdicts with longer texts are not remembered, so that the cache's memory is bounded by its size.
	maxCachedBytes = 16 << 10
)

// key identifies what is asked of the service. It is a hash with secret seeds: whoever writes logs cannot make two
// records have one key.
type key struct{ high, low uint64 }

// keyer makes keys.
type keyer struct {
	high, low maphash.Seed
}

func newKeyer() keyer { return keyer{maphash.MakeSeed(), maphash.MakeSeed()} }

func (k keyer) key(data []byte) key {
	return key{maphash.Bytes(k.high, data), maphash.Bytes(k.low, data)}
}

// cache remembers verdicts. It has two generations: when the younger is full, the older is forgotten, and what was asked
// for since lives on in the younger.
type cache struct {
	size int
	ttl  time.Duration
	now  func() time.Time

	mu       sync.Mutex // guards revision
	revision string

	shards [shards]cacheShard
}

type cacheShard struct {
	mu           sync.Mutex
	young, older map[key]cached
}

type cached struct {
	verdict *verdict
	end     time.Time
}

func newCache(size int, ttl time.Duration) *cache {
	return &cache{size: size, ttl: ttl, now: time.Now}
}

// get returns the verdict for a key, nil if there is none.
func (c *cache) get(k key, now time.Time) *verdict {
	shard := &c.shards[k.low%shards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	found, young := shard.young[k]
	if !young {
		found = shard.older[k]
	}
	if found.verdict == nil || !now.Before(found.end) {
		return nil
	}
	if !young {
		delete(shard.older, k)
		c.insert(shard, k, found)
	}
	return found.verdict
}

// put remembers a verdict.
func (c *cache) put(k key, v *verdict) {
	if c.size < 1 || v.size() > maxCachedBytes {
		return
	}
	ttl := c.ttl
	if v.label == labelUndecided {
		ttl = min(ttl, undecidedTTL)
	}
	shard := &c.shards[k.low%shards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	c.insert(shard, k, cached{v, c.now().Add(ttl)})
}

func (c *cache) insert(shard *cacheShard, k key, entry cached) {
	if shard.young == nil {
		shard.young = map[key]cached{}
	}
	shard.young[k] = entry
	if len(shard.young) >= max(1, c.size/(2*shards)) {
		shard.older, shard.young = shard.young, nil
	}
}

// revise empties the cache if the service's verdicts are of another revision than what is remembered; an unknown
// revision changes nothing.
func (c *cache) revise(revision string) (changed bool) {
	if revision == "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	changed = c.revision != "" && c.revision != revision
	c.revision = revision
	if changed {
		c.clear()
	}
	return changed
}

func (c *cache) clear() {
	for i := range c.shards {
		shard := &c.shards[i]
		shard.mu.Lock()
		shard.young, shard.older = nil, nil
		shard.mu.Unlock()
	}
}

// entries returns how many verdicts are remembered.
func (c *cache) entries() int {
	count := 0
	for i := range c.shards {
		shard := &c.shards[i]
		shard.mu.Lock()
		count += len(shard.young) + len(shard.older)
		shard.mu.Unlock()
	}
	return count
}
