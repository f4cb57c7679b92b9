package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/grant"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/resource"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/live"
	"github.com/tallystick/tallystick/storage"
)

// livePath is where live connections are served by a process without authorization server.
const livePath = "/v1/live"

// frameSessions is the type of frame that the authorization server answers, beside login.
const frameSessions = "sessions.list"

// relays hand on to several what the guard takes in.
type relays []guard.Relay

// Take implements guard.Relay.
func (r relays) Take(way string, events []storage.Event) {
	for _, one := range r {
		one.Take(way, events)
	}
}

// Heard implements guard.Relay.
func (r relays) Heard(at time.Time, place guard.Place) {
	for _, one := range r {
		one.Heard(at, place)
	}
}

// liveRelay tells live connections, which are made after the guard that tells them.
type liveRelay struct{ p *process }

// Take implements guard.Relay.
func (r liveRelay) Take(way string, events []storage.Event) {
	if r.p.live != nil {
		r.p.live.Take(way, events)
	}
}

// Heard implements guard.Relay.
func (r liveRelay) Heard(time.Time, guard.Place) {}

// addLive makes the room of live connections out of what this process has.
func (p *process) addLive(tokens live.Tokens) (err error) {
	c := live.Config{
		Guard: p.guard, Tokens: tokens, Commands: map[string]live.Command{}, Origins: append([]string{strings.ToLower(p.cfg.Issuer)}, p.cfg.Live.Origins...),
		Limits: liveLimits(p), CommandTime: p.cfg.Listen.RequestTimeout,
		Seen: func(who guard.Principal) { p.presence.Note(who.Session, time.Now()) },
		Log:  p.log, Metrics: p.registry,
	}
	if p.auth != nil {
		c.SignIn, c.SignOut = p.signInLive, p.signOutLive
		c.Commands[frameSessions] = live.Command{Need: guard.Need{Holder: guard.UserToken}, Run: p.sessionsLive}
	} else {
		c.Elsewhere = append(c.Elsewhere, frameSessions)
	}
	if p.resource != nil {
		maps.Copy(c.Commands, p.resource.Commands())
	} else {
		c.Elsewhere = append(c.Elsewhere, resource.FrameWallet, resource.FrameEntries, resource.FrameTransfer)
	}
	p.live, err = live.New(c)
	return err
}

// livePath is where this process serves live connections.
func (p *process) livePath() string {
	if p.auth != nil {
		return p.auth.LivePath()
	}
	return livePath
}

func (p *process) serveLive(c *gin.Context) { p.live.Serve(c.Writer, c.Request, c.ClientIP()) }

func (p *process) signInLive(ctx context.Context, body json.RawMessage, from live.Origin) (string, any, error) {
	bound, err := p.auth.SignIn(ctx, body, grant.Origin(from))
	if err != nil {
		return "", nil, authFailure(err)
	}
	return bound.Token, bound, nil
}

func (p *process) signOutLive(ctx context.Context, who guard.Principal, from live.Origin) error {
	if err := p.auth.SignOut(ctx, who, grant.Origin(from)); err != nil {
		return authFailure(err)
	}
	return nil
}

func (p *process) sessionsLive(ctx context.Context, who guard.Principal, body json.RawMessage) (any, error) {
	if string(body) != "{}" {
		return nil, &guard.Refusal{Status: http.StatusBadRequest, Code: guard.InvalidRequest, Description: "sessions.list has no members of its own"}
	}
	list, err := p.auth.Sessions(ctx, who)
	if err != nil {
		return nil, authFailure(err)
	}
	return list, nil
}

// authFailure presents an error of the authorization server as its routes do.
func authFailure(err error) error {
	if _, ended := errors.AsType[*storage.EndedError](err); ended {
		return err
	}
	shown := web.RefusalOf(err)
	body, merr := json.Marshal(shown)
	if merr != nil { // texts and a time: there is nothing that can fail
		body = json.RawMessage(`{}`)
	}
	return &live.Failure{Status: shown.Status(), Code: string(shown.Code), Body: body, RetryAfter: shown.RetryAfter, Cause: err}
}

func liveLimits(p *process) live.Limits {
	c := p.cfg.Live
	return live.Limits{
		MaxConnections: c.MaxConnections, MaxPerAddress: c.MaxPerAddress, MaxPerUser: c.MaxPerUser, MaxFrame: c.MaxFrame,
		Frames: c.FramesPerSecond, Burst: c.FramesAtOnce, MaxInFlight: c.MaxInFlight, MaxQueued: c.MaxQueued,
		SignInTime: c.SignInTime, PingEvery: c.PingEvery, PongTime: c.PongTime, WriteTime: c.WriteTime,
	}
}
