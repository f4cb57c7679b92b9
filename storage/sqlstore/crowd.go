package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/tallystick/tallystick/storage"
)

const (
	// crowdMax is how many questions share a statement at most.
	crowdMax = 64
	// crowdQueue is how many wait for the next one; whoever finds it full is told so at once.
	crowdQueue = 4096
	// crowdAlone is up to how many statements under way a caller sends its own at once: with one connection
	// hanging there is still another road.
	crowdAlone = 2
	// crowdsAtOnce is how many statements are under way at most, and crowdWorth how many questions have to wait for
	// one above crowdAlone.
	crowdsAtOnce = 4
	crowdWorth   = 16
)

// errCrowded says that more questions wait than the queue holds.
var errCrowded = errors.New("too many look-ups wait for the database")

// crowd answers the questions of many callers with few statements. A lone caller asks by itself, at once; those
// who come while others ask wait until one of those is answered, and are then asked for together, so many at
// a time. There is no timer: the busier the database, the more share a statement.
//
// A question is read from the database after it was put, never before: a statement that is under way takes
// nobody in. So what was committed before a caller asked is always in its answer.
//
// A caller that goes away harms nobody: it leaves its wait, and a statement that is shared is not under its
// context. An error of a statement goes to all whose questions were in it.
type crowd[Q, A any] struct {
	// ask answers questions, in their order. It may be called several times at once.
	ask func(ctx context.Context, questions []Q) ([]A, error)

	mu      sync.Mutex
	waiting []*asker[Q, A] // none, if nothing is under way
	asking  int            // statements under way
	closed  bool
	// background are the statements that no caller sends itself.
	background sync.WaitGroup
}

// asker is a caller who waits.
type asker[Q, A any] struct {
	ctx      context.Context //nolint:containedctx // it travels with its question through the queue.
	question Q
	out      chan reply[A]
}

type reply[A any] struct {
	answer A
	err    error
}

// put puts a question, and returns when it is answered or ctx has ended.
func (c *crowd[Q, A]) put(ctx context.Context, question Q) (answer A, err error) {
	if err := ctx.Err(); err != nil {
		return answer, err
	}
	a := &asker[Q, A]{ctx: ctx, question: question, out: make(chan reply[A], 1)}
	alone, err := c.enter(a)
	switch {
	case err != nil:
		return answer, err
	case alone:
		defer c.leave()
		answers, err := c.ask(ctx, []Q{question})
		if err != nil {
			return answer, err
		}
		return answers[0], nil
	}
	select {
	case r := <-a.out:
		return r.answer, r.err
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

// enter says whether a caller asks alone; else it waits.
func (c *crowd[Q, A]) enter(a *asker[Q, A]) (alone bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.asking < crowdAlone && len(c.waiting) == 0:
		c.asking++
		return true, nil
	case len(c.waiting) >= crowdQueue:
		return false, errors.Join(storage.ErrUnavailable, errCrowded)
	}
	c.waiting = append(c.waiting, a)
	if !c.closed && (c.asking < crowdAlone || c.asking < crowdsAtOnce && len(c.waiting) >= crowdWorth) {
		c.asking++
		c.background.Go(c.drain)
	}
	return false, nil
}

// leave ends the statement of a caller who asked alone. If somebody waits by then, a statement for them takes its place.
func (c *crowd[Q, A]) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.waiting) == 0:
		c.asking--
	case c.closed:
		go c.drain() // answers with the error of a closed store, at once
	default:
		c.background.Go(c.drain)
	}
}

// drain asks for whoever waits, until nobody does.
func (c *crowd[Q, A]) drain() {
	for list := c.next(); len(list) > 0; list = c.next() {
		c.serve(list)
	}
}

// next takes who is asked for together; nobody ends the statement's place.
//
// It yields before it looks who waits: those whom the last statement has answered come at once with what they
// ask next.
func (c *crowd[Q, A]) next() []*asker[Q, A] {
	runtime.Gosched()
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*asker[Q, A]
	for len(c.waiting) > 0 && len(list) < crowdMax {
		a := c.waiting[0]
		c.waiting[0], c.waiting = nil, c.waiting[1:]
		if a.ctx.Err() == nil {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		c.asking--
	}
	return list
}

func (c *crowd[Q, A]) serve(list []*asker[Q, A]) {
	questions := make([]Q, len(list))
	for i, a := range list {
		questions[i] = a.question
	}
	answers, err := c.ask(context.Background(), questions)
	for i, a := range list {
		if err != nil {
			a.out <- reply[A]{err: fmt.Errorf("asked together with %d others: %w", len(list)-1, err)}
			continue
		}
		a.out <- reply[A]{answer: answers[i]}
	}
}

// close waits until no statement is under way but those of callers.
func (c *crowd[Q, A]) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.background.Wait()
}
