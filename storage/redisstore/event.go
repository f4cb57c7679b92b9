package redisstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	// field is the one field of a stream entry.
	field = "event"

	maxEntry      = 4 << 10 // bytes of an event
	maxWord       = 32      // of a reason, a terminal
	maxKey        = 64
	maxText       = 128                  // of a device name, an actor
	maxTokenLife  = 400 * 24 * time.Hour // no access token lives longer
	formatVersion = 1
)

// wire is an event as it travels. Times are microseconds since 1970.
type wire struct {
	Version  int    `json:"v"`
	ID       string `json:"id"`
	Subject  string `json:"subject"`
	Key      string `json:"key"`
	User     string `json:"user,omitempty"`
	Product  string `json:"product,omitempty"`
	Terminal string `json:"terminal,omitempty"`
	Reason   string `json:"reason"`
	At       int64  `json:"at"`
	Actor    string `json:"actor,omitempty"`
	By       *by    `json:"by,omitempty"`
	Until    int64  `json:"until"`
}

type by struct {
	Terminal string `json:"terminal"`
	Device   string `json:"device"`
	At       int64  `json:"at"`
}

func encode(e *storage.Event) ([]byte, error) {
	w := wire{
		Version: formatVersion,
		ID:      string(e.ID), Subject: string(e.Subject), Key: e.Key,
		User: string(e.User), Product: e.Product, Terminal: string(e.Terminal),
		Reason: string(e.End.Reason), At: e.End.At.UnixMicro(), Actor: e.End.Actor, Until: e.Until.UnixMicro(),
	}
	if s := e.End.By; s != nil {
		w.By = &by{string(s.Terminal), s.DeviceName, s.At.UnixMicro()}
	}
	return json.Marshal(w)
}

// decode reads an event and believes nothing. Numbers stay behind: they are the feed's.
func decode(b []byte) (storage.Event, error) {
	if len(b) > maxEntry {
		return storage.Event{}, errors.New("entry too long")
	}
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return storage.Event{}, fmt.Errorf("not an event: %w", err)
	}
	if err := w.check(); err != nil {
		return storage.Event{}, err
	}
	e := storage.Event{
		ID: storage.EventID(w.ID), Subject: storage.Subject(w.Subject), Key: w.Key,
		User: storage.UserID(w.User), Product: w.Product, Terminal: storage.Terminal(w.Terminal),
		End:   storage.End{Reason: storage.Reason(w.Reason), At: time.UnixMicro(w.At).UTC(), Actor: w.Actor},
		Until: time.UnixMicro(w.Until).UTC(),
	}
	if w.By != nil {
		e.End.By = &storage.Superseder{
			Terminal: storage.Terminal(w.By.Terminal), DeviceName: w.By.Device, At: time.UnixMicro(w.By.At).UTC(),
		}
	}
	return e, nil
}

func (w *wire) check() error {
	if w.Version != formatVersion {
		return fmt.Errorf("format %d is not known", w.Version)
	}
	switch storage.Subject(w.Subject) {
	case storage.SubjectSession, storage.SubjectClient, storage.SubjectToken:
	default:
		return errors.New("unknown subject")
	}
	if w.Key == "" || w.Reason == "" {
		return errors.New("a name is missing")
	}
	terminal, device := "", ""
	if w.By != nil {
		terminal, device = w.By.Terminal, w.By.Device
	}
	if !plain(w.ID, maxKey) || !plain(w.Key, maxKey) || !plain(w.User, maxKey) || !plain(w.Product, maxKey) ||
		!plain(w.Terminal, maxWord) || !plain(w.Reason, maxWord) || !plain(terminal, maxWord) ||
		len(w.Actor) > maxText || len(device) > maxText {
		return errors.New("a name is malformed")
	}
	if w.At <= 0 || w.Until < w.At || w.Until-w.At > maxTokenLife.Microseconds() {
		return errors.New("a time is out of range")
	}
	return nil
}

// plain says that s is printable ASCII without spaces, and not too long.
func plain(s string, limit int) bool {
	return len(s) <= limit && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
