package configs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys/secret"
)

// knownKeys lists every key, with shop and old-shop for the names that the operator chooses.
func knownKeys() []string {
	var c Config
	var all []string
	for _, k := range c.keys() {
		all = append(all, k.path)
	}
	for _, k := range new(Terminal).keys("products.shop.terminals.mobile") {
		all = append(all, k.path)
	}
	for _, k := range new(HMACKey).keys("password.hmac_keys.old-shop") {
		all = append(all, k.path)
	}
	return all
}

func TestVariablesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, path := range knownKeys() {
		if other, twice := seen[env(path)]; twice {
			t.Errorf("%s and %s share the variable %s", path, other, env(path))
		}
		seen[env(path)] = path
	}
}

func TestEveryExampleFileLoads(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.example.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v, %v", files, err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"encryption_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "mysql_dsn": "u:p@tcp(mysql:3306)/tallystick\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "/run/secrets/", "")
		if _, err := Parse(filepath.Join(dir, file), []byte(text), nil); err != nil {
			t.Errorf("%s:\n%v", file, err)
		}
	}
}

var exampleLine = regexp.MustCompile(`^( *)((?:# )?)( *)([a-z0-9_-]+):((?: .*)?)$`)

// exampleKeys reads the example by its indentation, commented keys included. It returns the paths, and
// the file with the comment signs taken off every key that keep accepts.
func exampleKeys(t *testing.T, keep func(path string) bool) (paths []string, uncommented string) {
	t.Helper()
	data, err := os.ReadFile("tallystick.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var path []string
	var lines []string
	for line := range strings.Lines(string(data)) {
		m := exampleLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		depth := (len(m[1]) + len(m[3])) / 2
		if depth > len(path) || !known(strings.Join(append(slices.Clone(path[:depth]), m[4]), ".")) {
			continue // a sentence with a colon
		}
		path = append(path[:depth], m[4])
		paths = append(paths, strings.Join(path, "."))
		if keep(strings.Join(path, ".")) {
			lines = append(lines, m[1]+m[3]+m[4]+":"+m[5])
		}
	}
	return paths, strings.Join(lines, "\n") + "\n"
}

// known says that a path is a key or a section of keys.
func known(path string) bool {
	path = strings.NewReplacer(".browser", ".mobile", ".api", ".mobile", "products.music", "products.shop").Replace(path)
	return slices.ContainsFunc(knownKeys(), func(k string) bool { return k == path || strings.HasPrefix(k, path+".") })
}

func TestExampleMentionsEveryKey(t *testing.T) {
	t.Parallel()
	mentioned, _ := exampleKeys(t, func(string) bool { return true })
	for _, key := range knownKeys() {
		if !slices.Contains(mentioned, key) {
			t.Errorf("the example does not mention %s", key)
		}
	}
}

// TestExampleSaysTheDefaults loads the example with its commented keys and without them: where it says
// more than Default, or something else, the two differ.
func TestExampleSaysTheDefaults(t *testing.T) {
	t.Parallel()
	mustBeSaid := regexp.MustCompile(`^(issuer|mysql\.dsn|redis\.url|keys\.encryption_key_file|products.*)$`)
	noDefault := regexp.MustCompile(`^(audience|cors.*|listen\.(admin_addr|tls_.*|trusted_proxies)|mysql\.dsn_file|redis\.url_file|keys\.encryption_key|password\.hmac_keys.*|live\.origins|pages\.client|webhooks\.allowed_networks)$`)
	_, all := exampleKeys(t, func(path string) bool { return !noDefault.MatchString(path) })
	_, least := exampleKeys(t, func(path string) bool {
		section := slices.Contains([]string{"mysql", "redis", "keys"}, path)
		return section || mustBeSaid.MatchString(path)
	})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "encryption_key"), []byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(text string) Config {
		c, err := Parse(filepath.Join(dir, "t.yaml"), []byte(text), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return c
	}
	same := cmp.Comparer(func(a, b secret.Text) bool { return a.Reveal() == b.Reveal() })
	if diff := cmp.Diff(load(least), load(all), same); diff != "" {
		t.Errorf("what is commented out is not the default (-default +example):\n%s", diff)
	}
}
