package storagetest

import (
	"sync"
	"time"
)

// Clock is a time that moves when it is told to. It may be used by several goroutines.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock makes a clock that stands at the same whole second every time.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, time.November, 20, 8, 0, 0, 0, time.UTC)}
}

// Now returns the time; it is what a room's Config.Now wants.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d and returns the new time.
func (c *Clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}
