package product_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/storage"
)

func rules(t *testing.T, cfg product.Config) *product.Rules {
	t.Helper()
	r, err := product.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	r := rules(t, product.Config{"shop": nil})
	const day = 24 * time.Hour
	want := []product.Rule{
		{Product: "shop", Terminal: storage.Mobile, Setting: product.Setting{Mode: storage.Kickout, AccessTTL: 15 * time.Minute, SessionTTL: 7 * day, MaxSessions: 10}},
		{Product: "shop", Terminal: storage.Browser, Setting: product.Setting{Mode: storage.Shared, AccessTTL: 15 * time.Minute, SessionTTL: 2 * day, MaxSessions: 10}},
		{Product: "shop", Terminal: storage.API, Setting: product.Setting{Mode: storage.Concurrent, AccessTTL: 15 * time.Minute, SessionTTL: 2 * time.Hour, MaxSessions: 10}},
	}
	if d := cmp.Diff(want, r.Rules("shop")); d != "" {
		t.Error(d)
	}
	if r.Longest() != 7*day {
		t.Errorf("longest %s", r.Longest())
	}
}

func TestOnlyNamedTerminalsAreOffered(t *testing.T) {
	t.Parallel()
	r := rules(t, product.Config{"b": {storage.API: {Mode: storage.Kickout, SessionTTL: time.Minute}}, "a": {}})
	if d := cmp.Diff([]string{"a", "b"}, r.Products()); d != "" {
		t.Error(d)
	}
	rule, err := r.Rule("b", storage.API)
	if err != nil || rule.Mode != storage.Kickout || rule.AccessTTL != time.Minute {
		t.Errorf("rule %+v, %v", rule, err)
	}
	for name, ask := range map[string]func() error{
		"another terminal": func() error { _, err := r.Rule("b", storage.Mobile); return err },
		"another product":  func() error { _, err := r.Rule("c", storage.API); return err },
	} {
		if ask() == nil {
			t.Errorf("%s was found", name)
		}
	}
	if r.Rules("c") != nil {
		t.Error("a product there is not has rules")
	}
}

func TestEveryFaultIsListed(t *testing.T) {
	t.Parallel()
	err := product.Config{
		"Shop!": nil,
		"shop": {
			"fridge":       {},
			storage.Mobile: {Mode: "exclusive", AccessTTL: 25 * time.Hour, SessionTTL: 401 * 24 * time.Hour, MaxSessions: -1},
			storage.API:    {AccessTTL: time.Hour, SessionTTL: time.Minute, IdleTTL: 1500 * time.Millisecond},
			storage.Browser: {
				AccessTTL: -time.Second, IdleTTL: 3 * 24 * time.Hour, MaxSessions: 1001,
			},
		},
	}.Validate()
	if err == nil {
		t.Fatal("no fault found")
	}
	var keys []string
	for line := range strings.Lines(err.Error()) {
		key, _, _ := strings.Cut(line, ": ")
		keys = append(keys, key)
	}
	want := []string{
		"products.Shop!",
		"products.shop.terminals.api.idle_ttl", "products.shop.terminals.api.access_ttl",
		"products.shop.terminals.browser.access_ttl", "products.shop.terminals.browser.idle_ttl", "products.shop.terminals.browser.max_sessions",
		"products.shop.terminals.fridge",
		"products.shop.terminals.mobile.mode", "products.shop.terminals.mobile.access_ttl", "products.shop.terminals.mobile.session_ttl",
		"products.shop.terminals.mobile.max_sessions",
	}
	if d := cmp.Diff(want, keys); d != "" {
		t.Errorf("%s\n%v", d, err)
	}
	if (product.Config{}).Validate() == nil {
		t.Error("no product at all is no fault")
	}
	if _, err := product.New(nil); err == nil {
		t.Error("rules of nothing")
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	second := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	now := second.Add(999 * time.Millisecond).In(time.FixedZone("", 3600))
	after := second.Add
	for name, c := range map[string]struct {
		setting product.Setting
		end     time.Time // of a session that is refreshed; zero for one that is opened
		want    product.Times
	}{
		"opened": {
			setting: product.Setting{SessionTTL: time.Hour},
			want:    product.Times{IssuedAt: second, SessionEnd: after(time.Hour), IdleEnd: after(time.Hour), AccessEnd: after(15 * time.Minute)},
		},
		"opened with an idle limit": {
			setting: product.Setting{SessionTTL: time.Hour, IdleTTL: 20 * time.Minute},
			want:    product.Times{IssuedAt: second, SessionEnd: after(time.Hour), IdleEnd: after(20 * time.Minute), AccessEnd: after(15 * time.Minute)},
		},
		"the access token is cut to the idle limit": {
			setting: product.Setting{SessionTTL: time.Hour, IdleTTL: time.Minute},
			want:    product.Times{IssuedAt: second, SessionEnd: after(time.Hour), IdleEnd: after(time.Minute), AccessEnd: after(time.Minute)},
		},
		"refreshed near the end": {
			setting: product.Setting{SessionTTL: time.Hour, IdleTTL: 30 * time.Minute},
			end:     after(10 * time.Minute),
			want:    product.Times{IssuedAt: second, SessionEnd: after(10 * time.Minute), IdleEnd: after(10 * time.Minute), AccessEnd: after(10 * time.Minute)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule, err := rules(t, product.Config{"shop": {storage.Mobile: c.setting}}).Rule("shop", storage.Mobile)
			if err != nil {
				t.Fatal(err)
			}
			got := rule.Opened(now)
			if !c.end.IsZero() {
				got = rule.Refreshed(now, c.end)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
