package failpoint

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// longestSleep bounds a sleep: longer than any deadline of a request.
const longestSleep = time.Minute

// farthest bounds how far a clock may be off.
const farthest = 24 * time.Hour

// parseClock reads how far a clock is off; nothing means that it is not.
func parseClock(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d.Abs() > farthest {
		return 0, fmt.Errorf("%q is not a duration up to %s", s, farthest)
	}
	return d, nil
}

// points are what happens where, by the names of the places.
type points struct {
	at map[string]*point
	// kill and sleep are replaced by the tests of this package.
	kill  func()
	sleep func(time.Duration)
}

// point is what happens at one place.
type point struct {
	pause   time.Duration // 0 means the end of the process
	nth     int64         // the only time at which it happens; 0 for every time
	reached atomic.Int64
}

func (p *points) reach(name string) {
	one, ok := p.at[name]
	if !ok {
		return
	}
	if n := one.reached.Add(1); one.nth != 0 && n != one.nth {
		return
	}
	if one.pause > 0 {
		p.sleep(one.pause)
		return
	}
	p.kill()
}

// die is kill -9 by one's own hand. It does not return.
func die() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill() // SIGKILL
	}
	select {} // it is on its way
}

// parse reads "room/step=action[@N]" separated by semicolons.
func parse(s string) (*points, error) {
	p := &points{at: map[string]*point{}, kill: die, sleep: time.Sleep}
	for one := range strings.SplitSeq(s, ";") {
		one = strings.TrimSpace(one)
		if one == "" {
			continue
		}
		name, action, found := strings.Cut(one, "=")
		room, step, named := strings.Cut(name, "/")
		if !found || !named || room == "" || step == "" {
			return nil, fmt.Errorf("%q is not of the form room/step=action", one)
		}
		if _, twice := p.at[name]; twice {
			return nil, fmt.Errorf("%q is there twice", name)
		}
		parsed, err := parseAction(action)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p.at[name] = parsed
	}
	return p, nil
}

func parseAction(s string) (*point, error) {
	p := &point{}
	what, times, counted := strings.Cut(s, "@")
	if counted {
		n, err := strconv.ParseInt(times, 10, 32)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number of times", times)
		}
		p.nth = n
	}
	if what == "kill" {
		return p, nil
	}
	length, sleeps := strings.CutPrefix(what, "sleep:")
	if !sleeps {
		return nil, fmt.Errorf("%q is neither kill nor sleep:DURATION", what)
	}
	d, err := time.ParseDuration(length)
	if err != nil || d <= 0 || d > longestSleep {
		return nil, errors.New(length + " is not a duration up to " + longestSleep.String())
	}
	p.pause = d
	return p, nil
}
