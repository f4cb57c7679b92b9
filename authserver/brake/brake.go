package brake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
)

const (
	// DefaultFloorSize is how many counters a process keeps for itself.
	DefaultFloorSize = 65536
	// KeyLength is the length of [Config.Key].
	KeyLength = 32
	// settleTime bounds what is said about a try after its caller may have gone.
	settleTime = 2 * time.Second
)

// DefaultLimits are the limits that the package's doc argues for.
func DefaultLimits() storage.BrakeLimits {
	return storage.BrakeLimits{
		AccountFailures: 20, PairFailures: 20, Delay: 30 * time.Second, MaxDelay: time.Hour,
		MostFailures: 100, Lock: 24 * time.Hour, Window: 24 * time.Hour, Known: 30 * 24 * time.Hour,
		AddressFailures: 100, AddressWindow: time.Hour,
	}
}

// Config is what a [Brake] needs. Key and Trail are required.
type Config struct {
	// Store counts for all processes; nil if there is none, and then this one counts for itself.
	Store storage.Brakes
	// Key keys the digests of names: 32 bytes, the same in all processes.
	Key []byte
	// Limits say how much is let through; the zero value means [DefaultLimits].
	Limits storage.BrakeLimits
	// FloorSize is how many counters the process keeps for itself; 0 means [DefaultFloorSize].
	FloorSize int
	// Trail records brakes that engage.
	Trail   *audit.Trail
	Now     func() time.Time      // nil: time.Now
	Log     *slog.Logger          // nil: discards
	Metrics prometheus.Registerer // nil: none
}

// Brake holds back guesses. Its methods may be called at any time from any goroutine.
type Brake struct {
	store   storage.Brakes
	floor   *Floor
	limits  storage.BrakeLimits
	digest  digester
	lines   *lines
	trail   *audit.Trail
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics
}

// New builds a brake. It refuses limits that hold nothing back.
func New(c Config) (*Brake, error) {
	if c.Limits == (storage.BrakeLimits{}) {
		c.Limits = DefaultLimits()
	}
	if c.FloorSize == 0 {
		c.FloorSize = DefaultFloorSize
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	b := &Brake{
		store: c.Store, floor: NewFloor(c.FloorSize), limits: c.Limits, digest: digester{c.Key},
		lines: newLines(), trail: c.Trail, now: c.Now, log: c.Log,
	}
	var err error
	b.metrics, err = newMetrics(c.Metrics, b.floor)
	return b, err
}

func (c *Config) validate() error {
	var faults []error
	fault := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New("brake: "+text))
		}
	}
	l := &c.Limits
	fault(c.Trail == nil, "no trail")
	fault(len(c.Key) != KeyLength, fmt.Sprintf("the key must have %d bytes", KeyLength))
	fault(c.FloorSize < 16, "the floor must keep 16 counters or more")
	fault(l.AccountFailures < 1 || l.PairFailures < 1 || l.AddressFailures < 1, "the free failures must be 1 or more")
	fault(l.MostFailures < max(l.AccountFailures, l.PairFailures), "the most failures in a row must not be fewer than the free ones")
	fault(l.Delay < time.Second || l.MaxDelay < l.Delay, "the delay must be a second or more, and not longer than the longest")
	fault(l.Lock < l.MaxDelay, "the lock must not be shorter than the longest delay")
	fault(l.Window < l.MaxDelay, "the window must not be shorter than the longest delay")
	fault(l.Known < time.Hour, "addresses must be known for an hour or more")
	fault(l.AddressWindow < time.Second || l.AddressWindow.Milliseconds() < int64(l.AddressFailures), "the window of addresses is too short for their failures")
	return errors.Join(faults...)
}

// What is guessed.
const (
	guessedPassword = "password"
	guessedSecret   = "client secret"
	guessedCode     = "code"
	guessedUserCode = "user code"
)

// subject is what a try is about, for those who read the audit record.
type subject struct {
	username string
	client   storage.ClientID
	address  string
	// what is the kind of thing that is guessed: password, client secret or code.
	what string
}

