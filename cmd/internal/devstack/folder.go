package devstack

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/tallystick/tallystick/keys/secret"
)

const (
	databaseFile = "tallystick.db"
	secretsFile  = "secrets.json"
	lockFile     = "lock"
	// ReadyFile is written when the instance is ready; its form is part of the contract with users.
	ReadyFile = "dev.json"
)

// Folder is the data folder of an instance.
type Folder struct {
	dir     string
	lock    *flock.Flock
	secrets secrets
}

// secrets are what secrets.json keeps. The file is readable by its owner alone.
type secrets struct {
	EncryptionKey string            `json:"encryption_key"`
	Clients       map[string]string `json:"clients"`
	Passwords     map[string]string `json:"passwords"`
}

// DatabasePath is where the database of a data folder is, whether or not an instance runs on it.
func DatabasePath(dir string) string { return filepath.Join(dir, databaseFile) }

// Open takes the folder for this process, and makes it if there is none. With fresh, what an
// instance left in it is removed first.
func Open(dir string, fresh bool) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if !held {
		return nil, fmt.Errorf("another instance uses %s: stop it, or choose another --data-dir", dir)
	}
	f := &Folder{dir: dir, lock: lock}
	if fresh {
		err = f.clear()
	} else {
		err = f.forgetReady()
	}
	if err == nil {
		err = f.loadSecrets()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close removes dev.json and lets the folder go.
func (f *Folder) Close() {
	_ = f.forgetReady()
	_ = f.lock.Unlock()
}

// clear removes what an instance makes, and nothing else.
func (f *Folder) clear() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name == secretsFile || name == ReadyFile || strings.HasPrefix(name, databaseFile) {
			if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
				return fmt.Errorf("start over: %w", err)
			}
		}
	}
	return nil
}

func (f *Folder) forgetReady() error {
	err := os.Remove(filepath.Join(f.dir, ReadyFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f *Folder) loadSecrets() error {
	path := filepath.Join(f.dir, secretsFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(DatabasePath(f.dir)); err == nil {
			return fmt.Errorf("%s is missing but there is a database: restore it, or start over with --fresh", path)
		}
		f.secrets = newSecrets()
		return f.write(secretsFile, f.secrets)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &f.secrets); err != nil {
		return fmt.Errorf("%s: %w (start over with --fresh)", path, err)
	}
	return nil
}

func newSecrets() secrets {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	s := secrets{EncryptionKey: base64.StdEncoding.EncodeToString(key), Clients: map[string]string{}, Passwords: map[string]string{}}
	for _, u := range demoUsers() {
		s.Passwords[u.name] = u.name + "-" + strings.ToLower(rand.Text()[:12])
	}
	return s
}

// write writes a file so that it is there whole or not at all.
func (f *Folder) write(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(f.dir, name+".new")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp, filepath.Join(f.dir, name)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// EncryptionKey seals the keys of the instance.
func (f *Folder) EncryptionKey() secret.Text { return secret.New(f.secrets.EncryptionKey) }

// DatabasePath is where the instance keeps its state.
func (f *Folder) DatabasePath() string { return DatabasePath(f.dir) }

// EncryptionKey reads the key of a data folder without taking it, for the command line beside an
// instance that may run.
func EncryptionKey(dir string) (secret.Text, error) {
	b, err := os.ReadFile(filepath.Join(dir, secretsFile))
	if err != nil {
		return secret.Text{}, fmt.Errorf("%w (is %s the --data-dir of a tallystick dev?)", err, dir)
	}
	var s secrets
	if err := json.Unmarshal(b, &s); err != nil {
		return secret.Text{}, fmt.Errorf("%s: %w", secretsFile, err)
	}
	return secret.New(s.EncryptionKey), nil
}

// CheckAddr refuses an address that is not loopback: the demo's passwords lie in a file.
func CheckAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return fmt.Errorf("--addr %q: write it as HOST:PORT, such as 127.0.0.1:8080", addr)
	}
	if host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--addr %s: dev listens on loopback addresses only (127.0.0.1, ::1, localhost); to be reached from outside use tallystick serve", addr)
	}
	return nil
}
