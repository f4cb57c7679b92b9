package e2e_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

func TestStoryOnDev(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddr(t)
	p, target := startDev(t, dir, addr)
	play(t, target, func(context.Context) (story.Target, error) {
		p.Stop()
		_, next := startDev(t, dir, addr)
		return next, nil
	})
	out := command(t, "", "ledger", "verify", "--data-dir", dir)
	t.Logf("%s", out)
}

func TestStoryOnServe(t *testing.T) {
	t.Parallel()
	i := install(t, false)
	p := i.serve(t, "all")
	play(t, i.target, func(context.Context) (story.Target, error) {
		p.Stop()
		i.serve(t, "all")
		return i.target, nil
	})
	t.Logf("%s", command(t, "", "ledger", "verify", "--config", i.config))
}

func TestStoryOnTwoProcesses(t *testing.T) {
	t.Parallel()
	i := install(t, true)
	auth, wallet := i.serve(t, "auth"), i.serve(t, "wallet")
	play(t, i.target, func(context.Context) (story.Target, error) {
		auth.Stop()
		wallet.Stop()
		i.serve(t, "auth")
		i.serve(t, "wallet")
		return i.target, nil
	})
	t.Logf("%s", command(t, "", "ledger", "verify", "--config", i.config))
}

func play(t *testing.T, target story.Target, restart func(context.Context) (story.Target, error)) {
	t.Helper()
	var out strings.Builder
	err := story.Play(t.Context(), target, &out, restart)
	t.Log("\n" + out.String())
	if err != nil {
		t.Fatal(err)
	}
}
