package story

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// patience bounds the wait for a frame.
const patience = 10 * time.Second

// closeEnded is the code with which a live connection is closed whose session has ended.
const closeEnded websocket.StatusCode = 4001

// listen signs a live connection in with an access token.
func (p *player) listen(ctx context.Context, access string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(p.target.API, "http")+"/v1/live", nil) //nolint:bodyclose // the library's
	if err != nil {
		return nil, err
	}
	order, err := json.Marshal(map[string]string{"id": "1", "type": "auth", "access_token": access})
	if err == nil {
		err = ws.Write(ctx, websocket.MessageText, order)
	}
	for _, want := range []string{"hello", "auth"} {
		var f map[string]any
		if err == nil {
			f, err = heard(ctx, ws)
		}
		if err == nil && f["type"] != want {
			err = fmt.Errorf("live connection: expected %s, got %v", want, f)
		}
	}
	if err != nil {
		_ = ws.CloseNow() // the error before is the one to tell
	}
	return ws, err
}

// hearsEnd takes the news that the session of a live connection has ended, and the close.
func hearsEnd(ctx context.Context, ws *websocket.Conn, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f, err := heard(ctx, ws)
	if err != nil || f["type"] != "session.ended" || f["reason"] != reason {
		return fmt.Errorf("live connection: expected session.ended, %s, got %v (%w)", reason, f, err)
	}
	if _, err := heard(ctx, ws); websocket.CloseStatus(err) != closeEnded {
		return fmt.Errorf("live connection: expected to be closed with %d, got %w", closeEnded, err)
	}
	return nil
}

func heard(ctx context.Context, ws *websocket.Conn) (map[string]any, error) {
	_, data, err := ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	var f map[string]any
	return f, json.Unmarshal(data, &f)
}
