package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
)

func ledgerKeys() map[string]func(*testing.T, *desk) {
	return map[string]func(*testing.T, *desk){
		"a key answered gives the identical answer":              keyReplays,
		"a key with another request is refused":                  keyReused,
		"keys differ by client, user and every character":        keysApart,
		"of concurrent postings with one key exactly one posts":  racingKey,
		"of many who look up at once each gets its own":          lookUpTogether,
		"of concurrent refusals with one key exactly one stands": racingRefusal,
	}
}

func keyReplays(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	p := d.transfer(tom, amy, 60)
	answer := d.must(t, p)
	for range 2 {
		posted, err := d.Post(t.Context(), d.again(p)) // it could not be paid twice
		if diff := cmp.Diff(storage.Posted{Answer: answer, Replayed: true}, posted); err != nil || diff != "" {
			t.Errorf("repeated: %v\n%s", err, diff)
		}
	}
	got, err := d.Answered(t.Context(), p.Key, p.RequestHash)
	if diff := cmp.Diff(answer, got); err != nil || diff != "" {
		t.Errorf("looked up: %v\n%s", err, diff)
	}
	if got := d.balance(t, amy); got != 60 {
		t.Errorf("balance %d, want 60", got)
	}
}

func keyReused(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	p := d.transfer(tom, amy, 1)
	d.must(t, p)
	other := d.transfer(tom, amy, 2)
	other.Key = p.Key
	if _, err := d.Post(t.Context(), other); !errors.Is(err, storage.ErrKeyReused) {
		t.Errorf("with another amount: %v", err)
	}
	other = d.transfer(tom, amy, 1000) // a refusal is no answer either
	other.Key = p.Key
	if _, err := d.Post(t.Context(), other); !errors.Is(err, storage.ErrKeyReused) {
		t.Errorf("with too large an amount: %v", err)
	}
	if _, err := d.Answered(t.Context(), p.Key, other.RequestHash); !errors.Is(err, storage.ErrKeyReused) {
		t.Errorf("looked up: %v", err)
	}
	if got := d.balance(t, amy); got != 1 {
		t.Errorf("balance %d, want 1", got)
	}
}

func keysApart(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	p := d.transfer(tom, amy, 1)
	p.Key.Key = "Key"
	d.must(t, p)
	for name, change := range map[string]func(*storage.IdempotencyKey){
		"client":       func(k *storage.IdempotencyKey) { k.Client = "another" },
		"user":         func(k *storage.IdempotencyKey) { k.User = amy.user },
		"no user":      func(k *storage.IdempotencyKey) { k.User = "" },
		"case":         func(k *storage.IdempotencyKey) { k.Key = "key" },
		"blank at end": func(k *storage.IdempotencyKey) { k.Key = "Key " },
		"longest": func(k *storage.IdempotencyKey) {
			k.Key = `~!@#$%^&*()_+{}|:"<>?-=[]\;',./0123456789abcdefghijklmnopqrstuvw`
		},
	} {
		t.Run(name, func(t *testing.T) {
			other := d.transfer(tom, amy, 1)
			other.Key = p.Key
			change(&other.Key)
			d.must(t, other)
		})
	}
}

const keyCallers = 50

// racingKey lets many callers post one request, each as a retry would: with a journal of its own.
func racingKey(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	p := d.transfer(tom, amy, 70)
	out := contest(t, keyCallers, func(int) (storage.Posted, error) { return d.Post(t.Context(), d.again(p)) })
	oneAnswer(t, out)
	if out[0].Answer.Code != "" {
		t.Errorf("answer %+v to a transfer that can be paid", out[0].Answer)
	}
	if tom, amy := d.balance(t, tom), d.balance(t, amy); tom != 30 || amy != 70 {
		t.Errorf("balances %d and %d, want 30 and 70", tom, amy)
	}
}

func racingRefusal(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	p := d.transfer(tom, amy, 101)
	out := contest(t, keyCallers, func(int) (storage.Posted, error) { return d.Post(t.Context(), d.again(p)) })
	oneAnswer(t, out)
	if out[0].Answer.Code != codeInsufficient {
		t.Errorf("answer %+v to what cannot be paid", out[0].Answer)
	}
}

// oneAnswer checks that all got the same answer, and all but one as a replay.
func oneAnswer(t *testing.T, out []storage.Posted) {
	t.Helper()
	first := 0
	for _, posted := range out {
		if !posted.Replayed {
			first++
		}
		if diff := cmp.Diff(out[0].Answer, posted.Answer); diff != "" {
			t.Errorf("two answers under one key:\n%s", diff)
		}
	}
	if first != 1 {
		t.Errorf("%d of %d posted, want exactly one", first, len(out))
	}
}

// Stores answer many look-ups with one statement. Each caller asks for one of some wallets, and for a key that
// is free, answered, or answered to another request; some have gone away before.
func lookUpTogether(t *testing.T, d *desk) {
	amy := d.wallet(t, 0)
	payers, answers := make([]wallet, 4), make([]storage.Answer, 4)
	paid := make([]storage.Posting, len(payers))
	for i := range payers {
		payers[i] = d.wallet(t, 100)
		for range i {
			paid[i] = d.transfer(payers[i], amy, int64(i))
			answers[i] = d.must(t, paid[i])
		}
	}
	const callers = 160
	problems := make([]string, callers)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	race(callers, func(n int) {
		i := n % len(payers)
		key, hash, ctx := paid[i].Key, paid[i].RequestHash, t.Context()
		wants := &answers[i]
		var failure error
		if i == 0 { // who has paid nothing
			key, wants = storage.IdempotencyKey{Client: d.app.Client, Key: "free"}, nil
		}
		switch n % 5 {
		case 1:
			key.Key, wants = "unknown", nil
		case 2:
			hash[0]++
			if wants != nil {
				failure = storage.ErrKeyReused
			}
		case 3:
			ctx, failure = gone, context.Canceled
		}
		f, err := d.Footing(ctx, key, hash, payers[i].account())
		switch {
		case failure != nil:
			if !errors.Is(err, failure) {
				problems[n] = fmt.Sprintf("caller %d: %v, want %v", n, err, failure)
			}
		case err != nil:
			problems[n] = fmt.Sprintf("caller %d: %v", n, err)
		default:
			problems[n] = cmp.Diff(storage.Footing{Answer: wants, Fence: int64(i)}, f)
		}
	})
	for _, problem := range problems {
		if problem != "" {
			t.Error(problem)
		}
	}
}
