// Package browser gives tests pages in a headless Chromium.
//
// A test binary declares one [Browser], asks it for a [Tab] in each test, and stops it in TestMain:
//
//	var chromium browser.Browser
//
//	func TestMain(m *testing.M) {
//		code := m.Run()
//		chromium.Stop()
//		os.Exit(code)
//	}
//
//	func TestTitle(t *testing.T) {
//		tab := chromium.Tab(t)
//		tab.Do(chromedp.Navigate(server.URL))
//		…
//	}
//
// It promises that Chromium starts with the first tab and not before; that each tab has cookies,
// storage and a cache of its own (a second tab of the same user is [Tab.Sibling]); that every wait ends
// within [TabWithin]; that a page which throws, or writes an error to its console, fails its test
// unless the test said that it would ([Tab.Tolerate]); and that nothing is left behind after
// [Browser.Stop]: no process, no goroutine, no folder.
//
// Where Chromium is not found the test is skipped aloud, and where CI is set it fails.
// TALLYSTICK_TEST_CHROMIUM names the binary; else the usual names are looked for.
//
// With TALLYSTICK_SCREENSHOTS set to a folder, [Tab.Screenshot] writes there, and a test that fails
// leaves a picture of what its tab showed last. Without it both do nothing.
//
// # Design notes
//
// One browser for a test binary: a start was measured at half a second, a tab at some tens of
// milliseconds. Tests that share nothing run in parallel all the same, because each tab is a browser
// context of its own, as a private window is.
//
// Chromium's sandbox stays on unless the tests run as root, where it refuses to start with it. Tests
// open only pages of ours, on loopback.
package browser
