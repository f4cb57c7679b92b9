package federation

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
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// IdentityParam is the name of the path parameter of [Desk.Unlink].
const IdentityParam = "identity"

// MaxCode is the longest code, in bytes.
const MaxCode = 512

// identityShape is an identity as its user sees it.
type identityShape struct {
	ID        storage.IdentityID `json:"id"`
	Provider  string             `json:"provider"`
	App       string             `json:"app"`
	CreatedAt time.Time          `json:"created_at"`
	UsedAt    time.Time          `json:"last_used_at"`
}

func shapeOf(id storage.Identity) identityShape {
	return identityShape{id.ID, id.Provider, id.App, id.CreatedAt.UTC(), id.UsedAt.UTC()}
}

// List is the handler of GET /v1/identities.
func (d *Desk) List(c *gin.Context) error {
	p, _, err := caller(c)
	if err != nil {
		return err
	}
	if _, err := web.ParseQuery(c.Request); err != nil {
		return err
	}
	list, err := d.cfg.Identities.ListIdentities(c.Request.Context(), p.User)
	if err != nil {
		return fmt.Errorf("list identities: %w", err)
	}
	shapes := make([]identityShape, len(list))
	for i, id := range list {
		shapes[i] = shapeOf(id)
	}
	return web.JSON(c, http.StatusOK, map[string]any{"identities": shapes})
}

// Link is the handler of POST /v1/identities: it gives the caller an identity as a further way in. The code has
// to be one for the app of the client that the caller's token was issued to.
func (d *Desk) Link(c *gin.Context) error {
	p, from, err := caller(c)
	if err != nil {
		return err
	}
	var body struct {
		Provider string `json:"provider"`
		Code     string `json:"code"`
	}
	if err := web.ParseObject(c.Request, &body); err != nil {
		return err
	}
	switch {
	case body.Provider == "" || body.Code == "":
		return oauth.New(oauth.InvalidRequest, "provider and code are both needed")
	case len(body.Code) > MaxCode:
		return oauth.New(oauth.InvalidRequest, fmt.Sprintf("code is longer than %d bytes", MaxCode))
	}
	id, made, err := d.link(c.Request.Context(), p, body.Provider, body.Code, from)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if made {
		status = http.StatusCreated
	}
	return web.JSON(c, status, shapeOf(id))
}

func (d *Desk) link(ctx context.Context, p guard.Principal, provider, code string, from audit.Origin) (storage.Identity, bool, error) {
	vouching, ok := d.providers[provider]
	if !ok {
		return storage.Identity{}, false, oauth.New(oauth.InvalidRequest, "this server has no such provider")
	}
	app, err := d.app(vouching, p.Client)
	if err != nil {
		return storage.Identity{}, false, err
	}
	q := question{provider: vouching, app: app, client: p.Client, user: p.User, code: code}
	v, err := d.braked(ctx, q, storage.Public, from.Address)
	if err != nil {
		return storage.Identity{}, false, err
	}
	a := d.arrival(q, v, from, storage.Instant(d.cfg.Now()))
	a.Identity.User = p.User
	id, made, err := d.cfg.Identities.LinkIdentity(ctx, a)
	switch {
	case errors.Is(err, storage.ErrExists):
		err = oauth.Wrap(oauth.IdentityTaken, "this identity, or the person behind it, belongs to another account: "+
			"sign in to that one with it, or unlink it there first", err)
	case errors.Is(err, storage.ErrFull):
		err = oauth.Wrap(oauth.TooManyIdentities, fmt.Sprintf("an account has at most %d identities; unlink one first", storage.MaxIdentities), err)
	}
	return id, made, err
}

// Unlink is the handler of DELETE /v1/identities/{id}.
func (d *Desk) Unlink(c *gin.Context) error {
	p, from, err := caller(c)
	if err != nil {
		return err
	}
	if _, err := web.ParseQuery(c.Request); err != nil {
		return err
	}
	id := storage.IdentityID(c.Param(IdentityParam))
	if len(id) != storage.IDLength {
		return unknown(nil)
	}
	now := storage.Instant(d.cfg.Now())
	record := from.Record(audit.IdentityUnlinked, now)
	record.User, record.Detail = p.User, audit.Detail("identity", id)
	err = d.cfg.Identities.UnlinkIdentity(c.Request.Context(), p.User, id, &record, now)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return unknown(err)
	case errors.Is(err, storage.ErrLastWay):
		return oauth.Wrap(oauth.LastWayIn, "without it nobody could sign in to this account any more: link another identity first", err)
	case err != nil:
		return fmt.Errorf("unlink identity: %w", err)
	}
	web.NoStore(c)
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

// unknown is the one answer about identities that do not exist and those of others.
func unknown(cause error) error {
	return oauth.Wrap(oauth.NotFound, "there is no such identity", cause)
}

// caller is the user who asks, and what the audit record says of it.
func caller(c *gin.Context) (guard.Principal, audit.Origin, error) {
	p, ok := guard.From(c.Request.Context())
	if !ok || p.User == "" || p.Session == "" {
		return p, audit.Origin{}, fmt.Errorf("route %s is not behind the guard that it needs", c.FullPath())
	}
	return p, audit.Origin{Actor: "user:" + string(p.User), Client: p.Client, Address: c.ClientIP()}, nil
}
