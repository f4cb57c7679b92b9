package resource_test

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// BenchmarkTransfer posts the same transfers in turn over HTTP (guard, strict check, lock, key, fence,
// posting) and straight into the ledger, from 16 wallets at once, and reports how much of the ledger's
// own throughput is left.
func BenchmarkTransfer(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkTransfer(b, engine.SQLite(b)) })
	b.Run("mysql", func(b *testing.B) {
		if os.Getenv(engine.EnvMySQL) == "" {
			b.Skip("SKIPPED: " + engine.EnvMySQL + " is not set")
		}
		benchmarkTransfer(b, engine.MySQL(b))
	})
}

func benchmarkTransfer(b *testing.B, e engine.Engine) {
	const wallets, round = 16, 8
	s := newStand(b, e)
	s.http.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = wallets
	amy := s.user("amy")
	users, tokens, bearers := make([]storage.UserID, wallets), make([]string, wallets), make([]storage.Bearer, wallets)
	for i := range wallets {
		users[i], tokens[i] = s.rich("tom", 1_000_000_000)
		bearers[i] = s.bearerOf(users[i])
	}
	var n atomic.Int64
	direct := func(i int) error {
		now := storage.Instant(time.Now())
		_, err := s.db.Post(b.Context(), storage.Posting{
			Key: storage.IdempotencyKey{Client: appID, User: users[i], Key: fmt.Sprint("direct", n.Add(1))}, Bearer: bearers[i],
			Journal: storage.Journal{
				ID: storage.JournalID(storage.NewID(now)), Kind: storage.KindTransfer, From: users[i], To: amy, Amount: cny(1),
				Client: appID, Actor: users[i], Session: bearers[i].Session, CreatedAt: now,
			},
			From: storage.WalletAccount(users[i], "CNY"), To: storage.WalletAccount(amy, "CNY"), MustExist: amy,
			Success: func(j storage.Journal) storage.Answer {
				body := fmt.Sprintf(`{"id":%q,"amount":1,"currency":"CNY"}`, j.ID)
				return storage.Answer{Journal: j.ID, Body: []byte(body)}
			},
			Refuse: func(error) storage.Answer {
				return storage.Answer{Code: wallet.CodeInsufficientFunds, Body: []byte("{}")}
			}, Now: now,
		})
		return err
	}
	body := transferBody(amy, 1)
	overHTTP := func(i int) error {
		g, err := s.try(b.Context(), call{http.MethodPost, "/v1/transfers", tokens[i], body, key(fmt.Sprint("http", n.Add(1)))})
		if err == nil && g.status != http.StatusCreated {
			err = fmt.Errorf("%d %s", g.status, g.body)
		}
		return err
	}
	var spent [2]time.Duration
	for b.Loop() {
		for road, f := range []func(int) error{direct, overHTTP} {
			start := time.Now()
			var done sync.WaitGroup
			for i := range wallets {
				done.Go(func() {
					for range round {
						if err := f(i); err != nil {
							b.Error(err)
						}
					}
				})
			}
			done.Wait()
			spent[road] += time.Since(start)
		}
	}
	per := float64(b.N) * wallets * round
	b.ReportMetric(per/spent[0].Seconds(), "direct/s")
	b.ReportMetric(per/spent[1].Seconds(), "http/s")
	b.ReportMetric(spent[0].Seconds()/spent[1].Seconds(), "http:direct")
}
