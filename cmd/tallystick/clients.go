package main

import (
	"context"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/storage"
)

// manager makes the manager of clients of a process that serves: what it disables is dead in this process
// at once, and what it changes is read again.
func (p *process) manager(secretKey []byte, passwords *password.Checker) (*client.Manager, error) {
	rules, err := product.New(productConfig(p.cfg))
	if err != nil {
		return nil, err
	}
	return client.NewManager(client.ManagerConfig{
		Store: p.store, SecretKey: secretKey, Passwords: passwords, Products: rules.Products(), LongestAccess: longestAccess(p.cfg),
		Ended: func(ctx context.Context, events []storage.Event) {
			p.guard.Apply(events)
			p.redis.Announce(context.WithoutCancel(ctx), events)
		},
		Changed: p.clients.Forget,
	})
}
