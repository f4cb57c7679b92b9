package adminapi

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
)

// page is the part of a list that is asked for.
type page struct {
	after string
	limit int
}

// page reads limit.
func (h *head) page() (page, error) {
	p := page{limit: DefaultPage}
	if raw := h.query.Get("limit"); raw != "" {
		n, err := strconv.Atoi(raw)
		if err != nil || n < 1 || n > MaxPage {
			return page{}, oauth.New(oauth.InvalidRequest, fmt.Sprintf("limit: not between 1 and %d", MaxPage))
		}
		p.limit = n
	}
	return p, nil
}

// named reads the cursor of lists in the order of names.
func (p *page) named(query web.Form) error {
	raw := query.Get("cursor")
	name, err := base64.RawURLEncoding.Strict().DecodeString(raw)
	if err != nil || len(raw) > maxCursor || !utf8.Valid(name) {
		return oauth.New(oauth.InvalidRequest, "cursor: not one that this list gave; begin again without it")
	}
	p.after = string(name)
	return nil
}

// next is the cursor behind a page, nil if it is the last one.
func (p *page) next(got int, last func() string) *string {
	if got < p.limit {
		return nil
	}
	cursor := base64.RawURLEncoding.EncodeToString([]byte(last()))
	return &cursor
}
