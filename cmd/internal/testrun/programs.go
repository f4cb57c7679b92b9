package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// chromiumEngine is what the tests of pages and of the JavaScript module run in.
func chromiumEngine() engine {
	return engine{
		name: "chromium", variable: chromiumVar,
		binaries: []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"},
		packages: map[string][]string{"apt-get": {"chromium"}, "dnf": {"chromium"}, "apk": {"chromium"}},
		probe:    probeProgram,
	}
}

// nodeEngine runs the JavaScript module outside a browser. Chromium runs the same tests of it, so it
// is not insisted on.
func nodeEngine() engine {
	return engine{
		name: "node", variable: nodeVar, optional: true,
		binaries: []string{"node", "nodejs"},
		packages: map[string][]string{"apt-get": {"nodejs"}, "dnf": {"nodejs"}, "apk": {"nodejs"}},
		probe:    probeProgram,
	}
}

// probeProgram answers with the version that a program prints.
func probeProgram(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return version, nil
}
