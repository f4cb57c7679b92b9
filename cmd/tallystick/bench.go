package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/bench"
	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/cmd/internal/devstack"
	"github.com/tallystick/tallystick/cmd/internal/rig"
	"github.com/tallystick/tallystick/cmd/internal/story"
)

// The ways in which the guards of a bench hear of ends.
const (
	feedStream = "stream" // the Redis stream, over SQL
	feedSQL    = "sql"    // SQL alone
	feedHTTP   = "http"   // GET /v1/session-events
)

const (
	// maxKickOuts, maxGuards and maxBenchTime bound a bench.
	maxKickOuts  = 100_000
	maxGuards    = 16
	maxBenchTime = time.Hour
)

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "bench",
		Short:   "Measure an instance",
		Example: "  tallystick bench kickout\n  tallystick bench transfer",
	}
	c.AddCommand(benchKickoutCommand(), benchTransferCommand(), benchGuardCommand())
	return c
}

// site says which instance a bench measures; one of its own where it says nothing.
type site struct {
	dataDir, configFile, targetFile string
	anywhere                        bool
}

type kickoutOptions struct {
	site

	app, watcher  string
	count, guards int
	seconds, rate float64
}

func benchKickoutCommand() *cobra.Command {
	var o kickoutOptions
	c := cli.WithOutput(&cobra.Command{
		Use:   "kickout",
		Short: "Measure how long a superseded session is let in",
		Long: `Measure how long a superseded session is let in.

It starts guards in processes of their own, signs in over old sessions, and prints the time from the
answer of the sign-in to the first refusal by each guard: by the Redis stream, and by HTTP as in a service
that has nothing but HTTP access to the issuer. It counts the superseded tokens that strict checks let in
after the answer, of which there must be none.

Without flags it starts an instance of its own, in a temporary folder, and stops it at the end. With
--data-dir it measures a tallystick dev that runs (by SQL in place of the stream, which is its own). With
--config and --target it measures a real one: the target is a file in the form of dev.json, with the address
of the issuer, the clients and the users; these are signed in on their phones again and again.`,
		Example: `  tallystick bench kickout
  tallystick bench kickout --count 1000 --output json
  tallystick bench kickout --data-dir .tallystick
  tallystick bench kickout --config tallystick.yaml --target target.json`,
		Args: cli.Args(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return runKickout(c.Context(), c, o)
		},
	})
	o.flags(c)
	f := c.Flags()
	f.StringVar(&o.app, "app", "shop-app", "public client that signs users in on a kickout slot")
	f.StringVar(&o.watcher, "watcher", "admin", "confidential client with the scope sessions:watch")
	f.IntVar(&o.count, "count", 200, "kick-outs")
	f.Float64Var(&o.seconds, "seconds", 60, "end after so many seconds at the latest")
	f.Float64Var(&o.rate, "rate", 20, "kick-outs a second at most")
	f.IntVar(&o.guards, "guards", 2, "guards of each kind, each in a process of its own")
	return c
}

func (s *site) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.dataDir, dataDirFlag, "", "data `FOLDER` of a tallystick dev that runs")
	f.StringVar(&s.configFile, configFlag, "", "configuration `FILE` of the instance; with --target")
	f.StringVar(&s.targetFile, "target", "", "`FILE` that names issuer, clients and users, in the form of dev.json")
	f.BoolVar(&s.anywhere, "anywhere", false, "allow an issuer that is not on a loopback address")
}

func (s *site) check() error {
	switch {
	case (s.configFile == "") != (s.targetFile == ""):
		return cli.Usagef("--config and --target go together")
	case s.configFile != "" && s.dataDir != "":
		return cli.Usagef("--config and --data-dir name two instances; give one of them")
	}
	return nil
}

func (o *kickoutOptions) check() error {
	if err := o.site.check(); err != nil {
		return err
	}
	switch {
	case o.count < 1 || o.count > maxKickOuts:
		return cli.Usagef("--count %d: it must be between 1 and %d", o.count, maxKickOuts)
	case o.guards < 1 || o.guards > maxGuards:
		return cli.Usagef("--guards %d: it must be between 1 and %d", o.guards, maxGuards)
	case o.seconds <= 0 || o.seconds > maxBenchTime.Seconds():
		return cli.Usagef("--seconds %v: it must be above 0, and %v at most", o.seconds, maxBenchTime.Seconds())
	case o.rate <= 0:
		return cli.Usagef("--rate %v: it must be above 0", o.rate)
	}
	return nil
}

// instance is what a bench measures.
type instance struct {
	target story.Target
	// ways are those in which guards can hear of its ends; database and redis say where a guard that is
	// no client of it reads.
	ways     []string
	database target
	redis    string
}

func runKickout(ctx context.Context, c *cobra.Command, o kickoutOptions) error {
	in, stop, err := o.instance(ctx)
	if err != nil {
		return err
	}
	defer stop()
	plan, err := o.plan(in)
	if err != nil {
		return err
	}
	plan.Errors = c.ErrOrStderr()
	bar, done := cli.NewProgress(c.ErrOrStderr(), "kick-outs", int64(o.count), nil), int64(0)
	plan.Step = func() { done++; bar.Set(done, int64(o.count)) }
	report, err := bench.Kickout(ctx, plan)
	bar.End()
	if err != nil {
		return err
	}
	if err := cli.Print(c, report, func(w io.Writer) error { return printKickout(w, &report) }); err != nil {
		return err
	}
	if !report.Kept() {
		return cli.ErrSilent
	}
	return nil
}

