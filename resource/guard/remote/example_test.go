package remote_test

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/guard/remote"
)

// A service of the company's own, as its main. Its client is made with
//
//	tallystick client create parcels --type confidential --grant client_credentials --scope sessions:watch --product shop …
//
// and its secret put into a file.
func Example() {
	content, err := os.ReadFile("/run/secrets/parcels")
	if err != nil {
		log.Fatal(err)
	}
	g, err := remote.New(remote.Config{
		Issuer:       "https://accounts.example",
		ClientID:     "parcels",
		ClientSecret: secret.New(strings.TrimSpace(string(content))),
		Audience:     []string{"https://parcels.example"},
		Log:          slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := g.Start(ctx); err != nil {
		log.Fatal(err) // or go on blind, and start it again later
	}
	defer g.Stop()

	routes := http.NewServeMux()
	list := func(w http.ResponseWriter, r *http.Request) {
		p, _ := guard.From(r.Context())
		slog.InfoContext(r.Context(), "parcels", "sub", p.User)
		w.WriteHeader(http.StatusNoContent)
	}
	routes.Handle("GET /v1/parcels", g.Handler(http.HandlerFunc(list), guard.Need{
		Scopes: []string{"parcels:read"}, Holder: guard.UserToken,
	}))
	// What must not happen after a kick-out under any circumstances asks the issuer each time.
	send := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }
	routes.Handle("POST /v1/parcels", g.Handler(http.HandlerFunc(send), guard.Need{
		Scopes: []string{"parcels:send"}, Holder: guard.UserToken, Strict: true,
	}))

	server := &http.Server{Addr: ":8443", Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Shutdown(context.WithoutCancel(ctx)) })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Print(err)
	}
}
