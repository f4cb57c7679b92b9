package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/cmd/internal/browser"
)

var chromium browser.Browser

func TestMain(m *testing.M) {
	code := m.Run()
	chromium.Stop()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// page serves one document at every path.
func page(t *testing.T, html string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><link rel=icon href=data:,>" + html))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestTabsShareNothing(t *testing.T) {
	t.Parallel()
	url := page(t, "<p id=p></p><script>p.textContent = document.cookie + localStorage.x; document.cookie = 'a=1'; localStorage.x = 'kept'</script>")
	first, stranger := chromium.Tab(t), chromium.Tab(t)
	for _, tab := range []*browser.Tab{first, stranger} {
		tab.Go(url)
		if got := tab.Text("#p"); got != "undefined" {
			t.Errorf("a new tab knows %q", got)
		}
	}
	second := first.Sibling()
	second.Go(url)
	if got := second.Text("#p"); got != "a=1kept" {
		t.Errorf("a sibling knows %q", got)
	}
}

func TestWhatAPageReportsFailsItsTest(t *testing.T) {
	t.Parallel()
	for name, html := range map[string]string{
		"thrown":   "<script>throw new Error('boom')</script>",
		"rejected": "<script>Promise.reject(new Error('boom'))</script>",
		"console":  "<script>console.error('boom')</script>",
		"refused":  "<script src='data:text/plain,boom' integrity='sha256-boom'></script>",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := chromium.Tab(t)
			tab.Go(page(t, html))
			var found []string
			for len(found) == 0 {
				tab.Await("true") // fails when the tab's time is up
				found = tab.Errors()
			}
			if !strings.Contains(strings.Join(found, "\n"), "boom") {
				t.Errorf("reported %q", found)
			}
			tab.Tolerate("boom")
			if left := tab.Errors(); len(left) != 0 {
				t.Errorf("not tolerated: %q", left)
			}
		})
	}
}

func TestEvalAwaitsPromises(t *testing.T) {
	t.Parallel()
	tab := chromium.Tab(t)
	tab.Go(page(t, "<title>a page</title>"))
	if got := browser.Eval[map[string]int](tab, "Promise.resolve({a: 1})"); got["a"] != 1 {
		t.Errorf("%v", got)
	}
	if got := browser.Get(tab, chromedp.Title()); got != "a page" {
		t.Errorf("title %q", got)
	}
}

func TestScreenshots(t *testing.T) { //nolint:paralleltest // sets the environment
	dir := filepath.Join(t.TempDir(), "pictures")
	t.Setenv(browser.EnvScreenshots, dir)
	tab := chromium.Tab(t)
	tab.Go(page(t, "<p>a picture"))
	tab.Screenshot("of it/all")
	picture, err := os.ReadFile(filepath.Join(dir, "TestScreenshots-of-it-all.png"))
	if err != nil || !strings.HasPrefix(string(picture), "\x89PNG") {
		t.Errorf("%v, %d bytes", err, len(picture))
	}
}
