package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/bench"
	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/sqlstore"
)

const (
	// maxPayers, maxBenchClients and maxRowTime bound a bench of transfers.
	maxPayers       = 1000
	maxBenchClients = 1024
	maxRowTime      = 30 * time.Second
	// benchMoney is what each payer gets; a transfer moves 1.
	benchMoney = 10_000_000
	// benchAsk bounds one request of the preparations, and benchAnswer its answer.
	benchAsk    = 30 * time.Second
	benchAnswer = 64 << 10
)

type transferOptions struct {
	site

	app, funder, currency string
	users                 int
	clients               []int
	seconds               float64
}

func benchTransferCommand() *cobra.Command {
	var o transferOptions
	c := cli.WithOutput(&cobra.Command{
		Use:   "transfer",
		Short: "Measure how many transfers a second an instance makes",
		Long: `Measure how many transfers a second an instance makes.

It makes users, gives them money, signs them in, and has them pay each other over HTTP, with real tokens: each
client asks for its next transfer when it has the answer to the last. Three patterns take turns: anybody pays
anybody, everybody pays one merchant, one user pays everybody. For comparison the same is posted to the ledger
directly, in the process of the bench, over the instance's database.

Without flags it starts an instance of its own, in a temporary folder, and stops it at the end. With
--data-dir it measures a tallystick dev that runs. With --config and --target it measures a real one: the target is a
file in the form of dev.json, with the address of the issuer and the wallet and the clients. The users that it made are
disabled at the end; the journals stay, as all journals do.`,
		Example: `  tallystick bench transfer
  tallystick bench transfer --clients 64 --seconds 10 --output json
  tallystick bench transfer --data-dir .tallystick
  tallystick bench transfer --config tallystick.yaml --target target.json`,
		Args: cli.Args(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return o.run(c.Context(), c)
		},
	})
	o.flags(c)
	f := c.Flags()
	f.StringVar(&o.app, "app", "shop-app", "public client that signs users in")
	f.StringVar(&o.funder, "funder", "billing", "confidential client with the scope wallet:deposit")
	f.StringVar(&o.currency, "currency", "CNY", "currency of the transfers")
	f.IntVar(&o.users, "users", 64, "users who pay and are paid")
	f.IntSliceVar(&o.clients, "clients", []int{1, 16, 64, 256}, "clients at once, each number a row of its own")
	f.Float64Var(&o.seconds, "seconds", 4, "how long each row is measured")
	return c
}

func (o *transferOptions) check() error {
	if err := o.site.check(); err != nil {
		return err
	}
	switch {
	case o.users < 2 || o.users > maxPayers:
		return cli.Usagef("--users %d: it must be between 2 and %d", o.users, maxPayers)
	case len(o.clients) == 0 || len(o.clients) > 8:
		return cli.Usagef("--clients: give between 1 and 8 numbers")
	case slices.Min(o.clients) < 1 || slices.Max(o.clients) > maxBenchClients:
		return cli.Usagef("--clients: each number must be between 1 and %d", maxBenchClients)
	case o.seconds <= 0 || o.seconds > maxRowTime.Seconds():
		return cli.Usagef("--seconds %v: it must be above 0, and %v at most", o.seconds, maxRowTime.Seconds())
	}
	return nil
}

