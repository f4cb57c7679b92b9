package resource

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/live"
	"github.com/tallystick/tallystick/resource/problem"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
)

// The types of frame that the wallet answers on live connections.
const (
	FrameWallet   = "wallet.get"
	FrameEntries  = "wallet.entries"
	FrameTransfer = "transfer"
)

// Commands are what of the wallet can be had on a live connection: the use cases, needs and refusals of the
// routes.
func (s *Server) Commands() map[string]live.Command {
	return map[string]live.Command{
		FrameWallet:   {Need: readNeed(), Run: failing(s.api.BalancesFrame)},
		FrameEntries:  {Need: readNeed(), Run: failing(s.api.EntriesFrame)},
		FrameTransfer: {Need: transferNeed(), Run: failing(s.transferFrame)},
	}
}

func readNeed() guard.Need {
	return guard.Need{Scopes: []string{ScopeRead}, Holder: guard.UserToken}
}

func transferNeed() guard.Need {
	return guard.Need{Scopes: []string{ScopeTransfer}, Holder: guard.UserToken, Strict: true}
}

// transferred is the answer to a transfer: the body that it has over HTTP, and whether it was given before.
type transferred struct {
	Transfer json.RawMessage `json:"transfer"`
	Replayed bool            `json:"replayed"`
}

func (s *Server) transferFrame(ctx context.Context, p guard.Principal, body json.RawMessage) (any, error) {
	out, err := s.api.TransferFrame(ctx, p, body)
	switch {
	case err != nil:
		return nil, err
	case out.Code != "":
		return nil, recorded(out)
	}
	return transferred{out.Body, out.Replayed}, nil
}

// recorded is a refusal that stands under its idempotency key.
func recorded(out wallet.Outcome) *live.Failure {
	return &live.Failure{Status: problem.Status(problem.Code(out.Code)), Code: out.Code, Body: out.Body, Replayed: out.Replayed}
}

// failing presents the errors of a use case as the routes do.
func failing(run func(context.Context, guard.Principal, json.RawMessage) (any, error)) func(context.Context, guard.Principal, json.RawMessage) (any, error) {
	return func(ctx context.Context, p guard.Principal, body json.RawMessage) (any, error) {
		answer, err := run(ctx, p, body)
		if err == nil {
			return answer, nil
		}
		if _, presented := errors.AsType[*live.Failure](err); presented || errors.Is(err, storage.ErrEnded) {
			return nil, err
		}
		shown := problem.From(err)
		rendered, merr := shown.MarshalJSON()
		if merr != nil { // texts and a number: there is nothing that can fail
			rendered = json.RawMessage(`{}`)
		}
		return nil, &live.Failure{Status: shown.Status(), Code: string(shown.Code), Body: rendered, RetryAfter: shown.RetryAfter, Cause: err}
	}
}
