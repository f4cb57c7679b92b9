package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressEvery is the time between two lines of progress where there is no terminal.
const progressEvery = 2 * time.Second

// Progress tells how far a long command is: a bar on a terminal, a plain line every few seconds
// elsewhere. It is for one goroutine.
type Progress struct {
	w    io.Writer
	what string
	now  func() time.Time
	bar  *progressbar.ProgressBar
	next time.Time
	done int64
}

// NewProgress tells w about the progress of what, of so many things; total may be 0 for unknown.
// now may be nil.
func NewProgress(w io.Writer, what string, total int64, now func() time.Time) *Progress {
	if now == nil {
		now = time.Now
	}
	p := &Progress{w: w, what: what, now: now}
	p.next = now().Add(progressEvery)
	if Terminal(w) {
		if total <= 0 {
			total = -1 // a spinner
		}
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowIts(), progressbar.OptionClearOnFinish())
	}
	return p
}

// Set says that done of total things are done.
func (p *Progress) Set(done, total int64) {
	p.done = done
	if p.bar != nil {
		if total > 0 {
			p.bar.ChangeMax64(max(total, done))
		}
		_ = p.bar.Set64(done) // a bar that cannot be drawn is no failure of the command
		return
	}
	now := p.now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(progressEvery)
	if total > 0 {
		fmt.Fprintf(p.w, "%s: %d of %d (%d%%)\n", p.what, done, total, 100*done/total)
	} else {
		fmt.Fprintf(p.w, "%s: %d\n", p.what, done)
	}
}

// End removes the bar.
func (p *Progress) End() {
	if p.bar != nil {
		_ = p.bar.Finish() // as in Set
	}
}
