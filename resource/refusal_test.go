package resource_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestEveryRefusalOfATransfer(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.rich("tom", 1000)
	amy := s.user("amy")
	names := map[string]string{string(tom): "tom", string(amy): "amy"}
	body := fmt.Sprintf
	good := transferBody(amy, 1)
	s.transfer(tomToken, "used", good)

	for name, c := range map[string]struct {
		header http.Header
		body   string
		status int
		code   string
	}{
		"insufficient_funds":            {key("a"), transferBody(amy, 1_000_000), 422, "insufficient_funds"},
		"unknown_recipient":             {key("b"), transferBody("0000000000000000000000000n", 1), 404, "unknown_recipient"},
		"unknown_recipient_malformed":   {key("c"), transferBody("no such – user", 1), 404, "unknown_recipient"},
		"same_wallet":                   {key("d"), transferBody(tom, 1), 422, "same_wallet"},
		"amount_zero":                   {key("e"), transferBody(amy, 0), 422, "amount_out_of_range"},
		"amount_negative":               {key("e"), transferBody(amy, -5), 422, "amount_out_of_range"},
		"amount_above_max":              {key("e"), transferBody(amy, 1_000_000_001), 422, "amount_out_of_range"},
		"amount_beyond_the_ledger":      {key("e"), body(`{"to":%q,"amount":9007199254740992,"currency":"CNY"}`, amy), 422, "amount_out_of_range"},
		"amount_beyond_everything":      {key("e"), body(`{"to":%q,"amount":99999999999999999999999999,"currency":"CNY"}`, amy), 422, "amount_out_of_range"},
		"currency_unknown":              {key("f"), body(`{"to":%q,"amount":1,"currency":"EUR"}`, amy), 422, "currency_unknown"},
		"currency_malformed":            {key("f"), body(`{"to":%q,"amount":1,"currency":"cny"}`, amy), 422, "currency_unknown"},
		"idempotency_key_required":      {http.Header{}, good, 400, "idempotency_key_required"},
		"idempotency_key_empty":         {key(""), good, 400, "idempotency_key_required"},
		"idempotency_key_long":          {key(strings.Repeat("k", 65)), good, 400, "invalid_request"},
		"idempotency_key_not_printable": {key("schlüssel"), good, 400, "invalid_request"},
		"idempotency_key_twice":         {http.Header{"Idempotency-Key": {"a", "a"}}, good, 400, "invalid_request"},
		"idempotency_key_reused":        {key("used"), transferBody(amy, 2), 422, "idempotency_key_reused"},
		"memo_long":                     {key("g"), body(`{"to":%q,"amount":1,"currency":"CNY","memo":%q}`, amy, strings.Repeat("m", 257)), 400, "invalid_request"},
		"memo_control":                  {key("g"), body(`{"to":%q,"amount":1,"currency":"CNY","memo":"a\u0007b"}`, amy), 400, "invalid_request"},
		"memo_turns_text_around":        {key("g"), body(`{"to":%q,"amount":1,"currency":"CNY","memo":"a\u202eb"}`, amy), 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := s.do(call{http.MethodPost, "/v1/transfers", tomToken, c.body, c.header})
			if g.status != c.status || g.code() != c.code {
				t.Errorf("got %d %s, want %d %s", g.status, g.body, c.status, c.code)
			}
			golden(t, "refuse_"+name, g, names)
		})
	}
	t.Cleanup(func() {
		if b := s.balance(tom); b != 999 {
			t.Errorf("tom has %d after all these refusals, want 999", b)
		}
	})
}

func TestARefusalOfTheBooksStaysUnderItsKey(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.rich("tom", 10)
	amy := s.user("amy")
	first := s.transfer(tomToken, "k", transferBody(amy, 50))
	_, err := s.server.Wallet().Deposit(t.Context(), wallet.DepositOrder{
		Bearer: storage.Bearer{Client: billing, IssuedAt: time.Now()}, User: tom, Amount: money.Amount{Minor: 100, Currency: "CNY"}, Reference: "r", Key: "d",
	})
	must(t, err)
	again := s.transfer(tomToken, "k", transferBody(amy, 50))
	if first.status != 422 || again.status != 422 || !bytes.Equal(first.body, again.body) {
		t.Errorf("first %d %s, again %d %s", first.status, first.body, again.status, again.body)
	}
	if first.header.Get("Idempotent-Replayed") != "" || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("Idempotent-Replayed: %q, then %q", first.header.Get("Idempotent-Replayed"), again.header.Get("Idempotent-Replayed"))
	}
	if g := s.transfer(tomToken, "k2", transferBody(amy, 50)); g.status != http.StatusCreated {
		t.Errorf("under another key: %d %s", g.status, g.body)
	}
	s.verify()
}

