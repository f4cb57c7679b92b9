//go:build failpoint

package failpoint

import (
	"os"
	"sync"
	"time"
)

// clockEnvironment holds how far the clock of the process is off.
const clockEnvironment = "TALLYSTICK_TEST_CLOCK"

// environment holds the points that are switched on.
const environment = "TALLYSTICK_TEST_FAILPOINT"

// switched is read once: a process is started for one scenario.
var switched = sync.OnceValue(func() *points {
	p, err := parse(os.Getenv(environment))
	if err != nil {
		panic(environment + ": " + err.Error())
	}
	return p
})

// Reach says that a place was reached, and does there what the environment says.
func Reach(room, step string) { switched().reach(room + "/" + step) }

// Clock is the clock of the process, which is off by as much as the environment says; nil stands for time.Now.
func Clock() func() time.Time {
	off, err := parseClock(os.Getenv(clockEnvironment))
	if err != nil {
		panic(clockEnvironment + ": " + err.Error())
	}
	if off == 0 {
		return nil
	}
	return func() time.Time { return time.Now().Add(off) }
}
