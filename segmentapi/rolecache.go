package segmentapi

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// roleCache caches roles by id, and ids that no role has. Expiry is checked on
// read: the expirable LRU has a goroutine that cannot be stopped.
type roleCache struct {
	entries *lru.Cache[string, roleEntry] // nil when the cache is off
	ttl     time.Duration
}

type roleEntry struct {
	role    Role
	known   bool
	expires time.Time
}

func newRoleCache(size int, ttl time.Duration) *roleCache {
	c := &roleCache{ttl: ttl}
	if size > 0 {
		// Its only error is a size below 1.
		c.entries, _ = lru.New[string, roleEntry](size)
	}
	return c
}

func (c *roleCache) get(id string, now time.Time) (roleEntry, bool) {
	if c.entries == nil {
		return roleEntry{}, false
	}
	e, ok := c.entries.Get(id)
	return e, ok && now.Before(e.expires)
}

func (c *roleCache) put(id string, role Role, known bool, now time.Time) {
	if c.entries != nil {
		c.entries.Add(id, roleEntry{role: role, known: known, expires: now.Add(c.ttl)})
	}
}
