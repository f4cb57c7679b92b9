package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// SessionParam is the name of the path parameter of [Account.End].
const SessionParam = "sid"

// current stands for the session that asks.
const current = "current"

// maxPassword is the longest present password that is looked at, in bytes, as at the sign-in.
const maxPassword = 1024

// Session is a session as its user sees it.
type Session struct {
	Session    storage.SessionID `json:"session_id"`
	Product    string            `json:"product"`
	Terminal   storage.Terminal  `json:"terminal"`
	DeviceID   string            `json:"device_id"`
	DeviceName string            `json:"device_name"`
	Address    string            `json:"address"`
	UserAgent  string            `json:"user_agent"`
	CreatedAt  time.Time         `json:"created_at"`
	LastSeenAt time.Time         `json:"last_seen_at"`
	ExpiresAt  time.Time         `json:"expires_at"`
	// StartedBy is the session that handed this one over; left out for those that were not.
	StartedBy storage.SessionID `json:"started_by,omitempty"`
	Current   bool              `json:"current"`
}

func shapeOf(s *storage.Session) Session {
	return Session{
		Session: s.ID, Product: s.Product, Terminal: s.Terminal, DeviceID: s.Device.ID, DeviceName: s.Device.Name,
		Address: s.Device.Address, UserAgent: s.Device.UserAgent,
		CreatedAt: s.CreatedAt.UTC(), LastSeenAt: s.LastSeenAt.UTC(), ExpiresAt: s.ExpiresAt.UTC(),
	}
}

// listed is a list of sessions as it is sent.
type listed struct {
	Sessions []Session `json:"sessions"`
}

// List answers sessions.list, the same on a live connection: what [Account.Sessions] answers, to be rendered.
func (a *Account) List(ctx context.Context, p guard.Principal) (any, error) {
	list, err := a.Devices(ctx, p)
	return listed{list}, err
}

// Sessions is the handler of GET /v1/sessions.
func (a *Account) Sessions(c *gin.Context) error {
	p, _, err := caller(c)
	if err != nil {
		return err
	}
	if _, err := web.ParseQuery(c.Request); err != nil {
		return err
	}
	list, err := a.Devices(c.Request.Context(), p)
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, listed{list})
}

// End is the handler of DELETE /v1/sessions/{sid}.
func (a *Account) End(c *gin.Context) error {
	p, from, err := caller(c)
	if err != nil {
		return err
	}
	if _, err := web.ParseQuery(c.Request); err != nil {
		return err
	}
	if id := c.Param(SessionParam); id != current {
		return done(c, a.EndDevice(c.Request.Context(), p, storage.SessionID(id), from))
	}
	return done(c, a.leave(c.Request.Context(), p, from))
}

// EndOthers is the handler of DELETE /v1/sessions?except=current.
func (a *Account) EndOthers(c *gin.Context) error {
	p, from, err := caller(c)
	if err != nil {
		return err
	}
	query, err := web.ParseQuery(c.Request, "except", "started_by")
	if err != nil {
		return err
	}
	if origin := query.Get("started_by"); origin != "" && !query.Has("except") {
		if origin == current {
			origin = string(p.Session)
		}
		return done(c, a.EndStarted(c.Request.Context(), p, storage.SessionID(origin), from))
	}
	if query.Get("except") != current || query.Has("started_by") {
		return oauth.New(oauth.InvalidRequest, "say which sessions: except=current for all others, or started_by= and a session_id for all that it has handed over")
	}
	return done(c, a.EndOtherDevices(c.Request.Context(), p, from))
}

// Password is the handler of POST /v1/password.
func (a *Account) Password(c *gin.Context) error {
	p, from, err := caller(c)
	if err != nil {
		return err
	}
	if _, err := web.ParseQuery(c.Request); err != nil {
		return err
	}
	var body struct {
		Present secret.Text `json:"current_password"`
		Chosen  secret.Text `json:"new_password"`
	}
	if err := web.ParseObject(c.Request, &body); err != nil {
		return err
	}
	if body.Present.Empty() || body.Chosen.Empty() {
		return oauth.New(oauth.InvalidRequest, "current_password and new_password are both needed")
	}
	return done(c, a.ChangePassword(c.Request.Context(), p, body.Present, body.Chosen, from))
}

// done answers what has nothing to say but that it is done, or why it is not.
func done(c *gin.Context, err error) error {
	if errors.Is(err, storage.ErrEnded) {
		guard.Refuse(c.Writer, c.Request, err)
		return nil
	}
	if err != nil {
		return err
	}
	web.NoStore(c)
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

// caller is the user who asks, and what the audit record says of it.
func caller(c *gin.Context) (guard.Principal, audit.Origin, error) {
	p, ok := guard.From(c.Request.Context())
	if !ok || p.User == "" || p.Session == "" {
		return p, audit.Origin{}, fmt.Errorf("route %s is not behind the guard that it needs", c.FullPath())
	}
	return p, audit.Origin{Actor: "user:" + string(p.User), Client: p.Client, Address: c.ClientIP()}, nil
}
