package events

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// version is that of the wire format.
const version = 1

// maxPosition bounds the positions that are looked at.
const maxPosition = 128

// begin is the first message of a stream.
type begin struct {
	Version int    `json:"v"`
	Mode    string `json:"mode"`
	Because string `json:"because,omitempty"`
	Moment  int64  `json:"s"`
}

// The modes, and why a stream is a snapshot.
const (
	modeSnapshot = "snapshot"
	modeResume   = "resume"

	noPosition  = "no position"
	malformed   = "malformed"
	tooOld      = "too old"
	anotherFeed = "another feed"
)

// ended is one end.
type ended struct {
	ID           storage.EventID `json:"id,omitempty"`
	Session      string          `json:"sid,omitempty"`
	Client       string          `json:"client_id,omitempty"`
	JTI          string          `json:"jti,omitempty"`
	Reason       storage.Reason  `json:"reason"`
	Code         int             `json:"code"`
	SupersededBy *supersededBy   `json:"superseded_by,omitempty"`
	EndedAt      time.Time       `json:"ended_at"`
	Until        time.Time       `json:"until"`
}

type supersededBy struct {
	Terminal   storage.Terminal `json:"terminal"`
	DeviceName string           `json:"device_name"`
	At         time.Time        `json:"at"`
}

// heard says up to when a stream is complete.
type heard struct {
	Moment int64 `json:"s"`
	Age    int64 `json:"age"`
}

// bye is the last message of a stream.
type bye struct {
	Why    string         `json:"why"`
	Reason storage.Reason `json:"reason,omitempty"`
}

// Why a stream ends.
const (
	whyStopping    = "stopping"
	whyToken       = "token"
	whySlow        = "slow"
	whyUnavailable = "unavailable"
	whyGone        = "gone" // the reader; never sent
)

// endedFrame writes an end as it is sent.
func endedFrame(e *storage.Event) []byte {
	w := ended{
		ID: e.ID, Reason: e.End.Reason, Code: e.End.Reason.Code(), EndedAt: e.End.At.UTC(), Until: e.Until.UTC(),
	}
	switch e.Subject {
	case storage.SubjectSession:
		w.Session = e.Key
	case storage.SubjectClient:
		w.Client = e.Key
	case storage.SubjectToken:
		w.JTI = e.Key
	}
	if by := e.End.By; by != nil {
		w.SupersededBy = &supersededBy{by.Terminal, by.DeviceName, by.At.UTC()}
	}
	return frame("", "ended", w)
}

// frame is one message. The JSON of a message is one line: encoding/json escapes line breaks.
func frame(id, kind string, data any) []byte {
	body, err := json.Marshal(data)
	if err != nil { // texts, numbers, and times between 0 and 9999
		body = []byte("{}")
	}
	b := make([]byte, 0, len(id)+len(kind)+len(body)+24)
	if id != "" {
		b = append(append(append(b, "id: "...), id...), '\n')
	}
	b = append(append(append(b, "event: "...), kind...), '\n')
	return append(append(append(b, "data: "...), body...), '\n', '\n')
}

// position writes a place in the feed; empty for one that could not be recognized again.
func position(p guard.Place) string {
	if p.Number <= 0 || p.Event == "" {
		return ""
	}
	return strconv.FormatInt(p.Number, 10) + "-" + string(p.Event)
}

// parsePosition reads what position wrote.
func parsePosition(s string) (p guard.Place, ok bool) {
	number, event, found := strings.Cut(s, "-")
	if !found || len(s) > maxPosition || event == "" {
		return guard.Place{}, false
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || number[0] == '+' || number[0] == '0' {
		return guard.Place{}, false
	}
	return guard.Place{Number: n, Event: storage.EventID(event)}, true
}
