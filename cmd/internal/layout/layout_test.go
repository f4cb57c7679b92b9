package layout_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tallystick/tallystick"

// arrows says which of our packages each may import; a name that ends in "/..." stands for a
// package and all below it. The first match counts.
var arrows = []struct {
	from string
	to   []string
}{
	{"cmd/...", []string{"..."}},
	{"keys/secret", nil},
	{"storage/money", nil},
	{"storage/failpoint", nil},
	{"authserver/oauth", nil},
	{"configs", []string{"keys/secret", "storage/money"}},
	{"keys", []string{"keys/secret"}},
	{"keys/token", []string{"keys"}},
	{"storage", []string{"storage/money"}},
	{"storage/seal", []string{"storage"}},
	{"storage/sqlstore", []string{"storage", "storage/money", "storage/seal", "storage/failpoint"}},
	{"storage/mysql", []string{"storage/sqlstore", "storage", "keys/secret"}},
	{"storage/sqlite", []string{"storage/sqlstore", "storage"}},
	{"storage/redisstore", []string{"storage", "storage/failpoint", "keys/secret"}},
	{"storage/redisstore/embedded", []string{"keys/secret"}},
	{"storage/storagetest/...", []string{"storage/...", "keys/secret"}},
	{"resource/guard", []string{"storage", "keys/token"}},
	{"resource/guard/remote", []string{"resource/guard", "storage", "keys", "keys/token", "keys/secret"}},
	{"resource/wallet", []string{"storage", "storage/money"}},
	{"resource/books", []string{"storage", "storage/money", "storage/seal"}},
	{"resource/sealer", []string{"storage"}},
	{"resource/outbox", []string{"storage", "keys/secret"}},
	{"resource/problem", []string{"resource/wallet", "resource/guard", "storage", "storage/money"}},
	{"resource/apidoc", []string{"resource/problem"}},
	{"resource/walletapi", []string{"resource/wallet", "resource/guard", "resource/problem", "resource/outbox", "storage", "storage/money", "keys/secret"}},
	{"resource/live", []string{"resource/guard", "storage", "keys/token"}},
	{"resource", []string{"resource/...", "storage"}},
	{"authserver/sdk", nil},
	{"authserver/sdk/script", nil},
	{"authserver/web", []string{"authserver/oauth", "storage"}},
	{"authserver/audit", []string{"storage", "authserver/oauth"}},
	{"authserver/product", []string{"storage", "authserver/oauth"}},
	{"authserver/client", []string{rooms, "authserver/product", "authserver/audit"}},
	{"authserver/brake", []string{rooms, "authserver/audit", "authserver/password"}},
	{"authserver/password", []string{rooms, "authserver/product", "authserver/audit"}},
	{"authserver/session", []string{rooms, "storage/failpoint", "authserver/product", "authserver/audit"}},
	{"authserver/issue", []string{rooms, "authserver/product", "authserver/audit"}},
	{"authserver/metadata", []string{rooms}},
	{"authserver/grant", []string{rooms, "authserver/product", "authserver/audit", "authserver/client", "authserver/password", "authserver/session", "authserver/issue", "authserver/federation", "authserver/handoff"}},
	{"authserver/federation", []string{rooms, "authserver/audit"}},
	{"authserver/wechat/wechattest", nil},
	{"authserver/wechat", []string{rooms, "authserver/federation"}},
	{"authserver/events", []string{rooms}},
	{"authserver/handoff", []string{rooms, "authserver/product", "authserver/audit", "authserver/client"}},
	{"authserver/admin", []string{rooms, "storage/money", "authserver/product", "authserver/audit", "authserver/session", "authserver/password"}},
	{"authserver/tokeninfo", []string{rooms, "authserver/audit", "authserver/client"}},
	{"authserver/account", []string{rooms, "authserver/audit", "authserver/password"}},
	{"authserver/pages", []string{rooms, "authserver/account", "authserver/audit", "authserver/client", "authserver/grant", "authserver/handoff"}},
	{"authserver/adminapi", []string{rooms, "storage/money", "authserver/audit", "authserver/admin", "authserver/client", "authserver/password"}},
	{"authserver/presence", []string{"storage"}},
	{"authserver", []string{"authserver/...", rooms, "storage/money"}},
}

// rooms stands for what every room of the authorization server may import.
const rooms = "(rooms)"

var roomsMay = []string{"authserver/oauth", "authserver/web", "storage", "keys", "keys/token", "keys/secret", "resource/guard"}

type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

func TestImportsFollowTheArrows(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		may, known := allowed(name)
		if !known {
			t.Errorf("package %s is not on the map: add it to the README and to the arrows here", name)
			continue
		}
		for _, imported := range p.Imports {
			ours, ok := strings.CutPrefix(imported, module+"/")
			if ok && !matchesAny(may, ours) {
				t.Errorf("%s imports %s: not an arrow of the map", name, ours)
			}
		}
	}
}

func TestGinStopsAtTheEdge(t *testing.T) {
	t.Parallel()
	edge := []string{
		"authserver", "authserver/events", "authserver/web", "authserver/grant", "authserver/metadata",
		"authserver/tokeninfo", "authserver/federation", "authserver/account", "authserver/adminapi", "authserver/handoff", "authserver/pages", "resource", "resource/guard", "resource/problem", "resource/walletapi", "cmd/...",
	}
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if slices.Contains(p.Imports, "github.com/gin-gonic/gin") && !matchesAny(edge, name) {
			t.Errorf("%s imports Gin", name)
		}
	}
}

func TestEveryPackageHasDoc(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		if !slices.Contains(p.GoFiles, "doc.go") && len(p.GoFiles) > 1 {
			t.Errorf("%s has no doc.go", p.ImportPath)
		}
	}
}

func TestTopFolder(t *testing.T) {
	t.Parallel()
	want := []string{
		"cmd", "authserver", "resource", "storage", "keys", "configs", "go.mod", "go.sum", "README.md", "LICENSE", "CHANGELOG.md",
		"Makefile", "Dockerfile", "compose.yaml",
	}
	out, err := exec.CommandContext(t.Context(), "git", "-C", root(t), "ls-files").Output()
	if err != nil {
		t.Skipf("SKIPPED: this is not a git checkout: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(line), "/")
		if !slices.Contains(want, top) && !strings.HasPrefix(top, ".") {
			t.Errorf("%s does not belong in the top folder", top)
		}
	}
}

func allowed(name string) ([]string, bool) {
	for _, a := range arrows {
		if matches(a.from, name) {
			var to []string
			for _, target := range a.to {
				if target == rooms {
					to = append(to, roomsMay...)
				} else {
					to = append(to, target)
				}
			}
			return to, true
		}
	}
	return nil, false
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

func matches(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == prefix || strings.HasPrefix(name, prefix+"/")
	}
	return pattern == name
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// look opens every folder of the module. The go command gives a result from its cache if all that the
// test itself looked at is as it was, and what go list reads is none of that.
func look(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root(t), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone since it was listed
		case err != nil:
			return err
		case d.IsDir() && path != root(t) && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T) []pkg {
	t.Helper()
	look(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Dir = root(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(out); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 10 {
		t.Fatalf("go list found only %d packages", len(pkgs))
	}
	return pkgs
}
