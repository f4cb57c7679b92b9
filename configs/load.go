package configs

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/keys/secret"
)

// maxSecretFile bounds a file with a secret in it.
const maxSecretFile = 16 << 10

// Load reads the file at path, then environ (as of [os.Environ]), then the files that they name, and
// validates the whole. The error is an [*InvalidError], or says that the file cannot be read. An empty path
// stands for an empty file, so that everything comes from the environment.
func Load(path string, environ []string) (Config, error) {
	if path == "" {
		return Parse("", nil, environ)
	}
	data, err := readBounded(path, maxFile+1)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data, environ)
}

// Parse is [Load] of a file that was read already. Its name stands in faults, and relative paths are
// taken from its folder.
func Parse(name string, data []byte, environ []string) (Config, error) {
	c := Default()
	r := &reader{c: &c, tree: grow(name, data), where: map[string]string{}, known: map[string]bool{}}
	if len(r.tree.faults) > 0 {
		return Config{}, r.tree.faults.orNil() // what the keys say cannot be told yet
	}
	r.environment(environ)
	r.static()
	r.products()
	r.hmacKeys()
	r.wechatApps()
	r.walletExponents()
	r.walletLimits()
	r.unknown()
	r.files(filepath.Dir(name))
	if len(c.Audience) == 0 && c.Issuer != "" {
		c.Audience = []string{c.Issuer}
	}
	for _, f := range c.faults() {
		if !r.reported(f.Key) {
			f.Where = r.place(f.Key)
			r.faults = append(r.faults, f)
		}
	}
	if err := r.faults.orNil(); err != nil {
		return Config{}, err
	}
	c.Warnings = append(c.Warnings, c.warnings()...)
	return c, nil
}

// reader fills a configuration from a tree and the environment.
type reader struct {
	c      *Config
	tree   *tree
	vars   map[string]string // ours, by name; those that were used are deleted
	where  map[string]string // file:line or variable of each path that was set
	known  map[string]bool   // the paths that there are
	faults faults
}

// reported says that a key could not be read, so that what its field holds means nothing.
func (r *reader) reported(path string) bool {
	return slices.ContainsFunc(r.faults, func(f Fault) bool { return f.Key == path || f.Key == path+"_file" })
}

// place says where a path was set, or else the file where it should have been.
func (r *reader) place(path string) string {
	if w, set := r.where[path]; set {
		return w
	}
	if w, set := r.tree.lines[path]; set {
		return w
	}
	return r.tree.file
}

// platformVar matches what container platforms set for services whose name begins with ours.
var platformVar = regexp.MustCompile(`^TALLYSTICK_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$`)

func (r *reader) environment(environ []string) {
	r.vars = map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, envPrefix) && !strings.HasPrefix(name, envPrefix+"TEST_") && !platformVar.MatchString(name) {
			r.vars[name] = value
		}
	}
}

func (r *reader) static() {
	for _, k := range r.c.keys() {
		r.read(k)
	}
}

// read fills one key from the file and then from its variable.
func (r *reader) read(k key) {
	r.known[k.path] = true
	if l, set := r.tree.leaves[k.path]; set {
		r.where[k.path] = r.tree.lines[k.path]
		r.take(k, l)
	}
	name := env(k.path)
	if value, set := r.vars[name]; set {
		delete(r.vars, name)
		r.where[k.path] = "environment " + name
		if k.setList != nil {
			r.take(k, leaf{kind: listing, items: commas(value)})
		} else {
			r.take(k, leaf{text: value})
		}
	}
}

func (r *reader) take(k key, l leaf) {
	fault := func(text string) { r.faults.add(r.where[k.path], k.path, "%s", text) }
	switch {
	case l.kind == nothing:
		fault("has no value; give it one or remove the line")
	case l.kind == section:
		fault("is a single value, not a section")
	case k.setList != nil && l.kind == scalar:
		fault("is a list; write [a, b]")
	case k.setList == nil && l.kind == listing:
		fault("is a single value, not a list")
	case k.setList != nil:
		if err := k.setList(l.items); err != nil {
			fault(err.Error())
		}
	default:
		if err := k.set(l.text); err != nil {
			fault(err.Error())
		}
	}
}

