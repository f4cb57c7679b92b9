package tokeninfo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// info is the answer of userinfo.
type info struct {
	Subject  storage.UserID  `json:"sub"`
	Username string          `json:"preferred_username"`
	Data     json.RawMessage `json:"session_data,omitempty"`
}

// UserInfo is the handler of the userinfo endpoint. A guard has let the request in, with the token of a
// user.
func (e *Endpoint) UserInfo(c *gin.Context) error {
	p, ok := guard.From(c.Request.Context())
	if !ok || p.User == "" {
		return fmt.Errorf("route %s is not behind the guard that it needs", c.FullPath())
	}
	answer, err := e.userInfo(c.Request.Context(), p)
	if errors.Is(err, storage.ErrEnded) {
		guard.Refuse(c.Writer, c.Request, err)
		return nil
	}
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, answer)
}

func (e *Endpoint) userInfo(ctx context.Context, p guard.Principal) (info, error) {
	s, err := e.cfg.Book.Session(ctx, p.Session)
	if errors.Is(err, storage.ErrNotFound) {
		return info{}, &storage.EndedError{End: expiry(p.ExpiresAt)}
	}
	if err != nil {
		return info{}, fmt.Errorf("userinfo: read session: %w", err)
	}
	if end := s.EndedAt(e.cfg.Now()); end != nil {
		return info{}, &storage.EndedError{End: *end}
	}
	user, err := e.cfg.Users.User(ctx, p.User)
	if err != nil {
		return info{}, fmt.Errorf("userinfo: read user: %w", err)
	}
	return info{Subject: user.ID, Username: user.Username, Data: s.Data}, nil
}
