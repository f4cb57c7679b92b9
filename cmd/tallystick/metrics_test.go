package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/cmd/internal/devstack"
)

var update = flag.Bool("update", false, "write the golden files anew")

// errLooked ends a process that has been looked at.
var errLooked = errors.New("looked")

// devProcess assembles what tallystick dev runs.
func devProcess(t *testing.T) *process {
	t.Helper()
	folder, err := devstack.Open(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	addr, err := fixedAddr(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := devstack.Config(addr, folder.EncryptionKey())
	wechat, err := devstack.StartWeChat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = wechat.Stop() })
	wechat.Config(&cfg)
	store, err := openDevStore(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	registry := prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	redis, stop, err := openDevRedis(t.Context(), cfg, "127.0.0.1:0", log, registry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	p, err := newProcess(t.Context(), cfg, roleAll, store, redis, log, registry)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var described = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)"(?:, unit: "[^"]*")?, constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)

// metric is what a registry says of a metric.
type metric struct{ name, labels, help string } // labels: those that vary

// metricsOf lists our own metrics, also those that have no value yet.
func metricsOf(t *testing.T, r *prometheus.Registry) []metric {
	t.Helper()
	all := make(chan *prometheus.Desc)
	go func() {
		r.Describe(all)
		close(all)
	}()
	var list []metric
	for desc := range all {
		m := described.FindStringSubmatch(desc.String())
		if m == nil {
			t.Fatalf("not understood: %s", desc)
		}
		if strings.HasPrefix(m[1], "tallystick_") {
			list = append(list, metric{m[1], m[4], m[2]})
		}
	}
	slices.SortFunc(list, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return list
}

const goldenMetrics = "testdata/metrics.txt"

// golden reads the names that operators may rely on.
func golden(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(goldenMetrics)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(data)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		names = append(names, name)
	}
	return names
}

// TestMetrics pins the names and labels of all metrics: dashboards and alerts hang on them.
func TestMetrics(t *testing.T) {
	t.Parallel()
	p := devProcess(t)
	var lines []string
	for _, m := range metricsOf(t, p.registry) {
		lines = append(lines, strings.TrimSpace(m.name+" "+m.labels))
		if !strings.HasSuffix(m.help, ".") {
			t.Errorf("what %s says of itself is no sentence: %q", m.name, m.help)
		}
	}
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(goldenMetrics, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenMetrics)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("metrics have changed; if that is meant, run with -update (-golden +now):\n%s", d)
	}
}

// TestMetricsAreServed looks at /metrics of a running process.
func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	p := devProcess(t)
	var body []byte
	err := p.run(t.Context(), func(addr string) (err error) {
		body, err = get(t.Context(), "http://"+addr+"/metrics")
		return errors.Join(errLooked, err)
	})
	if !errors.Is(err, errLooked) || len(body) == 0 {
		t.Fatal(err)
	}
	names := golden(t)
	served := 0
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (tallystick_\w+) `).FindAllSubmatch(body, -1) {
		served++
		if !slices.Contains(names, string(m[1])) {
			t.Errorf("%s is not in the golden list", m[1])
		}
	}
	if served < 20 {
		t.Errorf("only %d metrics are served", served)
	}
}

func get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// dashboard is the part of a Grafana dashboard that is looked at.
type dashboard struct {
	Title  string  `json:"title"`
	UID    string  `json:"uid"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	Grid    grid   `json:"gridPos"`
	Targets []struct {
		Expr  string `json:"expr"`
		RefID string `json:"refId"`
	} `json:"targets"`
}

type grid struct{ X, Y, W, H int }

// TestDashboard holds the dashboard to metrics that exist.
func TestDashboard(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../.grafana/tallystick.json")
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&board); err != nil {
		t.Fatal(err)
	}
	names, ids, shown := golden(t), map[int]bool{}, 0
	part := regexp.MustCompile(`_(bucket|sum|count)$`)
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.Grid.W < 1 || p.Grid.X+p.Grid.W > 24 {
			t.Errorf("panel %d %q has no title, no place, or the number of another", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			shown++
			used := regexp.MustCompile(`tallystick_\w+`).FindAllString(target.Expr, -1)
			if len(used) == 0 || target.RefID == "" {
				t.Errorf("panel %q: %s uses none of our metrics", p.Title, target.Expr)
			}
			for _, name := range used {
				if !slices.Contains(names, name) && !slices.Contains(names, part.ReplaceAllString(name, "")) {
					t.Errorf("panel %q uses %s, which is no metric", p.Title, name)
				}
			}
		}
	}
	if board.UID == "" || shown < 10 {
		t.Errorf("%q shows %d things", board.Title, shown)
	}
}
