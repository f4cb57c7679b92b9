package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

const (
	// transferTime bounds one transfer: the longest wait for a lock, and its answer.
	transferTime = 90 * time.Second
	// transferTurns is how often each row has its turn.
	transferTurns = 4
	// maxFaults bounds how many kinds of errors a row tells apart.
	maxFaults = 16
)

// The roads that money takes in a bench.
const (
	RoadHTTP   = "http"   // POST /v1/transfers: token, strict check, lock, ledger
	RoadLedger = "ledger" // the ledger alone, in this process
)

// The patterns in which money moves.
const (
	Cold     = "cold"      // anybody pays anybody
	OnePayee = "one payee" // everybody pays one merchant
	OnePayer = "one payer" // one user pays everybody
)

// Payer is a user with money, who is signed in.
type Payer struct {
	User   storage.UserID
	Token  string // access token
	Bearer storage.Bearer
}

// TransferPlan is what to measure.
type TransferPlan struct {
	// API is the address of the wallet.
	API      string
	Payers   []Payer // two at least
	Currency money.Currency
	// Clients are the numbers of clients at once, Time is how long each row is measured.
	Clients []int
	Time    time.Duration
	// Ledger, if not nil, is measured as well.
	Ledger storage.Ledger
	// Step, if not nil, is called after each turn of a row.
	Step func()
}

// rows are what the plan measures. The ledger follows on the road that it is compared with.
func (p *TransferPlan) rows() []*Row {
	roads := []string{RoadHTTP}
	if p.Ledger != nil {
		roads = append(roads, RoadLedger)
	}
	patterns := []string{Cold, OnePayee, OnePayer}
	all := make([]*Row, 0, len(patterns)*len(p.Clients)*len(roads))
	for _, pattern := range patterns {
		for _, n := range p.Clients {
			for _, road := range roads {
				all = append(all, &Row{Road: road, Pattern: pattern, Clients: n, Errors: map[string]int{}})
			}
		}
	}
	return all
}

// Turns is how often [TransferPlan.Step] will be called.
func (p *TransferPlan) Turns() int { return transferTurns * len(p.rows()) }

// Row is what was measured of one road, pattern and number of clients. Times are in milliseconds.
type Row struct {
	Road      string  `json:"road"`
	Pattern   string  `json:"pattern"`
	Clients   int     `json:"clients"`
	Transfers int     `json:"transfers"`
	Rate      float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	// OfLedger is the rate as a part of that of the ledger alone; 0 where that was not measured.
	OfLedger float64 `json:"of_ledger,omitempty"`
	// Errors counts what was not a transfer, by status and code.
	Errors map[string]int `json:"errors"`

	took  time.Duration
	waits []time.Duration
}

// Transfers moves money in a closed loop: each client asks for its next transfer when it has the answer to
// the last. All rows take turns, so that what else the machine does falls on all of them alike.
func Transfers(ctx context.Context, p TransferPlan) ([]*Row, error) {
	if len(p.Payers) < 2 || len(p.Clients) == 0 || p.Time <= 0 || slices.Min(p.Clients) < 1 {
		return nil, errors.New("bench: two payers, a number of clients and a time are needed")
	}
	most := slices.Max(p.Clients)
	b := &transfers{plan: p, client: &http.Client{Transport: &http.Transport{MaxIdleConns: most, MaxIdleConnsPerHost: most}}}
	defer b.client.CloseIdleConnections()
	rows := p.rows()
	for range transferTurns {
		for _, r := range rows {
			b.turn(ctx, r)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if p.Step != nil {
				p.Step()
			}
		}
	}
	for _, r := range rows {
		r.close()
	}
	for i, r := range rows {
		if p.Ledger != nil && r.Road == RoadHTTP && rows[i+1].Rate > 0 {
			r.OfLedger = r.Rate / rows[i+1].Rate
		}
	}
	return rows, nil
}

// close sums a row up.
func (r *Row) close() {
	r.Transfers = len(r.waits)
	if r.Transfers == 0 {
		return
	}
	r.Rate = float64(r.Transfers) / r.took.Seconds()
	slices.Sort(r.waits)
	r.P50, r.P99, r.Max = millis(quantile(r.waits, 50)), millis(quantile(r.waits, 99)), millis(quantile(r.waits, 100))
}