func TestARequestThatIsWrongInItselfLeavesItsKeyFree(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	_, tomToken := s.rich("tom", 10)
	amy := s.user("amy")
	if g := s.transfer(tomToken, "k", transferBody(amy, 0)); g.status != 422 {
		t.Fatalf("amount 0: %d", g.status)
	}
	if g := s.transfer(tomToken, "k", transferBody(amy, 1)); g.status != http.StatusCreated {
		t.Errorf("mended: %d %s", g.status, g.body)
	}
}

func TestKeysOfDifferentCallersAreDifferentKeys(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.rich("tom", 10)
	amy, amyToken := s.rich("amy", 10)
	a, b := s.transfer(tomToken, "k", transferBody(amy, 1)), s.transfer(amyToken, "k", transferBody(tom, 2))
	if a.status != http.StatusCreated || b.status != http.StatusCreated {
		t.Errorf("got %d %s and %d %s, want two transfers", a.status, a.body, b.status, b.body)
	}
}

// badBodies are wrong on every endpoint that takes a body; %s stands for a field of it and its value.
var badBodies = map[string]struct {
	body   string
	status int
	says   string
}{
	"nothing":            {"", 400, "empty"},
	"spaces":             {" \n\t", 400, "empty"},
	"null":               {"null", 400, "object"},
	"an array":           {"[]", 400, "object"},
	"a string":           {`"x"`, 400, "object"},
	"not JSON":           {"amount=1", 400, "not JSON"},
	"cut off":            {`{"amount": 1`, 400, "early"},
	"cut off in a field": {`{"amo`, 400, "early"},
	"unknown field":      {`{"colour": "red"}`, 400, `\"colour\"`},
	"mistyped field":     {`{"Amount": 1}`, 400, `did you mean \"amount\"`},
	"mistyped field 2":   {`{"curency": "CNY"}`, 400, `did you mean \"currency\"`},
	"repeated field":     {`{"amount": 1, "amount": 2}`, 400, "amount: is there twice"},
	"missing fields":     {`{}`, 400, "is missing"},
	"amount a string":    {`{"amount": "1"}`, 400, "amount: must be an integer"},
	"amount a fraction":  {`{"amount": 1.0}`, 400, "amount: must be an integer"},
	"amount an exponent": {`{"amount": 1e2}`, 400, "amount: must be an integer"},
	"amount null":        {`{"amount": null}`, 400, "amount: must be an integer"},
	"amount a boolean":   {`{"amount": true}`, 400, "amount: must be an integer"},
	"amount an object":   {`{"amount": {"value": 1}}`, 400, "amount: must be an integer"},
	"amount minus zero":  {`{"amount": -0}`, 400, "amount: must be an integer"},
	"currency a number":  {`{"currency": 156}`, 400, "currency: must be a string, not a number"},
	"currency an array":  {`{"currency": ["CNY"]}`, 400, "currency: must be a string, not an array"},
	"currency null":      {`{"currency": null}`, 400, "currency: must be a string, not null"},
	"half a surrogate":   {`{"currency": "\ud83d"}`, 400, "surrogate"},
	"not UTF-8":          {"{\"currency\": \"\xff\"}", 400, "UTF-8"},
	"nested deeply":      {`{"amount": ` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`, 400, "nested"},
	"too large":          {`{"currency": "` + strings.Repeat("x", 64<<10) + `"}`, 413, "65536"},
	"too large of space": {strings.Repeat(" ", 64<<10+1), 413, "65536"},
}

func TestBodiesThatCannotBeUnderstood(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.rich("tom", 10)
	app := s.internal("wallet:deposit")
	for path, token := range map[string]string{"/v1/transfers": tomToken, "/v1/deposits": app} {
		for name, c := range badBodies {
			t.Run(path+"/"+name, func(t *testing.T) {
				t.Parallel()
				g := s.do(call{http.MethodPost, path, token, c.body, key("k")})
				if g.status != c.status || !strings.Contains(g.text(), c.says) || g.header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("got %d %s, want %d and something of %q", g.status, g.body, c.status, c.says)
				}
			})
		}
		for name, field := range map[string]string{"/v1/transfers": "to", "/v1/deposits": "user"} {
			if name != path {
				continue
			}
			body := fmt.Sprintf(`{%q:%q,"amount":1,"currency":"CNY","reference":"r"} {}`, field, tom)
			body = strings.Replace(body, `,"reference":"r"`, map[string]string{"to": "", "user": `,"reference":"r"`}[field], 1)
			if g := s.do(call{http.MethodPost, path, token, body, key("k")}); g.status != 400 || !strings.Contains(g.text(), "after the JSON object") {
				t.Errorf("%s, trailing bytes: %d %s", path, g.status, g.body)
			}
		}
		for media, status := range map[string]int{
			"": 415, "text/json": 415, "application/x-www-form-urlencoded": 415, "application/json; charset=gbk": 415, "application/json;": 400,
			"application/json; charset=UTF-8": 400, "APPLICATION/JSON": 400, "application/merge-patch+json": 415, "json": 415,
		} {
			h := key("k")
			h["Content-Type"] = []string{media}
			if g := s.do(call{http.MethodPost, path, token, "{}", h}); g.status != status {
				t.Errorf("%s, Content-Type %q: %d %s, want %d", path, media, g.status, g.body, status)
			}
		}
		h := key("k")
		h.Set("Content-Encoding", "gzip")
		if g := s.do(call{http.MethodPost, path, token, "{}", h}); g.status != 415 {
			t.Errorf("%s, gzip: %d %s", path, g.status, g.body)
		}
	}
}

func TestABodyOfExactlyTheLimitIsRead(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	_, tomToken := s.rich("tom", 10)
	body := transferBody(s.user("amy"), 1)
	body += strings.Repeat(" ", 64<<10-len(body))
	if g := s.transfer(tomToken, "k", body); g.status != http.StatusCreated {
		t.Errorf("got %d %s", g.status, g.body)
	}
}

func TestRefusalsOfADeposit(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.rich("tom", 0)
	app := s.internal("wallet:deposit")
	deposit := func(user storage.UserID, amount int64, reference string) string {
		return fmt.Sprintf(`{"user":%q,"amount":%d,"currency":"CNY","reference":%q}`, user, amount, reference)
	}
	good := deposit(tom, 5, "r")
	for name, c := range map[string]struct {
		token  string
		header http.Header
		body   string
		status int
		says   string
	}{
		"no token":                      {"", key("a"), good, 401, ""},
		"a user's token with the scope": {tomToken, key("a"), good, 403, "insufficient_scope"},
		"no scope":                      {s.internal("wallet:read"), key("a"), good, 403, "wallet:deposit"},
		"unknown user":                  {app, key("b"), deposit("0000000000000000000000000n", 5, "r"), 404, "unknown_recipient"},
		"nobody":                        {app, key("b2"), deposit("", 5, "r"), 404, "unknown_recipient"},
		"no reference":                  {app, key("c"), deposit(tom, 5, ""), 400, "reference"},
		"long reference":                {app, key("c"), deposit(tom, 5, strings.Repeat("r", 129)), 400, "reference"},
		"amount 0":                      {app, key("d"), deposit(tom, 0, "r"), 422, "amount_out_of_range"},
		"no key":                        {app, nil, good, 400, "idempotency_key_required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := s.do(call{http.MethodPost, "/v1/deposits", c.token, c.body, c.header})
			if g.status != c.status || !strings.Contains(g.text()+g.header.Get("WWW-Authenticate"), c.says) {
				t.Errorf("got %d %s, want %d and something of %q", g.status, g.body, c.status, c.says)
			}
		})
	}
}

func TestABalanceBeyondTheLedgerIsRefusedAndRecorded(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { c.MaxAmount = money.Max })
	tom := s.user("tom")
	app := s.internal("wallet:deposit")
	body := fmt.Sprintf(`{"user":%q,"amount":%d,"currency":"CNY","reference":"r"}`, tom, money.Max)
	if g := s.do(call{http.MethodPost, "/v1/deposits", app, body, key("a")}); g.status != http.StatusCreated {
		t.Fatalf("the largest deposit: %d %s", g.status, g.body)
	}
	for _, replayed := range []string{"", "true"} {
		g := s.do(call{http.MethodPost, "/v1/deposits", app, body, key("b")})
		if g.status != 422 || g.code() != "limit_exceeded" || g.header.Get("Idempotent-Replayed") != replayed {
			t.Errorf("one more: %d %s, replayed %q", g.status, g.body, g.header.Get("Idempotent-Replayed"))
		}
	}
	s.verify()
}

func TestReadsRefuse(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.rich("tom", 10)
	s.rich("amy", 10)
	app := s.internal("wallet:read")
	narrow := s.signIn(s.user("eve"), "wallet:transfer")
	for path, c := range map[string]struct {
		token  string
		status int
		says   string
	}{
		"/v1/wallet":                                      {"", 401, ""},
		"/v1/wallet?":                                     {app, 403, ""},
		"/v1/wallet/entries":                              {narrow, 403, "wallet:read"},
		"/v1/wallet/entries?limit=0":                      {tomToken, 400, "limit"},
		"/v1/wallet/entries?limit=201":                    {tomToken, 400, "limit"},
		"/v1/wallet/entries?limit=-1":                     {tomToken, 400, "limit"},
		"/v1/wallet/entries?limit=ten":                    {tomToken, 400, "limit"},
		"/v1/wallet/entries?limit=1&limit=2":              {tomToken, 400, "limit"},
		"/v1/wallet/entries?currency=EUR":                 {tomToken, 422, "currency_unknown"},
		"/v1/wallet/entries?currency=yuan":                {tomToken, 422, "currency_unknown"},
		"/v1/wallet/entries?cursor=x":                     {tomToken, 400, "cursor"},
		"/v1/wallet/entries?cursor=00000000000000":        {tomToken, 400, "cursor"},
		"/v1/transfers/x":                                 {tomToken, 404, "not_found"},
		"/v1/transfers/0000000000000000000000000n":        {tomToken, 404, "not_found"},
		"/v1/transfers/" + strings.Repeat("0", 3000):      {tomToken, 404, "not_found"},
		"/v1/wallet/entries?cursor=" + string(tom) + "00": {tomToken, 400, "cursor"},
	} {
		g := s.do(call{http.MethodGet, path, c.token, "", nil})
		if g.status != c.status || !strings.Contains(g.text()+g.header.Get("WWW-Authenticate"), c.says) {
			t.Errorf("GET %.80s: %d %s, want %d and something of %q", path, g.status, g.body, c.status, c.says)
		}
		if g.header.Get("Cache-Control") != "no-store" {
			t.Errorf("GET %.80s: Cache-Control %q", path, g.header.Get("Cache-Control"))
		}
	}
}

func TestASupersededSessionCanNeitherPayNorReplay(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e)
		tom, oldToken := s.rich("tom", 10)
		amy := s.user("amy")
		if g := s.transfer(oldToken, "k", transferBody(amy, 1)); g.status != http.StatusCreated {
			t.Fatalf("before: %d %s", g.status, g.body)
		}
		newToken := s.signIn(tom, allScope)
		for _, k := range []string{"k", "k2"} {
			g := s.transfer(oldToken, k, transferBody(amy, 1))
			if g.status != 401 || !strings.Contains(g.text(), `"reason":"superseded"`) || !strings.Contains(g.text(), `"device_name":"phone"`) {
				t.Errorf("key %s after the other sign-in: %d %s", k, g.status, g.body)
			}
		}
		if g := s.transfer(newToken, "k", transferBody(amy, 1)); g.status != 201 || g.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("the new sign-in replays: %d %s", g.status, g.body)
		}
	})
}

// TestTheTransactionHasTheLastWord ends the session after the guard has let the request in.
func TestTheTransactionHasTheLastWord(t *testing.T) {
	t.Parallel()
	h := &hook{}
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { h.Locker, c.Locker = c.Locker, h })
	tom, tomToken := s.rich("tom", 10)
	amy := s.user("amy")
	h.before = func() { s.signIn(tom, allScope) }
	g := s.transfer(tomToken, "k", transferBody(amy, 1))
	if g.status != 401 || !strings.Contains(g.text(), `"reason":"superseded"`) {
		t.Errorf("got %d %s, want 401 superseded", g.status, g.body)
	}
	if b := s.balance(tom); b != 10 {
		t.Errorf("tom has %d, want 10", b)
	}
}

// hook does something before a lock is taken.
type hook struct {
	storage.Locker
	before func()
}

// Lock implements storage.Locker.
func (h *hook) Lock(ctx context.Context, user storage.UserID, wait time.Duration) (storage.Lease, error) {
	if h.before != nil {
		h.before()
	}
	return h.Locker.Lock(ctx, user, wait)
}
