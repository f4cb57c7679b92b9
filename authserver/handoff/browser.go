package handoff

import (
	"strings"
	"unicode/utf8"
)

// maxBrowser is the longest summary of an unknown user agent, in bytes.
const maxBrowser = 40

// Browser says in a few words which browser a user agent claims to be, on which system: for people who are
// asked whether it is theirs. It is a claim: anybody can send any user agent.
func Browser(userAgent string) string {
	// More special ones first: they all claim to be the others as well.
	browsers := [][2]string{
		{"MicroMessenger/", "WeChat"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"Edg/", "Edge"}, {"OPR/", "Opera"},
		{"SamsungBrowser/", "Samsung Internet"}, {"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"},
		{"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systems := [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"},
		{"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
	browser, system := first(userAgent, browsers), first(userAgent, systems)
	switch {
	case browser != "" && system != "":
		return browser + " on " + system
	case browser != "":
		return browser
	}
	// A program: its first word, without a version.
	name, _, _ := strings.Cut(userAgent, " ")
	name, _, _ = strings.Cut(name, "/")
	for len(name) > maxBrowser {
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
	}
	if system != "" && name != "" {
		return name + " on " + system
	}
	return name
}

func first(text string, names [][2]string) string {
	for _, n := range names {
		if strings.Contains(text, n[0]) {
			return n[1]
		}
	}
	return ""
}
