package adminapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// defaultOverlap is how long the old secret stays good where a rotation does not say.
const defaultOverlap = 24 * time.Hour

// clientShape is a client as administration sees it, and as the command line prints it.
type clientShape struct {
	ID             storage.ClientID   `json:"client_id"`
	Secret         string             `json:"client_secret,omitempty"`
	Name           string             `json:"name"`
	Type           storage.ClientKind `json:"type"`
	Grants         []string           `json:"grants"`
	Products       []string           `json:"products"`
	Terminals      []storage.Terminal `json:"terminals"`
	Scopes         []string           `json:"scopes"`
	RedirectURIs   []string           `json:"redirect_uris"`
	CreatedAt      time.Time          `json:"created_at"`
	UpdatedAt      time.Time          `json:"updated_at"`
	DisabledAt     *time.Time         `json:"disabled_at,omitempty"`
	OldSecretUntil *time.Time         `json:"old_secret_until,omitempty"`
}

func clientOf(c *storage.Client) clientShape {
	return clientShape{
		ID: c.ID, Name: c.Name, Type: c.Kind, Grants: list(c.Grants), Products: list(c.Products), Terminals: list(c.Terminals),
		Scopes: list(c.Scopes), RedirectURIs: list(c.RedirectURIs),
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, DisabledAt: c.DisabledAt, OldSecretUntil: c.OldSecretUntil,
	}
}

// list is never null in JSON.
func list[T any](values []T) []T { return append([]T{}, values...) }

// Clients is the handler of GET /admin/v1/clients.
func (a *API) Clients(c *gin.Context) error {
	h, err := begin(c, nil, "cursor", "limit")
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
	clients, err := a.cfg.Clients.List(c.Request.Context(), storage.ClientID(p.after), p.limit)
	if err != nil {
		return refusal(err, "client")
	}
	answer := struct {
		Clients []clientShape `json:"clients"`
		Next    *string       `json:"next_cursor"`
	}{make([]clientShape, len(clients)), p.next(len(clients), func() string { return string(clients[len(clients)-1].ID) })}
	for i := range clients {
		answer.Clients[i] = clientOf(&clients[i])
	}
	return web.JSON(c, http.StatusOK, answer)
}

// CreateClient is the handler of POST /admin/v1/clients.
func (a *API) CreateClient(c *gin.Context) error {
	var body struct {
		ID           storage.ClientID   `json:"client_id"`
		Name         string             `json:"name"`
		Type         storage.ClientKind `json:"type"`
		Grants       []string           `json:"grants"`
		Products     []string           `json:"products"`
		Terminals    []storage.Terminal `json:"terminals"`
		Scopes       []string           `json:"scopes"`
		RedirectURIs []string           `json:"redirect_uris"`
	}
	h, err := begin(c, object(&body))
	if err != nil {
		return err
	}
	made, text, err := a.cfg.Clients.Create(c.Request.Context(), h.from, client.Draft{
		ID: body.ID, Name: body.Name, Kind: body.Type, Grants: body.Grants, Products: body.Products,
		Terminals: body.Terminals, Scopes: body.Scopes, RedirectURIs: body.RedirectURIs,
	})
	if err != nil {
		return refusal(err, "client")
	}
	c.Header("Location", strings.TrimSuffix(c.Request.URL.Path, "/")+"/"+string(made.ID))
	return tagged(c, http.StatusCreated, &made, text)
}

// Client is the handler of GET /admin/v1/clients/{client_id}.
func (a *API) Client(c *gin.Context) error {
	h, err := begin(c, nil)
	if err != nil {
		return err
	}
	return a.show(c, h.client)
}

// show answers with a client as it is now.
func (a *API) show(c *gin.Context, id storage.ClientID) error {
	found, err := a.cfg.Clients.Show(c.Request.Context(), id)
	if err != nil {
		return refusal(err, "client")
	}
	return tagged(c, http.StatusOK, &found, secret.Text{})
}

