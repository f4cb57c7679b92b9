package walletapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/outbox"
	"github.com/tallystick/tallystick/resource/problem"
	"github.com/tallystick/tallystick/storage"
)

// Webhooks is the management of webhooks over HTTP, for administrators.
type Webhooks struct{ desk *outbox.Desk }

// NewWebhooks builds the handlers over a desk.
func NewWebhooks(d *outbox.Desk) *Webhooks { return &Webhooks{d} }

// webhookShape is a webhook as it is answered.
type webhookShape struct {
	ID             storage.Destination `json:"id"`
	Secret         string              `json:"secret,omitempty"`
	URL            string              `json:"url"`
	Description    string              `json:"description"`
	Events         []string            `json:"events"`
	Number         int64               `json:"number"`
	Waiting        int64               `json:"waiting"`
	Dead           int64               `json:"dead"`
	LastTakenAt    time.Time           `json:"last_taken_at"`
	FailingSince   *time.Time          `json:"failing_since,omitempty"`
	DisabledAt     *time.Time          `json:"disabled_at,omitempty"`
	DisabledWhy    string              `json:"disabled_why,omitempty"`
	OldSecretUntil *time.Time          `json:"old_secret_until,omitempty"`
	CreatedAt      time.Time           `json:"created_at"`
	UpdatedAt      time.Time           `json:"updated_at"`
}

