package e2e_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/tallystick/tallystick/cmd/internal/rig"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

var (
	linearSteps = flag.Int("linear.steps", 40, "how many operations each client of the linearizability test makes, at most 100")
	linearSeed  = flag.Uint64("linear.seed", 0, "seed of what they do; 0 for a new one")
)

const (
	linearUsers   = 3
	linearClients = 6
	linearFunds   = 60
	// linearHolds is how many holds a history can have.
	linearHolds = 640
	// verdict is how long to look for an order.
	verdict = time.Minute
)

// The operations of a history.
const (
	opRead = iota
	opTransfer
	opHold
	opCapture
	opVoid
)

// deed is one operation as it is asked for.
type deed struct {
	op       int
	from, to int // users
	amount   int // of a capture at most what is held
	held     int // of a capture and void: what their hold reserved
	hold     int // the number of the hold that is made or closed
}

func (d deed) String() string {
	switch d.op {
	case opRead:
		return fmt.Sprintf("read %d", d.from)
	case opTransfer:
		return fmt.Sprintf("transfer %d from %d to %d", d.amount, d.from, d.to)
	case opHold:
		return fmt.Sprintf("hold #%d of %d from %d to %d", d.hold, d.amount, d.from, d.to)
	case opCapture:
		return fmt.Sprintf("capture %d of #%d", d.amount, d.hold)
	}
	return fmt.Sprintf("void #%d", d.hold)
}

// result is what an operation came to.
type result struct {
	unknown         bool // nobody was told
	done            bool // or refused
	available, held int  // of a read
}

// purses is all money as it stands, and which holds are open.
type purses struct {
	available, held [linearUsers]int
	open            [linearHolds / 64]uint64
}

func (p purses) isOpen(hold int) bool { return p.open[hold/64]&(1<<(hold%64)) != 0 }

// after is what an operation makes of the purses; false if it has to be refused.
func (p purses) after(d deed) (purses, bool) {
	switch d.op {
	case opTransfer:
		if p.available[d.from] < d.amount {
			return p, false
		}
		p.available[d.from] -= d.amount
		p.available[d.to] += d.amount
	case opHold:
		if p.available[d.from] < d.amount {
			return p, false
		}
		p.available[d.from] -= d.amount
		p.held[d.from] += d.amount
		p.open[d.hold/64] |= 1 << (d.hold % 64)
	case opCapture, opVoid:
		if !p.isOpen(d.hold) {
			return p, false
		}
		p.open[d.hold/64] &^= 1 << (d.hold % 64)
		p.held[d.from] -= d.held
		p.available[d.from] += d.held - d.amount
		p.available[d.to] += d.amount
	}
	return p, true
}

// wallets is what a history must be an order of. An operation of which nobody was told what it came to has happened or
// has not.
func wallets() porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init: func() []any {
			var p purses
			for n := range p.available {
				p.available[n] = linearFunds
			}
			return []any{p}
		},
		Step: func(state, input, output any) []any {
			p, d, r := state.(purses), input.(deed), output.(result)
			if d.op == opRead {
				if p.available[d.from] != r.available || p.held[d.from] != r.held {
					return nil
				}
				return []any{p}
			}
			next, may := p.after(d)
			switch {
			case r.unknown && may:
				return []any{p, next}
			case r.unknown:
				return []any{p}
			case r.done != may:
				return nil
			}
			return []any{next}
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%s: %+v", input, output) },
	}
	return model.ToModel()
}

// linear is a history while it is made.
type linear struct {
	*till

	start time.Time
	users []string // their access tokens

	mu      sync.Mutex
	history []porcupine.Operation
	holds   []madeHold
}

type madeHold struct {
	deed
	id string
}

