package adminapi

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// userShape is a user as administration sees it.
type userShape struct {
	Subject    storage.UserID `json:"sub"`
	Username   string         `json:"username"`
	CreatedAt  time.Time      `json:"created_at"`
	UpdatedAt  time.Time      `json:"updated_at"`
	DisabledAt *time.Time     `json:"disabled_at,omitempty"`
	Ban        *banShape      `json:"ban,omitempty"`
	Sessions   []sessionShape `json:"sessions,omitzero"`
}

type banShape struct {
	At     time.Time  `json:"at"`
	Until  *time.Time `json:"until,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// sessionShape is a session as administration sees it.
type sessionShape struct {
	Session    storage.SessionID `json:"session_id"`
	Product    string            `json:"product"`
	Terminal   storage.Terminal  `json:"terminal"`
	Mode       storage.Mode      `json:"mode"`
	Version    int64             `json:"version"`
	Client     storage.ClientID  `json:"client_id"`
	Scope      string            `json:"scope"`
	DeviceID   string            `json:"device_id"`
	DeviceName string            `json:"device_name"`
	Address    string            `json:"address"`
	UserAgent  string            `json:"user_agent"`
	CreatedAt  time.Time         `json:"created_at"`
	LastSeenAt time.Time         `json:"last_seen_at"`
	ExpiresAt  time.Time         `json:"expires_at"`
}

func userOf(u *storage.User) userShape {
	s := userShape{Subject: u.ID, Username: u.Username, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, DisabledAt: u.DisabledAt}
	if u.Ban != nil {
		s.Ban = &banShape{At: u.Ban.At, Until: u.Ban.Until, Reason: u.Ban.Reason}
	}
	return s
}

func sessionOf(s *storage.Session) sessionShape {
	return sessionShape{
		Session: s.ID, Product: s.Product, Terminal: s.Terminal, Mode: s.Mode, Version: s.Version, Client: s.Client, Scope: s.Scope,
		DeviceID: s.Device.ID, DeviceName: s.Device.Name, Address: s.Device.Address, UserAgent: s.Device.UserAgent,
		CreatedAt: s.CreatedAt, LastSeenAt: s.LastSeenAt, ExpiresAt: s.ExpiresAt,
	}
}

// Users is the handler of GET /admin/v1/users.
func (a *API) Users(c *gin.Context) error {
	h, err := begin(c, nil, "prefix", "cursor", "limit")
	if err != nil {
		return err
	}
	p, err := h.page()
	if err != nil {
		return err
	}
	if err := p.named(h.query); err != nil {
		return err
	}
	users, err := a.cfg.Users.Search(c.Request.Context(), h.query.Get("prefix"), p.after, p.limit)
	if err != nil {
		return refusal(err, "user")
	}
	answer := struct {
		Users []userShape `json:"users"`
		Next  *string     `json:"next_cursor"`
	}{Users: make([]userShape, len(users)), Next: p.next(len(users), func() string { return users[len(users)-1].Username })}
	for i := range users {
		answer.Users[i] = userOf(&users[i])
	}
	return web.JSON(c, http.StatusOK, answer)
}

// CreateUser is the handler of POST /admin/v1/users.
func (a *API) CreateUser(c *gin.Context) error {
	var body struct {
		Username string       `json:"username"`
		Password *secret.Text `json:"password"`
	}
	h, err := begin(c, object(&body))
	if err != nil {
		return err
	}
	if body.Username == "" {
		return missing("username")
	}
	user, err := a.cfg.Users.Create(c.Request.Context(), h.from, body.Username, body.Password)
	if err != nil {
		return refusal(err, "user")
	}
	c.Header("Location", strings.TrimSuffix(c.Request.URL.Path, "/")+"/"+string(user.ID))
	return web.JSON(c, http.StatusCreated, userOf(&user))
}

// User is the handler of GET /admin/v1/users/{sub}.
func (a *API) User(c *gin.Context) error {
	h, err := begin(c, nil)
	if err != nil {
		return err
	}
	user, err := a.cfg.Users.User(c.Request.Context(), h.user)
	if err != nil {
		return refusal(err, "user")
	}
	sessions, err := a.cfg.Sessions.Live(c.Request.Context(), h.user)
	if err != nil {
		return err
	}
	answer := userOf(&user)
	answer.Sessions = make([]sessionShape, len(sessions))
	for i := range sessions {
		answer.Sessions[i] = sessionOf(&sessions[i])
	}
	return web.JSON(c, http.StatusOK, answer)
}

// Kick is the handler of POST /admin/v1/users/{sub}/kick.
func (a *API) Kick(c *gin.Context) error {
	var body struct {
		Product  string           `json:"product"`
		Terminal storage.Terminal `json:"terminal"`
	}
	h, err := begin(c, optional(&body))
	if err != nil {
		return err
	}
	if body.Product != "" && !slices.Contains(a.cfg.Products, body.Product) {
		return oauth.New(oauth.InvalidRequest, "product: there is no such product")
	}
	events, err := a.cfg.Users.Kick(c.Request.Context(), h.from, h.user, body.Product, body.Terminal)
	return ended(c, events, err)
}

// Ban is the handler of POST /admin/v1/users/{sub}/ban.
func (a *API) Ban(c *gin.Context) error {
	var body struct {
		Until  string `json:"until"`
		Reason string `json:"reason"`
	}
	h, err := begin(c, optional(&body))
	if err != nil {
		return err
	}
	var until *time.Time
	if body.Until != "" {
		at, err := instant("until", body.Until)
		if err != nil {
			return err
		}
		until = &at
	}
	events, err := a.cfg.Users.Ban(c.Request.Context(), h.from, h.user, until, body.Reason)
	return ended(c, events, err)
}

// Unban is the handler of POST /admin/v1/users/{sub}/unban.
func (a *API) Unban(c *gin.Context) error {
	h, err := begin(c, optional(&struct{}{}))
	if err != nil {
		return err
	}
	if err := a.cfg.Users.Unban(c.Request.Context(), h.from, h.user); err != nil {
		return refusal(err, "user")
	}
	return nothing(c)
}

// SetPassword is the handler of POST /admin/v1/users/{sub}/password.
func (a *API) SetPassword(c *gin.Context) error {
	var body struct {
		Password secret.Text `json:"password"`
	}
	h, err := begin(c, object(&body))
	if err != nil {
		return err
	}
	if body.Password.Empty() {
		return missing("password")
	}
	events, err := a.cfg.Users.SetPassword(c.Request.Context(), h.from, h.user, body.Password)
	return ended(c, events, err)
}

// ended answers with the sessions that were ended.
func ended(c *gin.Context, events []storage.Event, err error) error {
	if err != nil {
		return refusal(err, "user")
	}
	answer := struct {
		Sessions []string `json:"ended_sessions"`
	}{make([]string, len(events))}
	for i := range events {
		answer.Sessions[i] = events[i].Key
	}
	return web.JSON(c, http.StatusOK, answer)
}

// nothing answers what is done and has nothing to say.
func nothing(c *gin.Context) error {
	web.NoStore(c)
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

func missing(name string) error { return oauth.New(oauth.InvalidRequest, name+": is missing or empty") }

// instant reads a time.
func instant(name, raw string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, raw)
	if err != nil || at.Unix() < 0 {
		return time.Time{}, oauth.Wrap(oauth.InvalidRequest, name+": not a time such as 2026-11-20T08:00:00Z", err)
	}
	return at.UTC(), nil
}