// pass is a try that was let begin, and who counted it.
type pass struct {
	about   subject
	try     storage.Try
	inStore bool
	inFloor bool
}

// Try lets prove check a password if the brakes allow it, and counts how that went. prove says
// whether the password was right; with an error nothing was decided, and nothing counts. account is
// the user name as it was given or as it is stored; address an IP address, or a name for a place that
// has none.
//
// Try returns what prove returned, or [*oauth.Error] of the code slow_down if it was not called, or
// [*password.OverloadError] if too many tries on the account are waiting.
func (b *Brake) Try(ctx context.Context, account, address string, prove func(context.Context) (right bool, err error)) error {
	p := b.user(account, address)
	leave, err := b.lines.enter(ctx, p.try.Account)
	if err != nil {
		return err
	}
	defer leave()
	return b.run(ctx, p, prove)
}

// TryClient is [Brake.Try] for the secret of a client. Where nothing was guessed lately it asks nobody
// and counts nothing but failures.
func (b *Brake) TryClient(ctx context.Context, client storage.ClientID, address string, prove func(context.Context) (right bool, err error)) error {
	return b.seldom(ctx, b.machine(client, address), prove)
}

// TryCode is [Brake.Try] for the codes of other providers, which nobody guesses but each of which costs a
// question at the provider. Like TryClient it counts nothing but failures.
func (b *Brake) TryCode(ctx context.Context, client storage.ClientID, address string, prove func(context.Context) (right bool, err error)) error {
	return b.seldom(ctx, b.code(client, address), prove)
}

// seldom lets prove look without asking anybody, where nothing was wrong lately.
func (b *Brake) seldom(ctx context.Context, p *pass, prove func(context.Context) (right bool, err error)) error {
	if b.floor.Has(p.try.Pair, b.now()) {
		return b.run(ctx, p, prove)
	}
	right, err := prove(ctx)
	if err == nil && !right && b.take(ctx, p) == nil {
		b.settle(ctx, p, storage.TryWrong)
	}
	return err
}

// TryUserCode is [Brake.Try] for a code that a signed-in user reads from the screen of another device. The account
// that is tried is the user who tries: so that nobody guesses from many addresses, nor keeps others out.
func (b *Brake) TryUserCode(ctx context.Context, user storage.UserID, address string, prove func(context.Context) (right bool, err error)) error {
	return b.run(ctx, &pass{about: subject{username: string(user), address: address, what: guessedUserCode}, try: b.digest.userCode(user, address)}, prove)
}

func (b *Brake) run(ctx context.Context, p *pass, prove func(context.Context) (bool, error)) error {
	if err := b.take(ctx, p); err != nil {
		return err
	}
	outcome := storage.TryUndecided
	// Deferred, so that a panic does not count as a guess.
	defer func() { b.settle(ctx, p, outcome) }()
	right, err := prove(ctx)
	switch {
	case err != nil:
	case right:
		outcome = storage.TryRight
	default:
		outcome = storage.TryWrong
	}
	return err
}

// Allow counts a try on a password, or refuses it with an [*oauth.Error] of the code slow_down. Once it
// was let begin, Failed, Succeeded or Undecided has to be called; without, it stays a failure. Where
// it can be used, [Brake.Try] is to be preferred: it cannot forget, and lets bursts wait.
func (b *Brake) Allow(ctx context.Context, account, address string) error {
	return b.take(ctx, b.user(account, address))
}

// Failed says that a try that Allow let begin was wrong.
func (b *Brake) Failed(ctx context.Context, account, address string) {
	b.settle(ctx, b.begun(account, address), storage.TryWrong)
}

// Succeeded says that a try that Allow let begin was right.
func (b *Brake) Succeeded(ctx context.Context, account, address string) {
	b.settle(ctx, b.begun(account, address), storage.TryRight)
}

// Undecided says that nobody could tell whether a try that Allow let begin was right.
func (b *Brake) Undecided(ctx context.Context, account, address string) {
	b.settle(ctx, b.begun(account, address), storage.TryUndecided)
}

