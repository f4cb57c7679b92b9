package serve_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/serve"
)

func TestLogIsFlushedByTimeLevelAndClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		log, err := serve.OpenLog(j, "info", "json")
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("below the level")
		log.With("a", 1).WithGroup("g").Info("first", "b", 2)
		if got := j.String(); got != "" {
			t.Errorf("written at once: %s", got)
		}
		for range 2 { // the timer is used again
			before := len(j.String())
			log.Info("tick")
			time.Sleep(99 * time.Millisecond)
			if len(j.String()) != before {
				t.Error("written before its time")
			}
			time.Sleep(2 * time.Millisecond)
			if len(j.String()) == before {
				t.Error("not written in time")
			}
		}
		log.With("x", "y").Warn("trouble")
		if got := j.records(t, "trouble"); len(got) != 1 {
			t.Error("a warning waits")
		}
		log.Info("last")
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if len(j.records(t, "last")) != 1 || len(j.records(t, "first")) != 1 || len(j.records(t, "below the level")) != 0 {
			t.Errorf("after Close: %s", j)
		}
		log.Info("after the end")
		if len(j.records(t, "after the end")) != 1 {
			t.Error("a line after Close is lost")
		}
	})
}

func TestLogLosesNothingUnderManyWriters(t *testing.T) {
	t.Parallel()
	j := &journal{}
	log, err := serve.OpenLog(j, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 16, 500
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				log.Info("line", "filler", strings.Repeat("x", 50))
			}
		})
	}
	all.Wait()
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if got := len(j.records(t, "line")); got != writers*each {
		t.Errorf("%d lines of %d", got, writers*each)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestCloseTellsThatLinesWereLost(t *testing.T) {
	t.Parallel()
	log, err := serve.OpenLog(broken{}, "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	log.Warn("lost")
	if err := log.Close(); err == nil || err.Error() != "disk full" {
		t.Errorf("got %v", err)
	}
}

func TestOpenLogRefuses(t *testing.T) {
	t.Parallel()
	if _, err := serve.OpenLog(&journal{}, "loud", "json"); err == nil {
		t.Error("a level that is none is accepted")
	}
	if _, err := serve.OpenLog(&journal{}, "info", "xml"); err == nil {
		t.Error("a format that is none is accepted")
	}
}