func webhookOf(s *outbox.Standing, text secret.Text) webhookShape {
	return webhookShape{
		ID: s.ID, Secret: text.Reveal(), URL: s.URL, Description: s.Description, Events: append([]string{}, s.Events...),
		Number: s.State.Number, Waiting: s.State.Waiting, Dead: s.State.Dead, LastTakenAt: s.State.TakenAt, FailingSince: s.State.FailingAt,
		DisabledAt: s.DisabledAt, DisabledWhy: s.DisabledWhy, OldSecretUntil: s.OldUntil, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
}

// List answers GET /admin/v1/webhooks: all of them, at most [storage.MaxWebhooks].
func (a *Webhooks) List(c *gin.Context) error {
	list, err := a.desk.List(c.Request.Context())
	if err != nil {
		return err
	}
	shapes := make([]webhookShape, len(list))
	for i := range list {
		shapes[i] = webhookOf(&list[i], secret.Text{})
	}
	return answer(c, http.StatusOK, map[string]any{"webhooks": shapes})
}

// Create answers POST /admin/v1/webhooks. The answer alone tells the secret.
func (a *Webhooks) Create(c *gin.Context) error {
	var draft outbox.Draft
	var after int64
	var begin bool
	err := readBody(c.Writer, c.Request,
		text("url", true, &draft.URL), text("description", false, &draft.Description), texts("events", &draft.Events),
		integer("after", &after, &begin))
	if err != nil {
		return err
	}
	if begin {
		draft.After = &after
	}
	w, key, err := a.desk.Create(c.Request.Context(), origin(c), draft)
	if err != nil {
		return webhookRefusal(err)
	}
	c.Header("Location", "/admin/v1/webhooks/"+string(w.ID))
	return a.show(c, http.StatusCreated, w.ID, key)
}

// Show answers GET /admin/v1/webhooks/:id.
func (a *Webhooks) Show(c *gin.Context) error {
	return a.show(c, http.StatusOK, webhookID(c), secret.Text{})
}

func (a *Webhooks) show(c *gin.Context, status int, id storage.Destination, key secret.Text) error {
	s, err := a.desk.Show(c.Request.Context(), id)
	if err != nil {
		return err
	}
	return answer(c, status, webhookOf(&s, key))
}

// Update answers PATCH /admin/v1/webhooks/:id.
func (a *Webhooks) Update(c *gin.Context) error {
	var url, description string
	var events []string
	var disabled bool
	var change outbox.Change
	err := readBody(c.Writer, c.Request,
		said(text("url", false, &url), func() { change.URL = &url }),
		said(text("description", false, &description), func() { change.Description = &description }),
		said(texts("events", &events), func() { change.Events = &events }),
		said(truth("disabled", &disabled), func() { change.Disabled = &disabled }))
	if err != nil {
		return err
	}
	if err := a.desk.Update(c.Request.Context(), origin(c), webhookID(c), change); err != nil {
		return webhookRefusal(err)
	}
	return a.show(c, http.StatusOK, webhookID(c), secret.Text{})
}

// Delete answers DELETE /admin/v1/webhooks/:id.
func (a *Webhooks) Delete(c *gin.Context) error {
	if err := a.desk.Delete(c.Request.Context(), origin(c), webhookID(c)); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// Rotate answers POST /admin/v1/webhooks/:id/secret {"overlap_seconds"?}: a new secret, told here alone.
func (a *Webhooks) Rotate(c *gin.Context) error {
	overlap, given := int64(outbox.DefaultOverlap/time.Second), false
	if err := readOptionalBody(c.Writer, c.Request, integer("overlap_seconds", &overlap, &given)); err != nil {
		return err
	}
	overlap = min(max(overlap, -1), int64(outbox.MaxOverlap/time.Second)+1) // a duration has no room for all numbers
	key, err := a.desk.Rotate(c.Request.Context(), origin(c), webhookID(c), time.Duration(overlap)*time.Second)
	if err != nil {
		return webhookRefusal(err)
	}
	return a.show(c, http.StatusOK, webhookID(c), key)
}

// Test answers POST /admin/v1/webhooks/:id/test, whose body has no fields: what came of an event that was sent now.
func (a *Webhooks) Test(c *gin.Context) error {
	if err := readOptionalBody(c.Writer, c.Request); err != nil {
		return err
	}
	trial, err := a.desk.Test(c.Request.Context(), webhookID(c))
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, struct {
		Taken  bool   `json:"taken"`
		Status int    `json:"status,omitempty"`
		Fault  string `json:"fault,omitempty"`
	}{trial.Taken, trial.Status, trial.Fault})
}

// deadShape is an event that was given up.
type deadShape struct {
	Number    int64             `json:"number"`
	Event     string            `json:"event_id"`
	Journal   storage.JournalID `json:"journal_id"`
	From      storage.UserID    `json:"from,omitempty"`
	To        storage.UserID    `json:"to,omitempty"`
	Attempts  int               `json:"attempts"`
	LastFault string            `json:"last_fault"`
	LastAt    *time.Time        `json:"last_at"`
	DeadAt    *time.Time        `json:"dead_at"`
}

// Dead answers GET /admin/v1/webhooks/:id/dead?after=&limit=: events that were given up, by number.
func (a *Webhooks) Dead(c *gin.Context) error {
	values := c.Request.URL.Query()
	after, err := whole(values, "after", 0, 1<<62, 0)
	if err != nil {
		return err
	}
	limit, err := whole(values, "limit", 1, storage.MaxDeadPage, outbox.DefaultPage)
	if err != nil {
		return err
	}
	list, err := a.desk.Dead(c.Request.Context(), webhookID(c), after, int(limit))
	if err != nil {
		return err
	}
	shapes := make([]deadShape, len(list))
	for i := range list {
		d := &list[i]
		shapes[i] = deadShape{
			Number: d.Number, Event: outbox.EventID(d.Journal), Journal: d.Journal, From: d.From, To: d.To,
			Attempts: d.Attempts, LastFault: d.Fault, LastAt: d.LastAt, DeadAt: d.DeadAt,
		}
		after = d.Number
	}
	return answer(c, http.StatusOK, map[string]any{"dead": shapes, "next_after": after})
}

// Replay answers POST /admin/v1/webhooks/:id/replay {"number"?}: one event that was given up, or all of them, to
// be delivered after all.
func (a *Webhooks) Replay(c *gin.Context) error {
	var number int64
	var one bool
	if err := readOptionalBody(c.Writer, c.Request, integer("number", &number, &one)); err != nil {
		return err
	}
	if one && number < 1 {
		return invalid("number: %d is not the number of an event", number)
	}
	n, err := a.desk.Replay(c.Request.Context(), origin(c), webhookID(c), number)
	if err != nil {
		return webhookRefusal(err)
	}
	return answer(c, http.StatusOK, map[string]int{"replayed": n})
}

func webhookID(c *gin.Context) storage.Destination { return storage.Destination(c.Param("id")) }

// origin is who calls, for the audit record.
func origin(c *gin.Context) outbox.Origin {
	o := outbox.Origin{Address: c.ClientIP()}
	if p, err := principal(c); err == nil {
		o.Actor, o.Client = "client:"+string(p.Client), p.Client
	}
	return o
}

// webhookRefusal words what a desk refuses.
func webhookRefusal(err error) error {
	if bad, is := errors.AsType[*outbox.InvalidError](err); is {
		return invalid("%s", bad.Error())
	}
	switch {
	case errors.Is(err, storage.ErrStale):
		return &problem.Problem{Code: problem.Conflict, Detail: "somebody else changed the webhook at the same time; look at it and try again", Cause: err}
	case errors.Is(err, storage.ErrLimit):
		return &problem.Problem{
			Code: problem.Conflict, Cause: err,
			Detail: fmt.Sprintf("there are %d webhooks, or %d events that wait for this one; let some go first", storage.MaxWebhooks, storage.MaxWaiting),
		}
	}
	return err
}

// said is a field that tells that it was there.
func said(f field, then func()) field {
	set := f.set
	f.set = func(raw json.RawMessage) error {
		then()
		return set(raw)
	}
	return f
}

// texts is a field that holds an array of strings, at most as many as there are fields in a body.
func texts(name string, into *[]string) field {
	return field{name, false, func(raw json.RawMessage) error {
		var list []string
		if raw[0] != '[' || json.Unmarshal(raw, &list) != nil || len(list) > maxFields {
			return fmt.Errorf("must be an array of at most %d strings", maxFields)
		}
		*into = list
		return nil
	}}
}

// truth is a field that holds true or false.
func truth(name string, into *bool) field {
	return field{name, false, func(raw json.RawMessage) error {
		if s := strings.TrimSpace(string(raw)); s != "true" && s != "false" {
			return fmt.Errorf("must be true or false, not %s", kind(raw))
		}
		*into = raw[0] == 't'
		return nil
	}}
}

// integer is a field that holds a whole number; there says that it was there.
func integer(name string, into *int64, there *bool) field {
	return field{name, false, func(raw json.RawMessage) error {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return errors.New("must be a whole number")
		}
		*into, *there = n, true
		return nil
	}}
}
