package resource_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestMetadataComesBack(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.purse("tom", 1000)
	amy, amyToken := s.purse("amy", 0)
	app := s.internal("wallet:deposit wallet:withdraw wallet:hold wallet:reverse")
	const given, kept = `"metadata": {"table":"窗 <7>", "order":"4711"}`, `"metadata":{"order":"4711","table":"窗 \u003c7\u003e"}`
	to := fmt.Sprintf(`{"to":%q,"amount":100,"currency":"CNY",`, amy)
	user := fmt.Sprintf(`{"user":%q,"amount":10,"currency":"CNY","reference":"r",`, tom)
	paid := s.transfer(tomToken, "t", to+given+"}")
	held := s.post("/v1/holds", tomToken, "h", to+given+"}")
	plain := s.post("/v1/holds", tomToken, "h-0", to[:len(to)-1]+"}")
	answers := map[string]got{
		"transfer": paid, "hold": held,
		"reversal":              s.post(paid.header.Get("Location")+"/reversals", amyToken, "r", `{"amount":1,`+given+`}`),
		"capture of its own":    s.post(plain.header.Get("Location")+"/capture", amyToken, "c-0", `{`+given+`}`),
		"capture of the hold's": s.post(held.header.Get("Location")+"/capture", amyToken, "c", ``+`{"amount":5}`),
		"deposit":               s.post("/v1/deposits", app, "d", user+given+"}"),
		"withdrawal":            s.post("/v1/withdrawals", app, "w", user+given+"}"),
	}
	for name, g := range answers {
		s.made(g)
		if !strings.Contains(g.text(), kept) {
			t.Errorf("%s: %s", name, g.body)
		}
		if at := g.header.Get("Location"); at != "" && name != "hold" {
			if read := s.do(call{http.MethodGet, at, tomToken, "", nil}); read.text() != g.text() {
				t.Errorf("%s reads %s, was answered %s", name, read.body, g.body)
			}
		}
	}
	// The order of names and the spaces between them are no other request; another value is.
	if g := s.transfer(tomToken, "t", to+`"metadata":{"order":"4711","table":"窗 <7>"}}`); g.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same in another order: %d %s", g.status, g.body)
	}
	for _, other := range []string{`"metadata":{"order":"4711","table":"窗 <8>"}}`, `"metadata":{}}`} {
		if g := s.transfer(tomToken, "t", to+other); g.code() != "idempotency_key_reused" {
			t.Errorf("with %s: %d %s", other, g.status, g.body)
		}
	}
	if strings.Contains(s.transfer(tomToken, "none", to+`"metadata":{}}`).text(), "metadata") {
		t.Error("none are told as some")
	}
	s.verify()
}

func TestRefusalsOfMetadata(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	_, token := s.purse("tom", 1000)
	amy := s.user("amy")
	many := func(n, size int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(`"k%02d":%q`, i, strings.Repeat("x", size))
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	for name, c := range map[string]struct{ metadata, says string }{
		"a list":                 {`["a"]`, "metadata: must be an object of strings, not an array"},
		"null":                   {`null`, "metadata: must be an object of strings, not null"},
		"a number":               {`{"a":1}`, `metadata: \"a\" must be a string, not a number`},
		"an object in it":        {`{"a":{"b":"c"}}`, `metadata: \"a\" must be a string, not an object`},
		"a key twice":            {`{"a":"b","a":"b"}`, `metadata: \"a\" is there twice`},
		"a key twice, escaped":   {`{"a":"b","\u0061":"b"}`, `metadata: \"a\" is there twice`},
		"21 keys":                {many(21, 1), "metadata: has more than 20 keys"},
		"an empty key":           {`{"":"b"}`, "a key: 0 bytes"},
		"a long key":             {`{"` + strings.Repeat("k", 41) + `":"b"}`, "a key: 41 bytes"},
		"a long value":           {many(1, 257), "257 bytes is not between"},
		"too much in all":        {many(10, 250), "bytes of JSON are more than 2048"},
		"a control character":    {`{"a":"b\u0007"}`, "control character"},
		"half a surrogate":       {`{"a":"\ud83d"}`, "surrogate"},
		"half a surrogate's key": {`{"\ud83d":"a"}`, "not Unicode"},
	} {
		g := s.transfer(token, "k", fmt.Sprintf(`{"to":%q,"amount":1,"currency":"CNY","metadata":%s}`, amy, c.metadata))
		if g.status != http.StatusBadRequest || g.code() != "invalid_request" || !strings.Contains(g.text(), c.says) {
			t.Errorf("%s: %d %s, want 400 with %s", name, g.status, g.body, c.says)
		}
	}
	s.made(s.transfer(token, "k", fmt.Sprintf(`{"to":%q,"amount":1,"currency":"CNY","metadata":%s}`, amy, many(20, 90))))
}
