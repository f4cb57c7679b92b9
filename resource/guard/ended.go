package guard

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	endedShards = 256
	// sweepShards is how many shards one step of the sweeper looks through.
	sweepShards = 4

	maxDeviceNames = 1<<16 - 2
	maxWords       = 1<<8 - 2 // of reasons, and of terminals
)

// digest identifies the subject of an event: the first half of a SHA-256.
type digest [16]byte

// zero is the digest of nothing.
var zero digest

func subjectDigest(subject storage.Subject, key string) digest {
	if key == "" {
		return zero
	}
	sum := sha256.Sum256([]byte(string(subject) + "\x00" + key))
	return digest(sum[:16])
}

// ended is the set of what has ended and could still be named by an unexpired token.
//
// An entry is 32 bytes without a pointer in it, so that a million of them neither weigh on memory
// nor on the garbage collector: texts that repeat are kept once, in tables on the side.
type ended struct {
	max   int64
	count atomic.Int64
	// overflow is the Unix second until which something may matter for which there was no room.
	overflow  atomic.Int64
	cursor    int // of the sweeper
	reasons   *words
	terminals *words
	devices   *words
	shards    [endedShards]endedShard
}

type endedShard struct {
	mu sync.RWMutex
	m  map[digest]tomb
	_  [32]byte // a cache line of its own
}

// tomb is an end, packed.
type tomb struct {
	at       int64  // microseconds since 1970
	until    uint32 // seconds since 1970, rounded up
	device   uint16
	reason   uint8
	terminal uint8
}

func newEnded(limit int) *ended {
	return &ended{
		max:     int64(limit),
		reasons: newWords(maxWords), terminals: newWords(maxWords), devices: newWords(maxDeviceNames),
	}
}

// add takes an event in. Adding one again changes nothing. It returns false if there was no room.
func (e *ended) add(ev *storage.Event, now time.Time) bool {
	until := secondsUp(ev.Until)
	if int64(until) <= now.Unix() || ev.Key == "" {
		return true // no unexpired token can name it
	}
	k := subjectDigest(ev.Subject, ev.Key)
	s := &e.shards[k[0]]
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, there := s.m[k]; there {
		s.m[k] = e.merge(t, ev, until)
		return true
	}
	if e.count.Add(1) > e.max {
		e.count.Add(-1)
		raise(&e.overflow, int64(until))
		return false
	}
	if s.m == nil {
		s.m = make(map[digest]tomb)
	}
	s.m[k] = e.pack(ev, until)
	return true
}

// merge adds an event to what is known. A session and a token end once, and their first end stays; a
// client that was let in again can be disabled again, and then its later tokens are dead as well.
func (e *ended) merge(t tomb, ev *storage.Event, until uint32) tomb {
	until = max(until, t.until)
	if ev.Subject == storage.SubjectClient && ev.End.At.UnixMicro() > t.at {
		e.devices.release(t.device)
		return e.pack(ev, until)
	}
	t.until = until
	return t
}

func (e *ended) pack(ev *storage.Event, until uint32) tomb {
	t := tomb{at: ev.End.At.UnixMicro(), until: until, reason: uint8(e.reasons.take(string(ev.End.Reason)))}
	if by := ev.End.By; by != nil {
		t.terminal = uint8(e.terminals.take(string(by.Terminal)))
		t.device = e.devices.take(by.DeviceName)
	}
	return t
}

// end unpacks. partial says that a text did not fit into its table and is missing.
func (e *ended) end(t tomb) (end storage.End, partial bool) {
	reason, known := e.reasons.text(uint16(t.reason))
	partial = !known
	end = storage.End{Reason: storage.Reason(reason), At: time.UnixMicro(t.at).UTC()}
	if t.terminal != 0 {
		terminal, terminalKnown := e.terminals.text(uint16(t.terminal))
		device, deviceKnown := e.devices.text(t.device)
		partial = partial || !terminalKnown || !deviceKnown
		end.By = &storage.Superseder{Terminal: storage.Terminal(terminal), DeviceName: device, At: end.At}
	}
	return end, partial
}

func (e *ended) lookup(k digest) (tomb, bool) {
	if k == zero {
		return tomb{}, false
	}
	s := &e.shards[k[0]]
	s.mu.RLock()
	t, ok := s.m[k]
	s.mu.RUnlock()
	return t, ok
}

// find says how the session, the client or the token itself has ended, if one of them has.
func (e *ended) find(v *verified) (t tomb, ok bool) {
	if t, ok = e.lookup(v.session); ok {
		return t, true
	}
	if t, ok = e.lookup(v.client); ok && v.principal.IssuedAt.UnixMicro() <= t.at {
		return t, true
	}
	return e.lookup(v.token)
}

// complete says whether what is not in the set has not ended: false while something may be missing
// for which there was no room.
func (e *ended) complete(now time.Time) bool { return e.overflow.Load() <= now.Unix() }

// sweep drops what no unexpired token can name any more, from the next few shards. One caller at a time.
func (e *ended) sweep(now time.Time) {
	for range sweepShards {
		e.sweepShard(&e.shards[e.cursor%endedShards], now.Unix())
		e.cursor++
	}
}

func (e *ended) sweepShard(s *endedShard, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, t := range s.m {
		if int64(t.until) > now {
			continue
		}
		delete(s.m, k)
		e.devices.release(t.device)
		e.count.Add(-1)
	}
	if len(s.m) == 0 {
		s.m = nil // a map never shrinks by itself
	}
}

func (e *ended) size() int { return int(e.count.Load()) }

// secondsUp is t in whole seconds since 1970, rounded up and held within what the set can store.
func secondsUp(t time.Time) uint32 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return uint32(min(max(s, 0), 1<<32-1))
}

func raise(a *atomic.Int64, to int64) {
	for {
		old := a.Load()
		if old >= to || a.CompareAndSwap(old, to) {
			return
		}
	}
}