// TestBalancesAndMovementsAreLinearizable has clients read, transfer, hold, capture and void at two wallets,
// one of which is killed in the middle, and looks for an order of all that, in which each operation falls between its
// request and its answer and comes to what it was answered. What had no answer is sent again under its key to the
// other wallet, or is given up and may have happened or not.
func TestBalancesAndMovementsAreLinearizable(t *testing.T) {
	t.Parallel()
	seed := *linearSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	steps := min(*linearSteps, 100)
	t.Logf("seed %d: again with -linear.seed %d -linear.steps %d", seed, seed, steps)
	redis := startRedis(t)
	i := found(t, true, rig.Plan{Binary: binary(t), DSN: engine.MySQL(t).DSN.Reveal(), Redis: redis.Addr, Users: []string{"ann"}}, redis)
	l := &linear{till: &till{installation: i, wallets: []string{i.wallet, freeAddr(t)}}}
	i.serve(t, "auth")
	i.serveAt(t, "wallet", l.wallets[0])
	mortal := i.serveAt(t, "wallet", l.wallets[1])
	l.app = billing(t, i.target)
	for _, name := range l.names() {
		l.fund(t, name, linearFunds)
		l.users = append(l.users, signIn(t, i.target, name, "mobile", "phone").field("access_token"))
	}
	l.start = time.Now()
	half := make(chan struct{})
	var wg sync.WaitGroup
	for c := range linearClients {
		wg.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(c)))
			for n := range steps {
				if c == 0 && n == steps/2 {
					close(half)
				}
				l.step(t, c, n, chance)
			}
		})
	}
	<-half
	mortal.Kill()
	i.serveAt(t, "wallet", l.wallets[1])
	wg.Wait()
	l.judge(t)
	l.verify(t)
}

func (l *linear) names() []string { return []string{"tom", "amy", "ann"} }

// judge looks for an order.
func (l *linear) judge(t *testing.T) {
	t.Helper()
	count, unknown := map[int]int{}, 0
	for _, o := range l.history {
		if o.Output.(result).done || o.Input.(deed).op == opRead {
			count[o.Input.(deed).op]++
		}
		if o.Output.(result).unknown {
			unknown++
		}
	}
	t.Logf("%d operations, of which %d were given up; succeeded: %v", len(l.history), unknown, count)
	for op := opRead; op <= opVoid; op++ {
		if count[op] == 0 {
			t.Errorf("no operation of kind %d succeeded", op)
		}
	}
	model := wallets()
	found, info := porcupine.CheckOperationsVerbose(model, l.history, verdict)
	if found == porcupine.Ok {
		return
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("tallystick-history-%d.html", os.Getpid()))
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		t.Error(err)
	}
	t.Errorf("is the history in order? %s; it is drawn in %s", found, path)
}

// step makes one operation.
func (l *linear) step(t *testing.T, client, n int, chance *rand.Rand) {
	from := chance.IntN(linearUsers)
	d := deed{op: chance.IntN(opVoid + 1), from: from, to: (from + 1 + chance.IntN(linearUsers-1)) % linearUsers, amount: 1 + chance.IntN(linearFunds)}
	var id string
	switch d.op {
	case opHold:
		d.hold = client*100 + n
	case opCapture, opVoid:
		h := l.anyHold(chance)
		if h.id == "" {
			return
		}
		id, d = h.id, deed{op: d.op, from: h.from, to: h.to, held: h.amount, hold: h.hold, amount: 1 + chance.IntN(h.amount)}
		if d.op == opVoid {
			d.amount = 0
		}
	}
	o := porcupine.Operation{ClientId: client, Input: d, Call: int64(time.Since(l.start))}
	r, made, ok := l.do(t, d, id, fmt.Sprintf("linear-%d-%d", client, n), client+n, chance.IntN(2) == 0)
	o.Output, o.Return = r, int64(time.Since(l.start))
	if !ok {
		return // a read without an answer, or the test has failed
	}
	if r.unknown {
		o.Return = math.MaxInt64
		// Porcupine wants the operations of a client one after the other; who gave up is another from now on.
		o.ClientId = linearClients + client*100 + n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = append(l.history, o)
	if d.op == opHold && r.done {
		l.holds = append(l.holds, madeHold{d, made})
	}
}

// anyHold is one of the newest holds, open or not.
func (l *linear) anyHold(chance *rand.Rand) madeHold {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.holds) == 0 {
		return madeHold{}
	}
	newest := l.holds[max(0, len(l.holds)-4):]
	return newest[chance.IntN(len(newest))]
}

// request says how an operation is asked for.
func (l *linear) request(d deed, id string) (method, path, access, body string) {
	names := l.names()
	switch d.op {
	case opRead:
		return http.MethodGet, "/v1/wallets/" + l.sub(names[d.from]), l.app, ""
	case opTransfer:
		return http.MethodPost, "/v1/transfers", l.users[d.from], transfer(l.sub(names[d.to]), d.amount)
	case opHold:
		return http.MethodPost, "/v1/holds", l.app, fmt.Sprintf(`{"user":%q,"to":%q,"amount":%d,"currency":"CNY"}`, l.sub(names[d.from]), l.sub(names[d.to]), d.amount)
	case opCapture:
		return http.MethodPost, "/v1/holds/" + id + "/capture", l.app, fmt.Sprintf(`{"amount":%d}`, d.amount)
	}
	return http.MethodPost, "/v1/holds/" + id + "/void", l.app, ""
}

