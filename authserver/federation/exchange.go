package federation

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// The times of an exchange.
const (
	// memory is how long what became of a code is remembered: as long as WeChat's codes live.
	memory = 5 * time.Minute
	// askTime bounds a question, patience is after how long another may ask instead, and exchangeTime bounds
	// all of it.
	askTime      = 12 * time.Second
	patience     = 15 * time.Second
	exchangeTime = 20 * time.Second
	// keepTime bounds remembering what became of a code, which the provider will not say again.
	keepTime = 3 * time.Second
	// lookAgain is how often a process looks for the answer that another one waits for.
	lookAgain = 100 * time.Millisecond
)

// question is a code that is to be exchanged.
type question struct {
	provider Provider
	app      App
	client   storage.ClientID
	// user is whom the identity is to be linked to; empty for a sign-in.
	user storage.UserID
	code string
}

// hash is what a question is known by.
func (d *Desk) hash(q question) storage.CodeHash {
	mac := hmac.New(sha256.New, d.cfg.HashKey)
	for _, part := range []string{q.provider.Name(), q.app.ID, string(q.client), string(q.user), q.code} {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return storage.CodeHash(mac.Sum(nil))
}

// final says that the provider has decided about the code for good.
func final(err error) bool {
	return errors.Is(err, &oauth.Error{Code: oauth.InvalidGrant}) || errors.Is(err, &oauth.Error{Code: oauth.AccessDenied})
}

// voucher returns what the provider says of a code, asking it once however many ask here. The question goes
// on when a caller leaves: the code is used up by then, and the caller will come again.
func (d *Desk) voucher(ctx context.Context, q question) (Voucher, error) {
	hash := d.hash(q)
	answer := d.flights.DoChan(string(hash[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTime)
		defer cancel()
		return d.exchange(ctx, q, hash)
	})
	select {
	case <-ctx.Done():
		return Voucher{}, fmt.Errorf("exchange code: %w", ctx.Err())
	case r := <-answer:
		v, _ := r.Val.(Voucher)
		return v, r.Err
	}
}

// exchange claims the code and asks, or waits for who has claimed it.
func (d *Desk) exchange(ctx context.Context, q question, hash storage.CodeHash) (Voucher, error) {
	holder := storage.NewID(d.cfg.Now())
	for {
		now := storage.Instant(d.cfg.Now())
		e, err := d.cfg.Exchanges.BeginExchange(ctx, hash, holder, now.Add(-patience), now.Add(memory), now)
		switch {
		case err != nil:
			return Voucher{}, fmt.Errorf("exchange code: %w", err)
		case e.Mine:
			return d.ask(ctx, q, hash, holder)
		case e.Outcome != nil:
			d.metrics.count(q.provider, outcomeRemembered)
			return d.recall(e.Outcome, hash)
		}
		select {
		case <-ctx.Done():
			return Voucher{}, oauth.Unavailable(errors.New("exchange code: another process does not finish"))
		case <-time.After(lookAgain):
		}
	}
}

// ask asks the provider and remembers what it decided.
func (d *Desk) ask(ctx context.Context, q question, hash storage.CodeHash, holder string) (Voucher, error) {
	v, err := d.question(ctx, q)
	d.metrics.count(q.provider, outcomeOf(err))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	if err != nil && !final(err) {
		if derr := d.cfg.Exchanges.DropExchange(ctx, hash, holder); derr != nil {
			d.cfg.Log.WarnContext(ctx, "a code stays claimed for a while", "provider", q.provider.Name(), "err", derr)
		}
		return Voucher{}, err
	}
	kept, kerr := d.outcome(v, err, hash)
	if kerr == nil {
		kerr = d.cfg.Exchanges.FinishExchange(ctx, hash, holder, kept, storage.Instant(d.cfg.Now()).Add(memory))
	}
	if kerr != nil { // who asked has the answer; only who asks again will not
		d.cfg.Log.WarnContext(ctx, "what became of a code is not remembered", "provider", q.provider.Name(), "err", kerr)
	}
	return v, err
}

// question asks the provider, if not too many are being asked.
func (d *Desk) question(ctx context.Context, q question) (Voucher, error) {
	select {
	case d.asking <- struct{}{}:
	default:
		return Voucher{}, oauth.Unavailable(fmt.Errorf("%d questions are open at providers", MaxAsking))
	}
	defer func() { <-d.asking }()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	v, err := q.provider.Exchange(ctx, q.app, q.code)
	if err != nil {
		return Voucher{}, err
	}
	if v.Subject == "" || len(v.Subject) > MaxSubject || len(v.Union) > MaxSubject || len(v.Secret.Reveal()) > MaxSecret {
		return Voucher{}, oauth.Unavailable(fmt.Errorf("%s vouches for nobody, or with names that are too long", q.provider.Name()))
	}
	return v, nil
}

// remembered is what became of a code, before it is sealed.
type remembered struct {
	Subject string     `json:"s,omitempty"`
	Union   string     `json:"u,omitempty"`
	Kept    string     `json:"k,omitempty"` // the secret of the voucher
	Refused oauth.Code `json:"r,omitempty"`
	Text    string     `json:"t,omitempty"`
}

// sealLabel binds an outcome to its row.
const sealLabel = "exchange"

func (d *Desk) outcome(v Voucher, err error, hash storage.CodeHash) ([]byte, error) {
	r := remembered{Subject: v.Subject, Union: v.Union, Kept: v.Secret.Reveal()}
	if refused, ok := errors.AsType[*oauth.Error](err); ok {
		r.Refused, r.Text = refused.Code, refused.Description
	}
	plain, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode outcome: %w", err)
	}
	return d.cfg.Sealer.Seal(plain, sealLabel, hex.EncodeToString(hash[:])), nil
}

// recall returns what became of a code.
func (d *Desk) recall(sealed []byte, hash storage.CodeHash) (Voucher, error) {
	plain, err := d.cfg.Sealer.Open(sealed, sealLabel, hex.EncodeToString(hash[:]))
	if err != nil {
		return Voucher{}, fmt.Errorf("recall outcome: %w", err)
	}
	var r remembered
	if err := json.Unmarshal(plain, &r); err != nil {
		return Voucher{}, errors.New("recall outcome: it is not of the form that it was stored in") // the cause might quote it
	}
	if r.Refused != "" {
		return Voucher{}, oauth.New(r.Refused, r.Text)
	}
	return Voucher{Subject: r.Subject, Union: r.Union, Secret: secret.New(r.Kept)}, nil
}