func (o *transferOptions) run(ctx context.Context, c *cobra.Command) error {
	in, stop, err := o.instance(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := o.loopback(in, "makes users and moves money"); err != nil {
		return err
	}
	k, closeKit, err := openKit(ctx, in.database)
	if err != nil {
		return err
	}
	defer closeKit()
	ledger, err := sqlstore.NewGroup(k.Store, sqlstore.GroupConfig{})
	if err != nil {
		return err
	}
	ledger.Start()
	defer ledger.Stop()
	f := &funder{options: o, in: in, kit: k, http: &http.Client{Timeout: benchAsk}}
	defer f.http.CloseIdleConnections()
	bar := cli.NewProgress(c.ErrOrStderr(), "users", int64(o.users), nil)
	payers, err := f.payers(ctx, func(n int) { bar.Set(int64(n), int64(o.users)) })
	bar.End()
	defer f.disable(ctx, payers)
	if err != nil {
		return err
	}
	plan := bench.TransferPlan{
		API: in.target.API, Payers: payers, Currency: money.Currency(o.currency), Clients: o.clients,
		Time: time.Duration(o.seconds * float64(time.Second)), Ledger: ledger,
	}
	turns, done := int64(plan.Turns()), int64(0)
	bar = cli.NewProgress(c.ErrOrStderr(), "turns", turns, nil)
	plan.Step = func() { done++; bar.Set(done, turns) }
	rows, err := bench.Transfers(ctx, plan)
	bar.End()
	if err != nil {
		return err
	}
	return cli.Print(c, rows, func(w io.Writer) error { return printTransfers(w, rows) })
}

func printTransfers(w io.Writer, all []*bench.Row) error {
	rows := make([][]string, 0, len(all))
	for _, r := range all {
		part := ""
		if r.OfLedger > 0 {
			part = fmt.Sprintf("%.2f", r.OfLedger)
		}
		faults := make([]string, 0, len(r.Errors))
		for _, kind := range slices.Sorted(maps.Keys(r.Errors)) {
			faults = append(faults, fmt.Sprintf("%d × %s", r.Errors[kind], kind))
		}
		rows = append(rows, []string{
			r.Pattern, r.Road, fmt.Sprint(r.Clients), fmt.Sprint(r.Transfers), fmt.Sprintf("%.0f", r.Rate), part,
			fmt.Sprintf("%.1f", r.P50), fmt.Sprintf("%.1f", r.P99), fmt.Sprintf("%.1f", r.Max), strings.Join(faults, ", "),
		})
	}
	return cli.Table(w, []string{"PATTERN", "ROAD", "CLIENTS", "TRANSFERS", "PER SECOND", "OF LEDGER", "P50 MS", "P99 MS", "MAX MS", "ERRORS"}, rows)
}

// funder makes users who can pay.
type funder struct {
	options *transferOptions
	in      instance
	kit     *kit
	http    *http.Client
}

// payers makes users, gives them money and signs them in. With an error, it returns those made so far.
func (f *funder) payers(ctx context.Context, step func(int)) ([]bench.Payer, error) {
	client, known := f.in.target.Clients[f.options.funder]
	if !known || client.Secret == "" {
		return nil, fmt.Errorf("the target has no confidential client %q: say which may deposit, with --funder", f.options.funder)
	}
	app, known := f.in.target.Clients[f.options.app]
	if !known {
		return nil, fmt.Errorf("the target has no client %q: say which signs users in, with --app", f.options.app)
	}
	deposits, err := f.token(ctx, url.Values{
		"grant_type": {"client_credentials"}, "client_id": {client.ID}, "client_secret": {client.Secret}, "scope": {"wallet:deposit"},
	})
	if err != nil {
		return nil, err
	}
	var all []bench.Payer
	for run := strings.ToLower(rand.Text()[:10]); len(all) < f.options.users; step(len(all)) {
		name, password := fmt.Sprintf("bench-%s-%d", run, len(all)), secret.New(rand.Text())
		u, err := f.kit.Users.Create(ctx, operator(), name, &password)
		if err != nil {
			return all, err
		}
		all = append(all, bench.Payer{User: u.ID})
		if err := f.deposit(ctx, deposits.Access, u.ID); err != nil {
			return all, err
		}
		signedIn, err := f.token(ctx, url.Values{
			"grant_type": {"password"}, "client_id": {app.ID}, "terminal": {string(storage.Mobile)}, "username": {name}, "password": {password.Reveal()},
		})
		if err != nil {
			return all, err
		}
		issued, err := issuedAt(signedIn.Access)
		if err != nil {
			return all, err
		}
		p := &all[len(all)-1]
		p.Token = signedIn.Access
		p.Bearer = storage.Bearer{Session: storage.SessionID(signedIn.Session), Client: storage.ClientID(app.ID), IssuedAt: issued}
	}
	return all, nil
}

// disable ends what the bench began. It goes on after the bench was interrupted.
func (f *funder) disable(ctx context.Context, payers []bench.Payer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), benchAsk)
	defer cancel()
	for _, p := range payers {
		_, _ = f.kit.Users.Disable(ctx, operator(), p.User) // what is left over can be disabled by hand
	}
}

type benchToken struct {
	Access  string `json:"access_token"`
	Session string `json:"session_id"`
}

func (f *funder) token(ctx context.Context, form url.Values) (benchToken, error) {
	var t benchToken
	err := f.ask(ctx, f.in.target.Issuer+"/oauth2/token", []byte(form.Encode()), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, &t)
	if err == nil && t.Access == "" {
		err = errors.New("the answer has no access token")
	}
	if err != nil {
		return t, fmt.Errorf("token for %s: %w", form.Get("client_id"), err)
	}
	return t, nil
}

func (f *funder) deposit(ctx context.Context, token string, user storage.UserID) error {
	order, err := json.Marshal(map[string]any{"user": user, "amount": benchMoney, "currency": f.options.currency, "reference": "bench"})
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}, "Idempotency-Key": {rand.Text()}}
	if err := f.ask(ctx, f.in.target.API+"/v1/deposits", order, header, nil); err != nil {
		return fmt.Errorf("deposit: %w", err)
	}
	return nil
}

// ask posts a request and reads its answer into an object.
func (f *funder) ask(ctx context.Context, address string, body []byte, header http.Header, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = header
	answer, err := f.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, benchAnswer))
	if err != nil {
		return err
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		var refusal struct {
			Code  string `json:"code"`
			Error string `json:"error"`
		}
		_ = json.Unmarshal(text, &refusal) // without either the status has to do
		return fmt.Errorf("answered %d %s%s", answer.StatusCode, refusal.Error, refusal.Code)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// issuedAt reads when a token was issued. The token came from its issuer; nothing depends on its signature here.
func issuedAt(token string) (time.Time, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, errors.New("the access token is no JWT")
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, fmt.Errorf("claims of the access token: %w", err)
	}
	var c struct {
		IssuedAt json.Number `json:"iat"`
	}
	if err := json.Unmarshal(claims, &c); err != nil {
		return time.Time{}, fmt.Errorf("claims of the access token: %w", err)
	}
	seconds, err := c.IssuedAt.Float64()
	return time.Unix(int64(seconds), 0), err
}
