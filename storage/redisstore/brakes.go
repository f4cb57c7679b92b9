package redisstore

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tallystick/tallystick/storage"
)

//go:embed brakes.lua
var brakesSource string

// brakesScript is sent by its digest, and in full to a server that does not know it.
var brakesScript = redis.NewScript(brakesSource)

// brakeScopes are the scopes by their numbers in the script.
var brakeScopes = []storage.BrakeScope{"", storage.BrakePair, storage.BrakeAccount, storage.BrakeAddress}

// TakeTry implements [storage.Brakes]. A command whose answer was lost is sent once more: then the
// try is counted twice, which is the safe side.
func (s *Store) TakeTry(ctx context.Context, t storage.Try, l storage.BrakeLimits, now time.Time) (storage.TryTaken, error) {
	answer, err := s.brake(ctx, "take", t, l, now)
	if err != nil {
		return storage.TryTaken{}, fmt.Errorf("take a try: %w", err)
	}
	if len(answer) != 2 || answer[1] < 0 || answer[1] >= int64(len(brakeScopes)) {
		return storage.TryTaken{}, fmt.Errorf("take a try: %w: the script answered %v", storage.ErrUnavailable, answer)
	}
	return storage.TryTaken{Wait: time.Duration(answer[0]) * time.Millisecond, By: brakeScopes[answer[1]]}, nil
}

// SettleTry implements [storage.Brakes].
func (s *Store) SettleTry(ctx context.Context, t storage.Try, outcome storage.TryOutcome, l storage.BrakeLimits, now time.Time) ([]storage.BrakeEngaged, error) {
	answer, err := s.brake(ctx, string(outcome), t, l, now)
	if err != nil {
		return nil, fmt.Errorf("settle a try: %w", err)
	}
	var engaged []storage.BrakeEngaged
	for ; len(answer) >= 3; answer = answer[3:] {
		if scope := answer[0]; scope > 0 && scope < int64(len(brakeScopes)) {
			engaged = append(engaged, storage.BrakeEngaged{
				By: brakeScopes[scope], Failures: int(answer[1]), Wait: time.Duration(answer[2]) * time.Millisecond,
			})
		}
	}
	return engaged, nil
}

// brake runs the script. Every key that it may touch is named, also those that this try leaves alone.
func (s *Store) brake(ctx context.Context, op string, t storage.Try, l storage.BrakeLimits, now time.Time) ([]int64, error) {
	keys := []string{s.brakeKey("pair", t.Pair), s.brakeKey("account", t.Account), s.brakeKey("address", t.Address)}
	args := []any{
		op, now.UnixMilli(), t.Account != "", t.Address != "", l.AccountFailures, l.PairFailures,
		l.Delay.Milliseconds(), l.MaxDelay.Milliseconds(), l.MostFailures, l.Lock.Milliseconds(),
		l.Window.Milliseconds(), l.Known.Milliseconds(),
		l.AddressWindow.Milliseconds(), l.AddressWindow.Milliseconds() / int64(max(1, l.AddressFailures)),
	}
	answer, err := brakesScript.Run(ctx, &scripts{s.client, s.breaker}, keys, args...).Int64Slice()
	if err != nil {
		return nil, errors.Join(storage.ErrUnavailable, err)
	}
	return answer, nil
}
