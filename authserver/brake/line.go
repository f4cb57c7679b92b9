package brake

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tallystick/tallystick/authserver/password"
)

const (
	// inProgress is how many tries on one account are in progress in a process at once.
	inProgress = 4
	// maxLine is how many more wait for one account, and maxWait for how long.
	maxLine = 256
	maxWait = 5 * time.Second
)

// lines lets tries on one account through a few at a time.
type lines struct {
	mu      sync.Mutex
	waiting map[string]*line
}

// line is who tries one account. It exists while somebody does.
type line struct {
	places chan struct{}
	users  int
}

func newLines() *lines { return &lines{waiting: make(map[string]*line)} }

// enter waits for a place, first come first served. The caller calls the function that it returns
// when it is through.
func (l *lines) enter(ctx context.Context, account string) (leave func(), err error) {
	l.mu.Lock()
	at := l.waiting[account]
	if at == nil {
		at = &line{places: make(chan struct{}, inProgress)}
		l.waiting[account] = at
	}
	if at.users >= inProgress+maxLine {
		l.mu.Unlock()
		return nil, &password.OverloadError{RetryAfter: maxWait}
	}
	at.users++
	l.mu.Unlock()

	select {
	case at.places <- struct{}{}:
	default:
		if err := at.wait(ctx); err != nil {
			l.gone(account, at)
			return nil, err
		}
	}
	return func() {
		<-at.places
		l.gone(account, at)
	}, nil
}

func (at *line) wait(ctx context.Context) error {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case at.places <- struct{}{}:
		return nil
	case <-timer.C:
		return &password.OverloadError{RetryAfter: maxWait}
	case <-ctx.Done():
		return fmt.Errorf("wait to try an account: %w", ctx.Err())
	}
}

func (l *lines) gone(account string, at *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.users--; at.users == 0 {
		delete(l.waiting, account)
	}
}