func (b *Brake) user(account, address string) *pass {
	return &pass{about: subject{username: account, address: address, what: guessedPassword}, try: b.digest.user(account, address)}
}

func (b *Brake) machine(client storage.ClientID, address string) *pass {
	return &pass{about: subject{client: client, address: address, what: guessedSecret}, try: b.digest.client(client, address)}
}

func (b *Brake) code(client storage.ClientID, address string) *pass {
	// No client has such an identifier, so this counts beside the guesses of secrets.
	return &pass{about: subject{client: client, address: address, what: guessedCode}, try: b.digest.client("code of "+client, address)}
}

func (b *Brake) begun(account, address string) *pass {
	p := b.user(account, address)
	p.inStore, p.inFloor = b.store != nil, true
	return p
}

// take counts a try, or refuses it. While the store answers, the store decides, and the floor counts
// along, so that it does not begin at nothing on the day it is needed.
func (b *Brake) take(ctx context.Context, p *pass) error {
	now := b.now()
	taken := b.floor.take(p.try, b.limits, now)
	p.inFloor = taken.Wait == 0
	if b.store == nil {
		return b.answer(p, taken)
	}
	decided, err := b.store.TakeTry(ctx, p.try, b.limits, now)
	if err != nil {
		b.metrics.floor.Inc()
		b.log.DebugContext(ctx, "brakes are counted in this process alone", "err", err)
		return b.answer(p, taken)
	}
	p.inStore = decided.Wait == 0
	if decided.Wait > 0 && p.inFloor {
		// It will not be looked at; it must not count here either.
		b.floor.settle(p.try, storage.TryUndecided, b.limits, now)
	}
	return b.answer(p, decided)
}

func (b *Brake) answer(p *pass, taken storage.TryTaken) error {
	if taken.Wait == 0 {
		return nil
	}
	b.metrics.refused.WithLabelValues(p.about.what, string(taken.By)).Inc()
	return &oauth.Error{
		Code: oauth.SlowDown, HTTPStatus: http.StatusTooManyRequests, RetryAfter: taken.Wait,
		Description: "too many tries have failed; wait for as long as Retry-After says",
		Cause:       fmt.Errorf("the brake on the %s of this %s holds for %s", taken.By, p.about.what, taken.Wait),
	}
}

// settle says how a try ended. It is said also when the caller has gone, or hanging up would make
// guesses free.
func (b *Brake) settle(ctx context.Context, p *pass, outcome storage.TryOutcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	now := b.now()
	var engaged []storage.BrakeEngaged
	if p.inFloor || outcome == storage.TryRight {
		engaged = b.floor.settle(p.try, outcome, b.limits, now)
	}
	if b.store != nil && (p.inStore || outcome == storage.TryRight) {
		everywhere, err := b.store.SettleTry(ctx, p.try, outcome, b.limits, now)
		if err == nil {
			engaged = everywhere // of all processes, one is told of each brake
		} else {
			b.log.DebugContext(ctx, "try not settled; it stays counted as a failure", "err", err)
		}
	}
	b.report(ctx, p, engaged, now)
}

// report leaves a record of each brake that has engaged.
func (b *Brake) report(ctx context.Context, p *pass, engaged []storage.BrakeEngaged, now time.Time) {
	for _, e := range engaged {
		b.metrics.engaged.WithLabelValues(p.about.what, string(e.By)).Inc()
		record := audit.Origin{Actor: audit.System().Actor, Client: p.about.client, Address: p.about.address}.Record(audit.BrakeEngaged, now)
		record.Result = string(oauth.SlowDown)
		failures := ""
		if e.Failures > 0 {
			failures = fmt.Sprint(e.Failures)
		}
		record.Detail = audit.Detail("brake", e.By, "guessed", p.about.what, "username", p.about.username, "failures", failures, "for", e.Wait)
		b.trail.Append(ctx, record)
	}
}