func commas(s string) []string {
	out := []string{}
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// unknown reports every path and variable of ours that nothing has asked for.
func (r *reader) unknown() {
	paths := make([]string, 0, len(r.known))
	names := make([]string, 0, len(r.known))
	for p := range r.known {
		paths, names = append(paths, p), append(names, env(p))
	}
	slices.Sort(paths)
	slices.Sort(names)
	for _, p := range r.tree.order {
		if r.known[p] {
			continue
		}
		under := p + "."
		kind := r.tree.leaves[p].kind
		if i := slices.IndexFunc(paths, func(k string) bool { return strings.HasPrefix(k, under) }); i >= 0 || sectionOfNames(p) {
			if kind != nothing && kind != section {
				r.faults.add(r.tree.lines[p], p, "is a section; indent its keys under it")
			}
			continue
		}
		r.strange(r.tree.lines[p], p, paths)
	}
	left := make([]string, 0, len(r.vars))
	for name := range r.vars {
		left = append(left, name)
	}
	slices.Sort(left)
	for _, name := range left {
		r.strange("environment", name, names)
	}
}

func (r *reader) strange(where, name string, known []string) {
	if near, found := nearest(name, known); found {
		r.faults.add(where, name, "is not known; did you mean %s?", near)
		return
	}
	r.faults.add(where, name, "is not known; configs/tallystick.example.yaml lists every key")
}

// files reads the secrets that are named by file.
func (r *reader) files(folder string) {
	r.file(folder, "mysql.dsn", &r.c.MySQL.DSN, r.c.MySQL.DSNFile)
	r.file(folder, "redis.url", &r.c.Redis.URL, r.c.Redis.URLFile)
	r.file(folder, "keys.encryption_key", &r.c.Keys.EncryptionKey, r.c.Keys.EncryptionKeyFile)
	for _, id := range slices.Sorted(maps.Keys(r.c.Password.HMACKeys)) {
		h := r.c.Password.HMACKeys[id]
		r.file(folder, "password.hmac_keys."+id+".secret", &h.Secret, h.SecretFile)
		r.c.Password.HMACKeys[id] = h
	}
	for _, name := range slices.Sorted(maps.Keys(r.c.WeChat.Apps)) {
		a := r.c.WeChat.Apps[name]
		r.file(folder, wechatPath+"."+name+".secret", &a.Secret, a.SecretFile)
		r.c.WeChat.Apps[name] = a
	}
	for _, p := range []*string{&r.c.Listen.TLSCertFile, &r.c.Listen.TLSKeyFile} {
		if *p != "" {
			*p = from(folder, *p)
		}
	}
}

func (r *reader) file(folder, path string, to *secret.Text, name string) {
	fileKey := path + "_file"
	switch {
	case name == "":
		return
	case !to.Empty():
		r.faults.add(r.place(fileKey), fileKey, "and %s are both set; keep one", path)
		return
	}
	name = from(folder, name)
	info, err := os.Stat(name)
	if err != nil {
		r.faults.add(r.place(fileKey), fileKey, "%s", cause(err))
		return
	}
	if info.Mode().Perm()&0o007 != 0 {
		r.c.Warnings = append(r.c.Warnings, fmt.Sprintf("%s: %s may be used by everyone on this host; chmod 600 it", fileKey, name))
	}
	data, err := readBounded(name, maxSecretFile+1)
	switch {
	case err != nil:
		r.faults.add(r.place(fileKey), fileKey, "%s", cause(err))
	case len(data) > maxSecretFile:
		r.faults.add(r.place(fileKey), fileKey, "%s is longer than %d bytes; that is no secret", name, maxSecretFile)
	default:
		s := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
		if s == "" {
			r.faults.add(r.place(fileKey), fileKey, "%s is empty", name)
		}
		*to = secret.New(s)
	}
}

func from(folder, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(folder, name)
}

// cause shortens an error of the file system to "NAME: no such file or directory".
func cause(err error) string {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Path + ": " + pe.Err.Error()
	}
	return err.Error()
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
