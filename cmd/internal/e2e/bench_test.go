package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tallystick/tallystick/cmd/internal/bench"
	"github.com/tallystick/tallystick/cmd/internal/story"
)

// measured runs the bench and holds its report to the guarantee.
func measured(t *testing.T, feeds []string, args ...string) {
	t.Helper()
	const kicks, guards = 12, 2
	out := command(t, "", append([]string{"bench", "kickout", "--count", "12", "--rate", "50", "--output", "json"}, args...)...)
	var r bench.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.KickOuts != kicks || r.Strict.Checks != kicks || r.Strict.Accepted != 0 || len(r.Feeds) != len(feeds) {
		t.Fatalf("%s", out)
	}
	for i, f := range r.Feeds {
		if f.Name != feeds[i] || f.Guards != guards || f.Samples != kicks*guards || f.Late != 0 || f.P50 > f.P99 || f.P99 > f.Max {
			t.Errorf("%s", out)
		}
	}
	t.Logf("%s", out)
}

func TestBenchOfAnInstanceOfItsOwn(t *testing.T) {
	t.Parallel()
	measured(t, []string{"http", "stream"})
}

func TestBenchOfADevThatRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startDev(t, dir, freeAddr(t))
	measured(t, []string{"http", "sql"}, "--data-dir", dir)
}

func TestBenchOfAnInstallation(t *testing.T) {
	t.Parallel()
	i := install(t, true)
	i.serve(t, "auth")
	var made struct {
		Secret string `json:"client_secret"`
	}
	out, err := i.Run(t.Context(), nil, "client", "create", "watch", "--type", "confidential", "--grant", "client_credentials",
		"--scope", "sessions:watch", "--product", "shop", "--terminal", "mobile", "--output", "json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	i.target.Clients["watch"] = story.Client{ID: "watch", Secret: made.Secret}
	content, err := json.Marshal(i.target)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "target.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	measured(t, []string{"http", "stream"}, "--config", i.config, "--target", file, "--watcher", "watch")
}
