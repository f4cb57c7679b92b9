package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// EnvScreenshots is the environment variable that names the folder of screenshots.
const EnvScreenshots = "TALLYSTICK_SCREENSHOTS"

// TabWithin bounds the life of a tab, and so every wait in it.
const TabWithin = time.Minute

// Tab is one page. Its methods fail the test where they return no error, so they are for the goroutine
// of the test; [Tab.Context] is for whatever they do not have.
type Tab struct {
	t   testing.TB
	ctx context.Context //nolint:containedctx // chromedp's handle of a tab is a context

	mu        sync.Mutex
	errors    []string
	tolerated []string
}

func open(t testing.TB, parent context.Context, options ...chromedp.ContextOption) *Tab { //nolint:revive // the test comes first
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	ctx, stop := context.WithTimeout(ctx, TabWithin)
	tab := &Tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		tab.finish()
		stop()
		cancel()
	})
	if err := chromedp.Listen(ctx, tab.hear); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return tab
}

// Sibling opens another tab of the same user: it shares cookies, storage and locks with this one.
func (tab *Tab) Sibling() *Tab {
	tab.t.Helper()
	return open(tab.t, tab.ctx)
}

// Context is the tab's, for chromedp's own functions.
func (tab *Tab) Context() context.Context { return tab.ctx }

// Do runs actions one after the other, and fails the test with the first error.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	if err := chromedp.Do(tab.ctx, actions...); err != nil {
		tab.t.Fatal(err)
	}
}

// Go opens a page and waits until it has loaded.
func (tab *Tab) Go(url string) {
	tab.t.Helper()
	tab.Do(chromedp.Navigate(url))
}

// Text is the visible text of the first element that a CSS selector finds; it waits for the element.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	return Get(tab, chromedp.Text(chromedp.CSS(selector)))
}

// Await waits until a JavaScript expression is true.
func (tab *Tab) Await(expression string) {
	tab.t.Helper()
	if _, err := chromedp.Run(tab.ctx, chromedp.Poll[chromedp.Void](expression)); err != nil {
		tab.t.Fatalf("waiting for %s: %v", expression, err)
	}
}

// Get runs an action and returns what it found, or fails the test.
func Get[T any](tab *Tab, action chromedp.Action[T]) T {
	tab.t.Helper()
	v, err := chromedp.Run(tab.ctx, action)
	if err != nil {
		tab.t.Fatal(err)
	}
	return v
}

// Eval evaluates a JavaScript expression, waits for it if it is a promise, and decodes its JSON.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	v, err := chromedp.Run(tab.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatalf("%v, in\n%s", err, expression)
	}
	return v
}

// Tolerate says that errors whose text contains one of these are expected: a browser reports every
// answer of 400 and above as one.
func (tab *Tab) Tolerate(texts ...string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.tolerated = append(tab.tolerated, texts...)
}

// Errors are the errors that the page has reported so far and that are not tolerated.
func (tab *Tab) Errors() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	var found []string
	for _, e := range tab.errors {
		if !containsAny(e, tab.tolerated) {
			found = append(found, e)
		}
	}
	return found
}

func containsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// hear collects what the page reports. It runs in the loop that reads from the browser, so it is quick.
func (tab *Tab) hear(event any) {
	var text string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
		if thrown := e.ExceptionDetails.Exception; thrown != nil {
			text += " " + thrown.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type != runtime.ConsoleAPICalledTypeError {
			return
		}
		text = "console.error:"
		for _, a := range e.Args {
			text += " " + strings.TrimSpace(string(a.Value)+" "+a.Description)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level != log.EntryLevelError {
			return
		}
		text = e.Entry.Text + " " + e.Entry.URL
	default:
		return
	}
	const most = 100 // a page that throws in a loop has said enough
	tab.mu.Lock()
	defer tab.mu.Unlock()
	if len(tab.errors) < most {
		tab.errors = append(tab.errors, text)
	}
}

// finish judges what the page reported, and takes the picture of a failed test.
func (tab *Tab) finish() {
	// A round trip to the page: what it had reported by now has been heard when the answer is here.
	_ = chromedp.Do(tab.ctx, chromedp.Evaluate[chromedp.Void]("0"))
	for _, e := range tab.Errors() {
		tab.t.Errorf("the page reported: %s", e)
	}
	if tab.t.Failed() {
		tab.Screenshot("failed")
	}
}

// Screenshot writes what the whole page shows to the folder of screenshots, as TEST-NAME.png; without
// the folder it does nothing.
func (tab *Tab) Screenshot(name string) {
	tab.t.Helper()
	dir := os.Getenv(EnvScreenshots)
	if dir == "" {
		return
	}
	const lossless = 100
	picture, err := chromedp.Run(tab.ctx, chromedp.FullScreenshot(lossless))
	if err == nil {
		if err = os.MkdirAll(dir, 0o750); err == nil { //nolint:gosec // G703: whoever runs the tests names the folder
			err = os.WriteFile(filepath.Join(dir, fileName(tab.t.Name()+"-"+name)+".png"), picture, 0o600) //nolint:gosec // G703: as above
		}
	}
	if err != nil {
		tab.t.Log(fmt.Errorf("screenshot %s: %w", name, err))
	}
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

func fileName(s string) string { return notInNames.ReplaceAllString(s, "-") }
