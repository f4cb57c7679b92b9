package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	wireVersion = 1

	maxWord = 64  // of an identifier, a reason, a terminal
	maxText = 512 // of a device name
	maxKey  = 512 // of what a claim may hold
	// maxSpan is longer than any access token lives.
	maxSpan = 400 * 24 * time.Hour
)

// begun, heard and farewell are messages of the stream, see package authserver/events.
type begun struct {
	Version int    `json:"v"`
	Mode    string `json:"mode"`
	Because string `json:"because"`
	Moment  *int64 `json:"s"`
}

type heard struct {
	Moment *int64 `json:"s"`
	Age    int64  `json:"age"`
}

type farewell struct {
	Why    string `json:"why"`
	Reason string `json:"reason"`
}

// ended is one end.
type ended struct {
	ID           string         `json:"id"`
	Session      string         `json:"sid"`
	Client       string         `json:"client_id"`
	JTI          string         `json:"jti"`
	Reason       storage.Reason `json:"reason"`
	SupersededBy *superseder    `json:"superseded_by"`
	EndedAt      time.Time      `json:"ended_at"`
	Until        time.Time      `json:"until"`
}

type superseder struct {
	Terminal   storage.Terminal `json:"terminal"`
	DeviceName string           `json:"device_name"`
	At         time.Time        `json:"at"`
}

func (s *superseder) storage() *storage.Superseder {
	return &storage.Superseder{Terminal: s.Terminal, DeviceName: s.DeviceName, At: s.At}
}

// parseEnded reads an end and believes nothing that could not be so.
func parseEnded(data []byte) (storage.Event, error) {
	var w ended
	if err := json.Unmarshal(data, &w); err != nil {
		return storage.Event{}, fmt.Errorf("not an end: %w", err)
	}
	e := storage.Event{
		ID: storage.EventID(w.ID), Until: w.Until.UTC(),
		End: storage.End{Reason: w.Reason, At: w.EndedAt.UTC()},
	}
	named := 0
	for subject, key := range map[storage.Subject]string{
		storage.SubjectSession: w.Session, storage.SubjectClient: w.Client, storage.SubjectToken: w.JTI,
	} {
		if key != "" {
			named++
			e.Subject, e.Key = subject, key
		}
	}
	if by := w.SupersededBy; by != nil {
		e.End.By = by.storage()
	}
	switch {
	case named != 1:
		return storage.Event{}, errors.New("an end must name one session, client or token")
	case w.Reason == "" || !word(string(w.Reason)) || !word(w.ID) || len(e.Key) > maxKey:
		return storage.Event{}, errors.New("a name is missing or malformed")
	case e.End.By != nil && (!word(string(e.End.By.Terminal)) || len(e.End.By.DeviceName) > maxText):
		return storage.Event{}, errors.New("superseded_by is malformed")
	case w.EndedAt.Unix() <= 0 || w.Until.Sub(w.EndedAt) > maxSpan:
		return storage.Event{}, errors.New("a time is out of range")
	}
	return e, nil
}

// word says that s is printable ASCII without spaces, and short.
func word(s string) bool {
	return len(s) <= maxWord && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