// UpdateClient is the handler of PATCH /admin/v1/clients/{client_id}.
func (a *API) UpdateClient(c *gin.Context) error {
	var body struct {
		Name         *string             `json:"name"`
		Grants       *[]string           `json:"grants"`
		Products     *[]string           `json:"products"`
		Terminals    *[]storage.Terminal `json:"terminals"`
		Scopes       *[]string           `json:"scopes"`
		RedirectURIs *[]string           `json:"redirect_uris"`
		Disabled     *bool               `json:"disabled"`
	}
	h, err := begin(c, object(&body))
	if err != nil {
		return err
	}
	change := client.Change{
		Name: body.Name, Grants: body.Grants, Products: body.Products, Terminals: body.Terminals,
		Scopes: body.Scopes, RedirectURIs: body.RedirectURIs,
	}
	nothingElse := change == client.Change{}
	if change.Version, err = ifMatch(c.Request.Header); err != nil {
		return err
	}
	switch {
	case body.Disabled != nil && (!nothingElse || change.Version != nil):
		return oauth.New(oauth.InvalidRequest, "disabled: is changed by itself, without other members and without If-Match")
	case body.Disabled != nil && *body.Disabled:
		err = a.disable(c.Request.Context(), h)
	case body.Disabled != nil:
		err = a.cfg.Clients.Enable(c.Request.Context(), h.from, h.client)
	case nothingElse:
		return oauth.New(oauth.InvalidRequest, "nothing is to be changed")
	default:
		_, err = a.cfg.Clients.Update(c.Request.Context(), h.from, h.client, change)
	}
	if err != nil {
		return refusal(err, "client")
	}
	return a.show(c, h.client)
}

// DisableClient is the handler of DELETE /admin/v1/clients/{client_id}.
func (a *API) DisableClient(c *gin.Context) error {
	h, err := begin(c, nil)
	if err != nil {
		return err
	}
	if err := a.disable(c.Request.Context(), h); err != nil {
		return refusal(err, "client")
	}
	return nothing(c)
}

func (a *API) disable(ctx context.Context, h head) error {
	if h.client == h.from.Client {
		return oauth.New(oauth.NotAllowedOnItself, "a client cannot disable itself; tallystick client disable can")
	}
	return a.cfg.Clients.Disable(ctx, h.from, h.client)
}

// RotateSecret is the handler of POST /admin/v1/clients/{client_id}/secret.
func (a *API) RotateSecret(c *gin.Context) error {
	var body struct {
		Overlap *int64 `json:"overlap_seconds"`
	}
	h, err := begin(c, optional(&body))
	if err != nil {
		return err
	}
	overlap := defaultOverlap
	if body.Overlap != nil {
		if *body.Overlap < 0 || *body.Overlap > int64(client.MaxOverlap/time.Second) {
			return oauth.New(oauth.InvalidRequest, "overlap_seconds: not between 0 and "+strconv.Itoa(int(client.MaxOverlap/time.Second)))
		}
		overlap = time.Duration(*body.Overlap) * time.Second
	}
	changed, text, err := a.cfg.Clients.RotateSecret(c.Request.Context(), h.from, h.client, overlap)
	if err != nil {
		return refusal(err, "client")
	}
	return tagged(c, http.StatusOK, &changed, text)
}

// tagged answers with a client and the tag of its version; with its secret, where there is a new one.
func tagged(c *gin.Context, status int, found *storage.Client, text secret.Text) error {
	c.Header("ETag", `"`+strconv.FormatInt(found.Version, 10)+`"`)
	answer := clientOf(found)
	answer.Secret = text.Reveal()
	return web.JSON(c, status, answer)
}

// ifMatch returns the version that a request insists on, nil if it insists on none.
func ifMatch(h http.Header) (*int64, error) {
	values := h.Values("If-Match")
	if len(values) == 0 || (len(values) == 1 && values[0] == "*") {
		return nil, nil //nolint:nilnil // no condition is an answer.
	}
	quoted, open := strings.CutPrefix(values[0], `"`)
	digits, closed := strings.CutSuffix(quoted, `"`)
	version, err := strconv.ParseInt(digits, 10, 64)
	if len(values) > 1 || !open || !closed || err != nil {
		return nil, oauth.New(oauth.InvalidRequest, "If-Match: must be the one ETag of the client as it was read")
	}
	return &version, nil
}
