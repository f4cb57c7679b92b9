package failpoint

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReach(t *testing.T) {
	t.Parallel()
	p, err := parse(" open session/committed=kill ;post/commit=kill@3;number events/commit=sleep:300ms@2; ")
	if err != nil {
		t.Fatal(err)
	}
	var happened []string
	p.kill = func() { happened = append(happened, "kill") }
	p.sleep = func(d time.Duration) { happened = append(happened, d.String()) }
	for _, name := range []string{
		"open session/commit", "tell/applied", // not switched on
		"open session/committed", "open session/committed", // each time
		"post/commit", "post/commit", "post/commit", "post/commit", // the third time alone
		"number events/commit", "number events/commit", "number events/commit", // the second time alone
	} {
		p.reach(name)
	}
	if diff := cmp.Diff([]string{"kill", "kill", "kill", "300ms"}, happened); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"kill", "open session=kill", "/committed=kill", "open session/=kill", "post/commit", "post/commit=", "post/commit=die",
		"post/commit=kill@0", "post/commit=kill@-1", "post/commit=kill@x", "post/commit=sleep:", "post/commit=sleep:0s",
		"post/commit=sleep:-1s", "post/commit=sleep:2m", "post/commit=kill;post/commit=kill",
	} {
		if _, err := parse(s); err == nil {
			t.Errorf("%q is read as something", s)
		}
	}
}

func TestParseClock(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{"": 0, "1h": time.Hour, "-90m": -90 * time.Minute} {
		if got, err := parseClock(s); got != want || err != nil {
			t.Errorf("%q: %s, %v; want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"an hour", "1", "25h", "-25h"} {
		if _, err := parseClock(s); err == nil {
			t.Errorf("%q is read as something", s)
		}
	}
}
