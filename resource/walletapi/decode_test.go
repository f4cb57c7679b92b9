package walletapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/resource/problem"
)

// parsed is a body read twice: by this package and by the standard library.
type parsed struct {
	To       string `json:"to"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	Memo     string `json:"memo"`
}

func read(body []byte) (parsed, error) {
	var p parsed
	err := decode(body, []field{
		text("to", true, &p.To), minor("amount", &p.Amount), text("currency", true, &p.Currency), text("memo", false, &p.Memo),
	})
	return p, err
}

// FuzzDecode checks that whatever is understood means the same to the standard library, and that
// whatever is not is a problem of the caller's that can be shown.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"to":"a","amount":1,"currency":"CNY"}`, `{"to":"a","amount":1,"currency":"CNY","memo":"\ud83d\ude00 \ufffd"}`,
		`{"to":"\ud83d","amount":1,"currency":"CNY"}`, `{"to":"a","amount":1e3,"currency":"CNY"}`, `{"a":{"b":[1]}}`, `[`, `{}`, `{"to":"a"`, `nul`,
		`{"to":"a","to":"b","amount":1,"currency":"CNY"}`, `{"To":"a","amount":01,"currency":"CNY"}`, "\xff", `{"amount":-0}`, `{"amount":}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := read(body)
		if err != nil {
			p, shown := errors.AsType[*problem.Problem](err)
			if !shown || p.Status() >= 500 {
				t.Fatalf("%q: %v is not the caller's problem", body, err)
			}
			if b, err := json.Marshal(p); err != nil || len(b) > 1024 {
				t.Fatalf("%q: the problem is %d bytes, %v", body, len(b), err)
			}
			return
		}
		var want parsed
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%q is understood and is not JSON: %v", body, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-standard +ours):\n%s", body, diff)
		}
	})
}

func FuzzPrefer(f *testing.F) {
	for _, seed := range []string{"wait=3", `wait="3"`, "respond-async, wait=3;a=b", `x="wait=1, \"", wait=2`, "wait", "wait=-1", ",;,=\"", "WAIT = 9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		d := preferredWait(http.Header{"Prefer": {value}})
		if d == nil {
			return
		}
		if *d < 0 || *d > maxWait*time.Second || *d%time.Second != 0 || !strings.Contains(strings.ToLower(value), "wait") {
			t.Fatalf("%q: %s", value, *d)
		}
	})
}

func TestWhatIsPreferred(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{
		"wait=3": 3, "Wait=3": 3, `wait="3"`: 3, "wait = 3": 3, "wait=3; foo=bar": 3, "return=minimal, wait=10": 10, "wait=1, wait=2": 1,
		`foo="a, wait=9", wait=4`: 4, `foo="a\", wait=9", wait=4`: 4, "wait=0": 0, "wait=007": 7, "wait=18446744073709551617": maxWait,
		"": -1, "wait": -1, "wait=": -1, `wait=""`: -1, "wait=-1": -1, "wait=1.5": -1, "wait=x": -1, "await=3": -1, "foo; wait=3": -1,
		strings.Repeat("a,", 600) + "wait=1": -1,
	} {
		got := -1
		if d := preferredWait(http.Header{"Prefer": {value}}); d != nil {
			got = int(*d / time.Second)
		}
		if got != want {
			t.Errorf("Prefer %.60q: %d, want %d", value, got, want)
		}
	}
	if d := preferredWait(http.Header{"Prefer": {"respond-async", "wait=5"}}); d == nil || *d != 5*time.Second {
		t.Errorf("in a second header: %v, want 5s", d)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"memo", "memo", 0}, {"meno", "memo", 1}, {"mem", "memo", 1}, {"memoo", "memo", 1}, {"", "memo", 4}, {"kitten", "sitting", 3}, {"ammount", "amount", 1}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
