package browser

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// EnvBinary is the environment variable that names the binary of Chromium.
const EnvBinary = "TALLYSTICK_TEST_CHROMIUM"

// stopWithin bounds a polite stop; what is left then is killed.
const stopWithin = 10 * time.Second

// Browser is one Chromium, started when the first tab is asked for. Its zero value is ready.
type Browser struct {
	once sync.Once
	ctx  context.Context //nolint:containedctx // chromedp's handle of a browser is a context
	stop func()
	err  error
}

// errMissing says that no Chromium is installed.
var errMissing = errors.New("no Chromium found: install the package chromium, or name the binary in " + EnvBinary)

// start starts Chromium once and remembers how that went.
func (b *Browser) start() error {
	b.once.Do(func() {
		path := find()
		if path == "" {
			b.err = errMissing
			return
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.DisableGPU)
		if os.Geteuid() == 0 {
			options = append(options, chromedp.NoSandbox)
		}
		allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		b.ctx, b.stop = ctx, func() {
			patience, enough := context.WithTimeout(ctx, stopWithin)
			_ = chromedp.Cancel(patience) // what does not close politely is killed below
			enough()
			cancel()
			release()
		}
		b.err = chromedp.Do(ctx)
	})
	return b.err
}

// Stop closes Chromium and waits until it is gone. Without a tab there is nothing to stop.
func (b *Browser) Stop() {
	b.once.Do(func() { b.err = errors.New("the browser was stopped before its first tab") })
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
}

// Tab opens a tab with cookies and storage of its own. It is closed when the test ends.
func (b *Browser) Tab(t testing.TB) *Tab {
	t.Helper()
	if err := b.start(); errors.Is(err, errMissing) && os.Getenv("CI") == "" {
		t.Skipf("SKIPPED: %v", err)
	} else if err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return open(t, b.ctx, chromedp.WithNewBrowserContext())
}

// find is the path of Chromium, or "".
func find() string {
	if path := os.Getenv(EnvBinary); path != "" {
		return path
	}
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome-stable", "google-chrome",
		"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
