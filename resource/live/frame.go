package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/resource/guard"
)

// The types of frame that are answered by the room itself.
const (
	typeHello = "hello"
	typeLogin = "login"
	typeAuth  = "auth"
	typeLeave = "sign_out"
	typePing  = "ping"
	typePong  = "pong"
	typeError = "error"
	typeEnded = "session.ended"
	typeBye   = "bye"
)

// The codes of refusals that no other room has.
const (
	codeSlowDown  guard.Code = "slow_down"
	codeNotServed guard.Code = "not_served_here"
)

const (
	maxID      = 64 // bytes of an id as it stands in the frame
	maxMembers = 64
	maxDepth   = 8
	maxShown   = 40 // bytes of a stranger's text told back
)

// reserved says whether a name is one that no command may have.
func reserved(name string) bool {
	return slices.Contains([]string{typeHello, typeLogin, typeAuth, typeLeave, typePing, typePong, typeError, typeEnded, typeBye, ""}, name)
}

// frame is what a connection sent.
type frame struct {
	id    json.RawMessage // a text or a whole number as it was sent; nil for none
	typ   string
	token string
	// body has the other members.
	body json.RawMessage
}

// parse reads a frame. Of one that is not understood it returns what it could read: its id, if that came
// before.
func parse(data []byte) (frame, error) {
	var f frame
	switch {
	case !utf8.Valid(data):
		return f, invalid("the frame is not valid UTF-8")
	case tooDeep(data):
		return f, invalid("the frame is nested too deeply")
	case loneSurrogate(data):
		return f, invalid("the frame has half of a surrogate pair, which is not Unicode")
	}
	var body bytes.Buffer
	err := eachMember(data, func(name string, key, value json.RawMessage) (err error) {
		switch name {
		case "id":
			f.id, err = identifier(value)
		case "type":
			f.typ, err = text(name, value)
		case "token":
			f.token, err = text(name, value)
		default:
			separator := byte(',')
			if body.Len() == 0 {
				separator = '{'
			}
			body.WriteByte(separator)
			body.Write(key)
			body.WriteByte(':')
			body.Write(value)
		}
		return err
	})
	if err == nil && f.typ == "" {
		err = invalid("type: is missing")
	}
	if body.Len() == 0 {
		body.WriteByte('{')
	}
	body.WriteByte('}')
	f.body = body.Bytes()
	return f, err
}

// eachMember calls set for each member of a JSON object, with its name as it is and as it was written.
func eachMember(data []byte, set func(name string, key, value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return invalid("a frame is a JSON object")
	}
	var seen []string
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		switch {
		case err != nil || !ok:
			return invalid("the frame is not JSON")
		case len(seen) == maxMembers:
			return invalid("the frame has more than %d members", maxMembers)
		case slices.Contains(seen, name):
			return invalid("%q: is there twice", shown(name))
		}
		seen = append(seen, name)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return invalid("the frame is not JSON")
		}
		key, err := json.Marshal(name)
		if err != nil {
			return invalid("the frame is not JSON")
		}
		if err := set(name, key, value); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return invalid("the frame is not JSON: it ends too early")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalid("there is something after the JSON object")
	}
	return nil
}

// identifier takes an id as it was sent, so that its answer carries the same.
func identifier(value json.RawMessage) (json.RawMessage, error) {
	_, err := strconv.ParseInt(string(value), 10, 64)
	if (value[0] != '"' && err != nil) || len(value) > maxID {
		return nil, invalid("id: must be a text or a whole number, of at most %d bytes", maxID)
	}
	return value, nil
}

func text(name string, value json.RawMessage) (string, error) {
	var s string
	if value[0] != '"' || json.Unmarshal(value, &s) != nil {
		return "", invalid("%s: must be a text", name)
	}
	return s, nil
}

// tooDeep says whether brackets nest deeper than in any frame of ours.
func tooDeep(data []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch b := data[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return false
}

// loneSurrogate says whether an escape names half of a surrogate pair without the other: the decoder reads
// all such halves as one character, so that different passwords would be the same.
func loneSurrogate(data []byte) bool {
	for i := 0; i+1 < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		i++
		switch escaped(data, i) >> 10 {
		case 0xDC00 >> 10:
			return true
		case 0xD800 >> 10:
			next := i + len("uXXXX")
			if next+1 >= len(data) || data[next] != '\\' || escaped(data, next+1)>>10 != 0xDC00>>10 {
				return true
			}
			i = next + 1
		}
	}
	return false
}

// escaped is the code unit that the escape at i, behind its backslash, names; 0 if it names none.
func escaped(data []byte, i int) uint64 {
	if i+len("uXXXX") > len(data) || data[i] != 'u' {
		return 0
	}
	unit, err := strconv.ParseUint(string(data[i+1:i+len("uXXXX")]), 16, 16)
	if err != nil {
		return 0
	}
	return unit
}

// render writes a frame of the server: its id and type, and the members of an answer that is a JSON object.
func render(id json.RawMessage, typ string, answer any) ([]byte, error) {
	members, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("render answer: %w", err)
	}
	if len(members) < len("{}") || members[0] != '{' {
		return nil, errors.New("render answer: it is not a JSON object")
	}
	b := []byte{'{'}
	if id != nil {
		b = append(append(append(b, `"id":`...), id...), ',')
	}
	b = append(append(append(b, `"type":"`...), typ...), '"')
	if string(members) != "{}" {
		b = append(b, ',')
	}
	return append(b, members[1:]...), nil
}

// none is an answer without members.
type none struct{}

// refusal is an error as it is sent, and what the log and the metrics are told.
type refusal struct {
	code   string
	status int
	body   json.RawMessage
}

// refused says what the sender of a frame is told of an error: the body that it has over HTTP, with its code
// and its status ahead.
func refused(err error) refusal {
	var r refusal
	var after time.Duration
	var replayed bool
	if f, ok := errors.AsType[*Failure](err); ok {
		r, after, replayed = refusal{f.Code, f.Status, f.Body}, f.RetryAfter, f.Replayed
	} else {
		g := guard.RefusalOf(err)
		body, merr := json.Marshal(g)
		if merr != nil { // texts, a number and a time: there is nothing that can fail
			body = []byte(`{}`)
		}
		r, after = refusal{string(g.Code), g.Status, body}, g.RetryAfter
	}
	b := append([]byte(`{"error":`), strconv.Quote(r.code)...)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(r.status), 10)
	if after > 0 {
		b = strconv.AppendInt(append(b, `,"retry_after":`...), int64((after+time.Second-1)/time.Second), 10)
	}
	if replayed {
		b = append(b, `,"replayed":true`...)
	}
	rest := b
	merr := eachMember(r.body, func(name string, key, value json.RawMessage) error {
		if name != "error" && name != "status" && name != "retry_after" && name != "replayed" {
			rest = append(append(append(append(rest, ','), key...), ':'), value...)
		}
		return nil
	})
	if merr == nil {
		b = rest
	}
	b = append(b, '}')
	r.body = b
	return r
}

func invalid(format string, args ...any) error {
	return &guard.Refusal{Status: http.StatusBadRequest, Code: guard.InvalidRequest, Description: fmt.Sprintf(format, args...)}
}

// shown cuts a stranger's text to what is worth telling back.
func shown(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "…"
}