type transfers struct {
	plan   TransferPlan
	client *http.Client
}

// turn is a row's clients at work for its share of the time.
func (b *transfers) turn(ctx context.Context, r *Row) {
	move := b.overHTTP
	if r.Road == RoadLedger {
		move = b.byLedger
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		began = time.Now()
		until = began.Add(b.plan.Time / transferTurns)
	)
	for range r.Clients {
		wg.Go(func() {
			var waits []time.Duration
			faults := map[string]int{}
			for time.Now().Before(until) && ctx.Err() == nil {
				from, to := b.pair(r.Pattern)
				asked := time.Now()
				if fault := move(ctx, from, to); fault != "" {
					faults[fault]++
					continue
				}
				waits = append(waits, time.Since(asked))
			}
			mu.Lock()
			defer mu.Unlock()
			r.waits = append(r.waits, waits...)
			for fault, n := range faults {
				r.count(fault, n)
			}
		})
	}
	wg.Wait()
	r.took += time.Since(began)
}

func (r *Row) count(fault string, n int) {
	if _, known := r.Errors[fault]; !known && len(r.Errors) >= maxFaults {
		fault = "other"
	}
	r.Errors[fault] += n
}

// pair chooses who pays whom.
func (b *transfers) pair(pattern string) (from, to *Payer) {
	n := len(b.plan.Payers)
	i := mathrand.IntN(n)                             //nolint:gosec // G404: whom is of no consequence.
	j := (i + 1 + mathrand.IntN(n-1)) % n             //nolint:gosec // G404: as above.
	switch other := 1 + mathrand.IntN(n-1); pattern { //nolint:gosec // G404: as above.
	case OnePayee:
		i, j = other, 0
	case OnePayer:
		i, j = 0, other
	}
	return &b.plan.Payers[i], &b.plan.Payers[j]
}

// overHTTP makes a transfer as an app does, and says how it failed, if it did.
func (b *transfers) overHTTP(ctx context.Context, from, to *Payer) (fault string) {
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	body := fmt.Sprintf(`{"to":%q,"amount":1,"currency":%q}`, to.User, b.plan.Currency)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.plan.API+"/v1/transfers", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+from.Token)
	r.Header.Set("Idempotency-Key", rand.Text())
	answer, err := b.client.Do(r)
	if err != nil {
		return "no answer"
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return "no answer"
	}
	if answer.StatusCode == http.StatusCreated {
		return ""
	}
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(text, &problem) // without a code the status has to do
	return strings.TrimSpace(fmt.Sprint(answer.StatusCode, " ", problem.Code))
}

// byLedger posts what such a transfer posts.
func (b *transfers) byLedger(ctx context.Context, from, to *Payer) (fault string) {
	now := time.Now()
	key := storage.NewID(now)
	currency := b.plan.Currency
	posted, err := b.plan.Ledger.Post(ctx, storage.Posting{
		Key: storage.IdempotencyKey{Client: from.Bearer.Client, User: from.User, Key: key}, Bearer: from.Bearer, Now: now,
		Journal: storage.Journal{
			ID: storage.JournalID(key), Kind: storage.KindTransfer, From: from.User, To: to.User, Client: from.Bearer.Client, Actor: from.User,
			Session: from.Bearer.Session, Amount: money.Amount{Minor: 1, Currency: currency}, CreatedAt: now,
		},
		From: storage.WalletAccount(from.User, currency), To: storage.WalletAccount(to.User, currency), MustExist: to.User,
		Success: func(j storage.Journal) storage.Answer {
			body, _ := json.Marshal(map[string]any{"id": j.ID, "from": j.From, "to": j.To, "amount": j.Amount.Minor, "currency": j.Amount.Currency, "created_at": j.CreatedAt})
			return storage.Answer{Body: body}
		},
		Refuse: func(err error) storage.Answer { return storage.Answer{Code: err.Error()} },
	})
	switch {
	case err != nil:
		return "error"
	case posted.Answer.Code != "":
		return posted.Answer.Code
	}
	return ""
}
