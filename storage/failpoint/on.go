//go:build failpoint

package failpoint

import (
	"os"
	"sync"
)

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
