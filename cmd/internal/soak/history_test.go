package soak_test

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// The bounds that are judged.
const (
	// bound is how long a local check may accept what a sign-in has ended.
	bound = time.Second
	// grace is how long after a fault it may still be felt.
	grace = 5 * time.Second
	// patience is the longest that an answer may take: the request_timeout of the configuration, and what a
	// starved machine adds.
	patience = 30 * time.Second
)

// kind is a kind of request.
type kind string

const (
	signIn  kind = "sign-in"
	refresh kind = "refresh"
	strict  kind = "transfer"
	local   kind = "local check"
	kick    kind = "kick"
	ban     kind = "ban"
	unban   kind = "unban"
)

// outcome is what a request came to.
type outcome string

const (
	// accepted: it was done, or refused for a reason that has nothing to do with the session.
	accepted outcome = "accepted"
	// ended: the session has ended, for the reason of the act; or the user may not sign in.
	ended outcome = "ended"
	// busy: 503 with Retry-After, or 423.
	busy outcome = "busy"
	// lost: there was no answer, as from a process that was killed.
	lost outcome = "lost"
	// wrong: anything else.
	wrong outcome = "wrong"
)

// act is one request and its answer.
type act struct {
	kind    kind
	outcome outcome
	// user is whose, session which of the user's sessions: for a sign-in the one that it makes.
	user, session int
	// process is who was asked.
	process int
	// began and ended are when it was sent and answered, since the beginning of the soak.
	began, done time.Duration
	// version is what a sign-in that was accepted got.
	version int64
	// reason is why the session has ended.
	reason string
	// detail is the answer, for whoever reads of a violation.
	detail string
}

func (a act) String() string {
	s := fmt.Sprintf("user %d: %s with session %d at process %d, sent %s, answered %s: %s",
		a.user, a.kind, a.session, a.process, a.began.Round(time.Microsecond), a.done.Round(time.Microsecond), a.outcome)
	if a.version != 0 {
		s += fmt.Sprintf(", version %d", a.version)
	}
	if a.reason != "" {
		s += ", " + a.reason
	}
	if a.detail != "" {
		s += ": " + a.detail
	}
	return s
}

// watching is the place of the guard that is fed by HTTP, behind the processes. It asks the first one.
const watching = 4

// The processes of a window that concerns all, and of one that a local check does not feel anywhere.
const (
	everywhere = -1
	nowhere    = -2
)

// window is the time of a fault.
type window struct {
	from, to time.Duration
	what     string
	// process is which process cannot be expected to be well; or everywhere, or nowhere.
	process int
	// kills says that connections to it break.
	kills bool
	// locks says that it makes others wait, for what takes locks.
	locks bool
}

func (w window) String() string {
	return fmt.Sprintf("%s to %s: %s", w.from.Round(time.Millisecond), w.to.Round(time.Millisecond), w.what)
}

// excuses says whether a window can be why a request was not answered well.
func (w window) excuses(a act) bool {
	if a.done < w.from || a.began > w.to+grace {
		return false
	}
	here := w.process == everywhere || w.process == a.process || a.process == watching && w.process == 0
	if a.outcome == lost {
		return here && w.kills
	}
	return here || w.locks && a.kind != local
}

// history is everything that was asked, answered and broken.
type history struct {
	mu      sync.Mutex
	acts    []act
	windows []window
}

func (h *history) record(a act) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acts = append(h.acts, a)
}

func (h *history) broke(w window) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.windows = append(h.windows, w)
}

// copied returns what has been recorded so far.
func (h *history) copied() ([]act, []window) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.acts), slices.Clone(h.windows)
}