// instance finds the instance, or starts one.
func (s *site) instance(ctx context.Context) (instance, func(), error) {
	if s.configFile == "" && s.dataDir == "" {
		return ownInstance(ctx)
	}
	in := instance{ways: []string{feedSQL, feedHTTP}, database: target{dataDir: s.dataDir}}
	file := filepath.Join(s.dataDir, devstack.ReadyFile)
	if s.configFile != "" {
		in = instance{ways: []string{feedStream, feedHTTP}, database: target{configFile: s.configFile}}
		file = s.targetFile
	}
	var err error
	in.target, err = story.Load(file)
	if errors.Is(err, os.ErrNotExist) && s.dataDir != "" {
		err = fmt.Errorf("no instance runs in %s: start one with tallystick dev --data-dir %[1]s", s.dataDir)
	}
	return in, func() {}, err
}

// loopback refuses an instance elsewhere, unless that is meant. what says what a bench does to it.
func (s *site) loopback(in instance, what string) error {
	issuer, err := url.Parse(in.target.Issuer)
	if err != nil {
		return fmt.Errorf("issuer of the target: %w", err)
	}
	if ip := net.ParseIP(issuer.Hostname()); !s.anywhere && issuer.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return cli.Usagef("%s is not on a loopback address; a bench %s: if that is meant, say --anywhere", in.target.Issuer, what)
	}
	return nil
}

// ownInstance starts a tallystick dev in a temporary folder.
func ownInstance(ctx context.Context) (instance, func(), error) {
	dir, err := os.MkdirTemp("", "tallystick-bench-")
	if err != nil {
		return instance{}, nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) }
	redis, err := rig.FreeAddr()
	if err != nil {
		remove()
		return instance{}, nil, err
	}
	self, err := os.Executable()
	if err != nil {
		remove()
		return instance{}, nil, err
	}
	p, err := rig.Launch(rig.Program{Path: self, Args: []string{"dev", "--addr", "127.0.0.1:0", "--data-dir", dir, "--redis-addr", redis}})
	if err != nil {
		remove()
		return instance{}, nil, err
	}
	stop := func() { p.Stop(); remove() }
	in := instance{ways: []string{feedStream, feedHTTP}, database: target{dataDir: dir}, redis: "redis://" + redis}
	err = p.Await("readiness", func() bool {
		if ctx.Err() != nil {
			return true
		}
		loaded, err := story.Load(filepath.Join(dir, devstack.ReadyFile))
		in.target = loaded
		return err == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		stop()
		return instance{}, nil, err
	}
	return in, stop, nil
}

// plan says what to measure at an instance.
func (o *kickoutOptions) plan(in instance) (bench.Plan, error) {
	if err := o.loopback(in, "signs users out again and again"); err != nil {
		return bench.Plan{}, err
	}
	app, known := in.target.Clients[o.app]
	if !known {
		return bench.Plan{}, fmt.Errorf("the target has no client %q: say which signs users in, with --app", o.app)
	}
	watcher, known := in.target.Clients[o.watcher]
	if !known || watcher.Secret == "" {
		return bench.Plan{}, fmt.Errorf("the target has no confidential client %q: say which may watch sessions, with --watcher", o.watcher)
	}
	plan := bench.Plan{
		Token: in.target.Issuer + "/oauth2/token", Client: app.ID, Count: o.count,
		Time: time.Duration(o.seconds * float64(time.Second)), Pause: time.Duration(float64(time.Second) / o.rate),
	}
	for _, u := range in.target.Users {
		plan.Users = append(plan.Users, bench.User{Username: u.Username, Password: u.Password})
	}
	slices.SortFunc(plan.Users, func(a, b bench.User) int { return strings.Compare(a.Username, b.Username) })
	self, err := os.Executable()
	if err != nil {
		return bench.Plan{}, err
	}
	for _, way := range in.ways {
		s := guardSettings{
			Way: way, ConfigFile: in.database.configFile, DataDir: in.database.dataDir, Redis: in.redis,
			Issuer: in.target.Issuer, Client: watcher.ID, Secret: watcher.Secret, Insecure: o.anywhere,
		}
		for range o.guards {
			plan.Guards = append(plan.Guards, bench.Start{Feed: way, Path: self, Args: []string{"bench", "guard"}, Settings: s})
		}
	}
	return plan, nil
}

func printKickout(w io.Writer, r *bench.Report) error {
	fmt.Fprintf(w, "%d kick-outs in %.1f s. From the answer of the sign-in to the first refusal of the old token, in ms:\n\n", r.KickOuts, r.Seconds)
	rows := make([][]string, 0, len(r.Feeds))
	for _, f := range r.Feeds {
		rows = append(rows, []string{
			f.Name, fmt.Sprint(f.Guards), fmt.Sprint(f.Samples), fmt.Sprintf("%.2f", f.P50), fmt.Sprintf("%.2f", f.P99), fmt.Sprintf("%.2f", f.Max), fmt.Sprint(f.Late),
		})
	}
	if err := cli.Table(w, []string{"FEED", "GUARDS", "SAMPLES", "P50", "P99", "MAX", "OVER 1 S"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nStrict checks of superseded tokens after the answer: %d, of which %d let in, %d without an answer.\n",
		r.Strict.Checks, r.Strict.Accepted, r.Strict.Unavailable)
	return err
}