// do asks until there is an answer that is one, from one wallet and then the other. Without an answer a
// read comes to nothing, and so does a write that is given up.
func (l *linear) do(t *testing.T, d deed, id, key string, wallet int, giveUp bool) (r result, made string, ok bool) {
	method, path, access, body := l.request(d, id)
	for try := range 200 {
		a, err := call(t.Context(), method, "http://"+l.wallets[(wallet+try)%2]+path, write(access, key), body)
		switch {
		case err != nil && d.op == opRead:
			return r, "", false
		case err != nil && giveUp:
			return result{unknown: true}, "", true
		case err != nil:
		case a.status == http.StatusOK && d.op == opRead:
			total, held, err := readBalance(a)
			if err != nil {
				t.Errorf("%s: %s (%v)", d, a.body, err)
			}
			return result{available: total - held, held: held}, "", err == nil
		case a.status == http.StatusOK, a.status == http.StatusCreated:
			return result{done: true}, a.field("id"), true
		case a.field("code") == "insufficient_funds", a.field("code") == "hold_closed":
			return r, "", true
		case a.status != http.StatusServiceUnavailable && a.status != http.StatusLocked:
			t.Errorf("%s: %d %s", d, a.status, a.body)
			return r, "", false
		}
		<-time.After(20 * time.Millisecond) // a process that was killed comes back, and its locks run out
	}
	t.Errorf("%s: never answered", d)
	return r, "", false
}

// TestOrdersThatCannotBeAreSeen: a check that finds nothing looks the same as one that looks at nothing.
func TestOrdersThatCannotBeAreSeen(t *testing.T) {
	t.Parallel()
	type line struct {
		deed
		result

		call, back int64
	}
	pay := line{deed{op: opTransfer, from: 0, to: 1, amount: 10}, result{done: true}, 1, 2}
	hold := line{deed{op: opHold, from: 0, to: 1, amount: 10, hold: 70}, result{done: true}, 1, 2}
	capture := line{deed{op: opCapture, from: 0, to: 1, amount: 4, held: 10, hold: 70}, result{done: true}, 3, 5}
	lost := pay
	lost.result, lost.back = result{unknown: true}, math.MaxInt64
	reading := func(user, available, held int, call, back int64) line {
		return line{deed{op: opRead, from: user}, result{available: available, held: held}, call, back}
	}
	for name, c := range map[string]struct {
		lines []line
		want  porcupine.CheckResult
	}{
		"read after":                            {[]line{pay, reading(0, 50, 0, 3, 4), reading(1, 70, 0, 3, 4)}, porcupine.Ok},
		"read meanwhile":                        {[]line{pay, reading(0, 60, 0, 1, 3)}, porcupine.Ok},
		"stale read":                            {[]line{pay, reading(0, 60, 0, 3, 4)}, porcupine.Illegal},
		"half of it":                            {[]line{pay, reading(0, 50, 0, 3, 4), reading(1, 60, 0, 5, 6)}, porcupine.Illegal},
		"lost, and had happened":                {[]line{lost, reading(0, 50, 0, 3, 4)}, porcupine.Ok},
		"lost, and had not happened":            {[]line{lost, reading(0, 60, 0, 3, 4)}, porcupine.Ok},
		"lost, and happened and then had not":   {[]line{lost, reading(0, 50, 0, 3, 4), reading(0, 60, 0, 5, 6)}, porcupine.Illegal},
		"captured once":                         {[]line{hold, capture, reading(0, 56, 0, 6, 7), reading(1, 64, 0, 6, 7)}, porcupine.Ok},
		"captured twice":                        {[]line{hold, capture, capture}, porcupine.Illegal},
		"refused though there was enough money": {[]line{{pay.deed, result{}, 1, 2}}, porcupine.Illegal},
		"done though there was not enough":      {[]line{{deed{op: opTransfer, to: 1, amount: linearFunds + 1}, result{done: true}, 1, 2}}, porcupine.Illegal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var history []porcupine.Operation
			for n, one := range c.lines {
				history = append(history, porcupine.Operation{ClientId: n, Input: one.deed, Output: one.result, Call: one.call, Return: one.back})
			}
			if got := porcupine.CheckOperationsTimeout(wallets(), history, verdict); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
