package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

var at = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func TestRecordSaysWhoWhatFromWhereWhen(t *testing.T) {
	t.Parallel()
	r := audit.Origin{Actor: "client:billing", Client: "billing", Address: "192.0.2.1"}.Record(audit.UserKicked, at)
	want := storage.AuditRecord{ID: r.ID, At: at, Action: "user.kicked", Result: "ok", Actor: "client:billing", Client: "billing", Address: "192.0.2.1"}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if len(r.ID) != storage.IDLength {
		t.Errorf("ID %q is not an identifier", r.ID)
	}
	if got := audit.Operator("root").Record(audit.KeyAdded, at).Actor; got != "operator:root" {
		t.Errorf("actor of an operator: %q", got)
	}
	if got := audit.System().Actor; got != "system" {
		t.Errorf("actor of the system: %q", got)
	}
}

func TestDetailHidesSecrets(t *testing.T) {
	t.Parallel()
	got := audit.Detail(
		"password", "hunter2", "Client_Secret", "x", "refresh_token", "y", "code", "1234", "password_hash", "z",
		"note", "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ0b20ifQ.c2ln", "other", "tss_abc", "typed", secret.New("hunter2"),
		"product", "shop", "sessions", 3, "empty", "", "odd")
	const hidden = "[redacted]"
	want := map[string]string{
		"password": hidden, "Client_Secret": hidden, "refresh_token": hidden, "code": hidden, "password_hash": hidden,
		"note": hidden, "other": hidden, "typed": hidden, "product": "shop", "sessions": "3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("detail (-want +got):\n%s", diff)
	}
}

func TestDetailIsBounded(t *testing.T) {
	t.Parallel()
	var pairs []any
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		pairs = append(pairs, string(c), strings.Repeat("é\xff\"", 200))
	}
	d := audit.Detail(pairs...)
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > audit.MaxDetail {
		t.Errorf("detail has %d bytes, more than %d", len(b), audit.MaxDetail)
	}
	if d["truncated"] != "true" {
		t.Error("a detail that was cut does not say so")
	}
	if len(d) < 3 {
		t.Errorf("almost nothing is left: %v", d)
	}
	for name, value := range d {
		if len(value) > audit.MaxValue || !utf8.ValidString(value) {
			t.Errorf("%s: %d bytes, valid UTF-8: %v", name, len(value), utf8.ValidString(value))
		}
	}
}

func TestAppendStoresAlsoWhenTheCallerHasGone(t *testing.T) {
	t.Parallel()
	store := engine.Open(t)
	trail := open(t, audit.Config{Store: store})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := audit.System().Record(audit.SignInRefused, at)
	r.Result, r.Client, r.Address = "invalid_client", storage.ClientID("schlüssel\n"+strings.Repeat("x", 100)), "::1%\u2603"
	trail.Append(ctx, r)
	list, err := store.ListAudit(t.Context(), at, "", 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("list: %v, %v", list, err)
	}
	if got := list[0]; got.Result != "invalid_client" || got.Address != "::1%???" || !strings.HasPrefix(string(got.Client), "schl??ssel?x") || len(got.Client) != 64 {
		t.Errorf("stored: %+v", got)
	}
}

func TestAppendNeverFailsAndLogsWhatIsLost(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	trail := open(t, audit.Config{Store: failing{}, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	r := audit.Operator("root").Record(audit.UserCreated, at)
	r.User = "sub1"
	trail.Append(t.Context(), r)
	for _, want := range []string{"user.created", "operator:root", "sub1", "disk on fire"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
}

func TestAppendWaitsNoLongerThanItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		trail := open(t, audit.Config{Store: stuck{}, Log: slog.New(slog.NewTextHandler(&log, nil)), Timeout: time.Second, InFlight: 1})
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			trail.Append(context.Background(), audit.System().Record("first", at))
		}()
		synctest.Wait() // the first is stuck in the store
		trail.Append(context.Background(), audit.System().Record("second", at))
		if waited := time.Since(began); waited != 0 {
			t.Errorf("with too many in flight, appending took %s", waited)
		}
		<-done
		if !strings.Contains(log.String(), "second") {
			t.Errorf("the dropped record is not in the log: %s", log.String())
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("a stuck store held the caller for %s", waited)
		}
	})
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]audit.Config{
		"no store":         {},
		"negative timeout": {Store: failing{}, Timeout: -1},
		"negative bound":   {Store: failing{}, InFlight: -1},
	} {
		if _, err := audit.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func open(t *testing.T, c audit.Config) *audit.Trail {
	t.Helper()
	trail, err := audit.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

// failing is a store that fails, stuck one that does not answer.
type (
	failing struct{ storage.Audit }
	stuck   struct{ storage.Audit }
)

func (failing) Append(context.Context, storage.AuditRecord) error { return errors.New("disk on fire") }

func (stuck) Append(ctx context.Context, _ storage.AuditRecord) error {
	<-ctx.Done()
	return ctx.Err()
}
