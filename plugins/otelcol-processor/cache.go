// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// A cache with many entries is cut into shards, so that concurrent batches seldom wait for one another.
	shardsOfMany = 16
	many         = 1024

	// An undecided template is judged in the background: its records soon have a verdict.
	undecidedTTL = time.Second

	// Verdicts with longer texts are not remembered.
	maxCachedBytes = 16 << 10

	// What an entry takes besides its texts, roughly, and each part of a rationale.
	entryBytes, partBytes = 320, 24
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

// cache remembers verdicts, within a number of entries and of bytes. It has two generations: when the younger is full, the
// older is forgotten, and what was asked for since lives on in the younger.
type cache struct {
	ttl         time.Duration
	now         func() time.Time
	most, bytes int // of a generation of a shard; most 0: nothing is remembered

	mu       sync.RWMutex // held to write while the revision changes, to read while an entry is made
	revision string
	since    time.Time // when the revision was first seen

	shards []cacheShard
}

type cacheShard struct {
	mu           sync.Mutex
	young, older map[key]cached
	bytes        int // of the younger
}

type cached struct {
	verdict *verdict
	end     time.Time
}

func (c *cached) size() int { return entryBytes + c.verdict.size() }

func newCache(size, bytes int, ttl time.Duration) *cache {
	shards := 1
	if size >= many {
		shards = shardsOfMany
	}
	c := &cache{ttl: ttl, now: time.Now, shards: make([]cacheShard, shards)}
	if size > 0 {
		c.most, c.bytes = max(1, size/(2*shards)), bytes/(2*shards)
	}
	return c
}

func (c *cache) shard(k key) *cacheShard { return &c.shards[k.low%uint64(len(c.shards))] }

// get returns the verdict for a key, nil if there is none.
func (c *cache) get(k key, now time.Time) *verdict {
	shard := c.shard(k)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	found, young := shard.young[k]
	if !young {
		found = shard.older[k]
	}
	if found.verdict == nil {
		return nil
	}
	expired := !now.Before(found.end)
	if !young || expired {
		shard.remove(k)
	}
	if expired {
		return nil
	}
	if !young {
		c.insert(shard, k, found)
	}
	return found.verdict
}

// put remembers a verdict of a revision, unless the service's verdicts are of another one by now.
func (c *cache) put(k key, v *verdict, revision string) {
	if c.most == 0 || v.size() > maxCachedBytes {
		return
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if revision != "" && revision != c.revision {
		return
	}
	ttl := c.ttl
	if v.label == labelUndecided && v.reason == "" {
		ttl = min(ttl, undecidedTTL)
	}
	shard := c.shard(k)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.remove(k)
	c.insert(shard, k, cached{v, c.now().Add(ttl)})
}

func (c *cache) insert(shard *cacheShard, k key, entry cached) {
	size := entry.size()
	if shard.bytes+size > c.bytes {
		shard.turn()
	}
	if shard.young == nil {
		shard.young = map[key]cached{}
	}
	shard.young[k] = entry
	shard.bytes += size
	if len(shard.young) >= c.most {
		shard.turn()
	}
}

// turn begins a new generation.
func (s *cacheShard) turn() { s.older, s.young, s.bytes = s.young, nil, 0 }

func (s *cacheShard) remove(k key) {
	if entry, young := s.young[k]; young {
		s.bytes -= entry.size()
		delete(s.young, k)
	}
	delete(s.older, k)
}

// revise empties the cache if the service's verdicts are of another revision than what is remembered. An unknown revision
// changes nothing, and neither does one from an answer that was asked for before the present one was seen.
func (c *cache) revise(revision string, asked time.Time) (changed bool) {
	if revision == "" || c.isRevision(revision) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.revision == revision || asked.Before(c.since) {
		return false
	}
	changed = c.revision != ""
	c.revision, c.since = revision, c.now()
	if changed {
		for i := range c.shards {
			shard := &c.shards[i]
			shard.mu.Lock()
			shard.young, shard.older, shard.bytes = nil, nil, 0
			shard.mu.Unlock()
		}
	}
	return changed
}

func (c *cache) isRevision(revision string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.revision == revision
}

// entries forgets what has expired, and returns how many verdicts are remembered.
func (c *cache) entries() int {
	count, now := 0, c.now()
	for i := range c.shards {
		shard := &c.shards[i]
		shard.mu.Lock()
		for _, generation := range []map[key]cached{shard.young, shard.older} {
			for k, entry := range generation {
				if !now.Before(entry.end) {
					shard.remove(k)
				}
			}
		}
		count += len(shard.young) + len(shard.older)
		shard.mu.Unlock()
	}
	return count
}
