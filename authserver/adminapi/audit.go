package adminapi

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/storage"
)

// recordShape is an audit record.
type recordShape struct {
	ID      string            `json:"id"`
	At      time.Time         `json:"at"`
	Action  string            `json:"action"`
	Result  string            `json:"result"`
	Actor   string            `json:"actor"`
	Subject storage.UserID    `json:"sub,omitempty"`
	Client  storage.ClientID  `json:"client_id,omitempty"`
	Session storage.SessionID `json:"session_id,omitempty"`
	Address string            `json:"address,omitempty"`
	Detail  map[string]string `json:"detail,omitempty"`
}

// Audit is the handler of GET /admin/v1/audit.
func (a *API) Audit(c *gin.Context) error {
	h, err := begin(c, nil, "since", "cursor", "limit")
	if err != nil {
		return err
	}
	p, err := h.page()
	if err != nil {
		return err
	}
	if p.after = h.query.Get("cursor"); len(p.after) > storage.IDLength {
		return oauth.New(oauth.InvalidRequest, "cursor: not the id of a record")
	}
	since := time.Unix(0, 0)
	if raw := h.query.Get("since"); raw != "" {
		if since, err = instant("since", raw); err != nil {
			return err
		}
	}
	records, err := a.cfg.Records.ListAudit(c.Request.Context(), since, p.after, p.limit)
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, recordsOf(records, p.limit))
}

// recordsOf makes a page. Its cursor is the id of its last record, and null if the page is not full.
func recordsOf(records []storage.AuditRecord, limit int) any {
	answer := struct {
		Records []recordShape `json:"records"`
		Next    *string       `json:"next_cursor"`
	}{Records: make([]recordShape, len(records))}
	for i, r := range records {
		answer.Records[i] = recordShape{
			ID: r.ID, At: r.At, Action: r.Action, Result: r.Result, Actor: r.Actor, Subject: r.User, Client: r.Client,
			Session: r.Session, Address: r.Address, Detail: r.Detail,
		}
	}
	if len(records) == limit {
		answer.Next = &answer.Records[limit-1].ID
	}
	return answer
}
