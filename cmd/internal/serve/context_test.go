package serve

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	run := func(name string, f func(t *testing.T, r *request, cancelParent func())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
				defer cancel()
				r := &request{parent: parent, id: [1]string{"r1"}}
				r.within(time.Second)
				defer r.end()
				f(t, r, cancel)
			})
		})
	}
	is := func(t *testing.T, ctx context.Context, want error) {
		t.Helper()
		if err := ctx.Err(); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("Err is %v, want %v", err, want)
		}
	}
	run("ends at its deadline, asked", func(t *testing.T, r *request, _ func()) {
		start := time.Now()
		is(t, r, nil)
		<-r.Done()
		is(t, r, context.DeadlineExceeded)
		if got := time.Since(start); got != time.Second {
			t.Errorf("after %s", got)
		}
	})
	run("ends at its deadline, not asked", func(t *testing.T, r *request, _ func()) {
		time.Sleep(time.Second) // of the bubble's clock
		is(t, r, context.DeadlineExceeded)
		<-r.Done()
		is(t, r, context.DeadlineExceeded)
	})
	run("ends with its parent", func(t *testing.T, r *request, cancel func()) {
		cancel()
		is(t, r, context.Canceled)
		<-r.Done()
		is(t, r, context.Canceled)
	})
	run("ends with its request", func(t *testing.T, r *request, _ func()) {
		r.end()
		is(t, r, context.Canceled)
		<-r.Done()
		is(t, r, context.Canceled)
	})
	run("ends with its request for who waits", func(t *testing.T, r *request, _ func()) {
		done := r.Done()
		r.end()
		<-done
		is(t, r, context.Canceled)
	})
	run("carries its children", func(t *testing.T, r *request, _ func()) {
		child, cancel := context.WithTimeout(context.WithValue(r, "x", "y"), time.Hour) //nolint:staticcheck // SA1029: a test.
		defer cancel()
		if requestOf(child) != r || child.Value(key{}) != "v" || RequestID(child) != "r1" {
			t.Error("a value is lost")
		}
		if limit, has := child.Deadline(); !has || time.Until(limit) != time.Second {
			t.Errorf("deadline in %s", time.Until(limit))
		}
		<-child.Done()
		is(t, child, context.DeadlineExceeded)
	})
	run("takes the earlier deadline of its parent", func(t *testing.T, _ *request, _ func()) {
		parent, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		r := &request{parent: parent}
		r.within(time.Second)
		defer r.end()
		if limit, _ := r.Deadline(); time.Until(limit) != time.Millisecond {
			t.Errorf("deadline in %s", time.Until(limit))
		}
		<-r.Done()
		is(t, r, context.DeadlineExceeded)
	})
	run("has no deadline where none is set", func(t *testing.T, _ *request, _ func()) {
		r := &request{parent: context.Background()}
		if _, has := r.Deadline(); has {
			t.Error("has one")
		}
		is(t, r, nil)
		done := r.Done()
		r.end()
		<-done
	})
}
