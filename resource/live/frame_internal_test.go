package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
)

func TestFramesThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ frame, says string }{
		"empty":             {"", "JSON object"},
		"a list":            {`[]`, "JSON object"},
		"no type":           {`{"id":1}`, "type: is missing"},
		"type of a number":  {`{"type":7}`, "type: must be a text"},
		"null type":         {`{"type":null}`, "type: must be a text"},
		"id with fraction":  {`{"id":1.5,"type":"x"}`, "id: must be"},
		"id of an object":   {`{"id":{},"type":"x"}`, "id: must be"},
		"long id":           {`{"id":"` + strings.Repeat("x", 64) + `","type":"x"}`, "at most 64 bytes"},
		"two types":         {`{"type":"x","type":"y"}`, `"type": is there twice`},
		"two by an escape":  {`{"type":"x","\u0074ype":"y"}`, `"type": is there twice`},
		"two members":       {`{"type":"x","a":1,"a":2}`, `"a": is there twice`},
		"more behind":       {`{"type":"x"} {}`, "after the JSON object"},
		"half":              {`{"type":"x"`, "ends too early"},
		"half a member":     {`{"type":"x","a"`, "not JSON"},
		"not UTF-8":         {"{\"type\":\"\xff\"}", "UTF-8"},
		"deep":              {`{"type":"x","a":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`, "too deeply"},
		"half a pair":       {`{"type":"x","a":"\ud800"}`, "surrogate"},
		"second half":       {`{"type":"x","a":"\udc00"}`, "surrogate"},
		"two first halves":  {`{"type":"x","a":"\ud800\ud800"}`, "surrogate"},
		"many members":      {`{"type":"x"` + manyMembers(64) + `}`, "more than 64 members"},
		"token of a number": {`{"type":"x","token":1}`, "token: must be a text"},
	} {
		_, err := parse([]byte(c.frame))
		refusal, ok := errors.AsType[*guard.Refusal](err)
		if !ok || refusal.Code != guard.InvalidRequest || !strings.Contains(refusal.Description, c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"m` + strings.Repeat("x", i) + `":1`)
	}
	return b.String()
}

func TestFrameIsTakenApart(t *testing.T) {
	t.Parallel()
	f, err := parse([]byte(" {\"a\": \"\\ud83d\\ude00\",\"id\":\"q\",\"to\\n\":{\"b\":[1]},\"type\":\"x\",\"token\":\"t\"}\n"))
	if err != nil || string(f.id) != `"q"` || f.typ != "x" || f.token != "t" || string(f.body) != `{"a":"\ud83d\ude00","to\n":{"b":[1]}}` {
		t.Errorf("%s %+v %v", f.body, f, err)
	}
	f, err = parse([]byte(`{"type":"x"}`))
	if err != nil || f.id != nil || string(f.body) != `{}` {
		t.Errorf("%s %+v %v", f.body, f, err)
	}
}

// FuzzFrame holds what a stranger sends to the promises of the parser: what is accepted is one JSON object, and its
// parts are those of the object as encoding/json reads it; the answer carries the same id.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{
		`{"id":1,"type":"ping"}`, `{"type":"transfer","to":"u","amount":1250,"currency":"CNY","idempotency_key":"k"}`,
		`{"id":"é😀","type":"x","token":"t","a":[{}]}`, `{"type":"x","type":"y"}`, `{`, `[]`, `null`, `{"type":"\ud800"}`,
		`{"id":-9223372036854775808,"type":"x"}`, `{"TYPE":"x"}`, "{\"type\":\"x\"}\x00", `{"type":"x","a":1e999}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fr, err := parse(data)
		if err != nil {
			if r := refused(err); r.status != 400 || !json.Valid(r.body) {
				t.Fatalf("%d %s", r.status, r.body)
			}
			return
		}
		var whole, body map[string]json.RawMessage
		if json.Unmarshal(data, &whole) != nil || json.Unmarshal(fr.body, &body) != nil {
			t.Fatalf("accepted, but not JSON: %q, body %q", data, fr.body)
		}
		for name, value := range whole {
			if slices.Contains([]string{"id", "type", "token"}, name) {
				continue
			}
			if !bytes.Equal(bytes.TrimSpace(body[name]), bytes.TrimSpace(value)) {
				t.Fatalf("member %q: %q is not %q", name, body[name], value)
			}
			delete(body, name)
		}
		if len(body) != 0 || !bytes.Equal(whole["id"], fr.id) {
			t.Fatalf("%q: too much in the body: %v, or another id: %q", data, body, fr.id)
		}
		b, err := render(fr.id, typePong, none{})
		if err != nil || !json.Valid(b) {
			t.Fatalf("answer %q: %v", b, err)
		}
	})
}

func TestBucket(t *testing.T) {
	t.Parallel()
	b := bucket{perSecond: 10, burst: 3}
	now := time.Unix(0, 0)
	takes := func(want ...bool) {
		t.Helper()
		for i, w := range want {
			if b.take(now) != w {
				t.Errorf("take %d: %v", i, !w)
			}
		}
	}
	takes(true, true, true, false, false)
	now = now.Add(100 * time.Millisecond)
	takes(true, false)
	now = now.Add(-time.Hour) // a clock that steps back gives nothing away, and takes nothing for long
	takes(false)
	now = now.Add(time.Hour)
	takes(true, true, true, false)
}
