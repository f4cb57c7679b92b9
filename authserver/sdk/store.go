package sdk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Store keeps a sign-in over restarts. What it keeps is as good as a password until the session ends:
// put it where other programs and other users cannot read it, such as the key chain of the system.
type Store interface {
	// Load returns what was saved last, and nothing without an error if that was nothing.
	Load(ctx context.Context) ([]byte, error)
	// Save replaces what is kept, at once and as a whole: a crash must leave the old or the new. Nothing
	// is saved to forget.
	Save(ctx context.Context, data []byte) error
}

// FileStore is a [Store] in a file at a path, readable by its owner alone. The file is replaced
// atomically, so a process that is killed leaves the old or the new, and processes of one user may share
// it (see the package's notes on several processes). The folder must exist, and others should not be able to
// write to it.
type FileStore string

// maxStored bounds the file: a sign-in is a few kilobytes.
const maxStored = 1 << 20

// Load implements Store.
func (f FileStore) Load(context.Context) ([]byte, error) {
	info, err := os.Stat(string(f))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Size() > maxStored:
		return nil, fmt.Errorf("sdk: %s is over %d bytes; that is no sign-in", string(f), maxStored)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows": // which has no such bits
		return nil, fmt.Errorf("sdk: %s can be read by others; run: chmod 600 %[1]s", string(f))
	}
	return os.ReadFile(string(f))
}

// Save implements Store.
func (f FileStore) Save(_ context.Context, data []byte) (err error) {
	if len(data) == 0 {
		if err := os.Remove(string(f)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	// CreateTemp makes the file with mode 0600. In the same folder, so that renaming replaces it.
	tmp, err := os.CreateTemp(filepath.Dir(string(f)), "."+filepath.Base(string(f))+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync() // or a crash of the machine could leave an empty file under the name
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), string(f))
}

// load takes up what the store holds.
func (c *Client) load(ctx context.Context) error {
	h, err := c.read(ctx)
	if h != nil {
		c.epoch++
		h.epoch = c.epoch
		c.held = h
	}
	return err
}

// read reads the store; nil if it holds nothing.
func (c *Client) read(ctx context.Context) (*held, error) {
	if c.cfg.Store == nil {
		return nil, nil
	}
	data, err := c.cfg.Store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("sdk: read the store: %w", err)
	}
	if len(data) == 0 {
		return nil, nil
	}
	return c.unpack(data)
}

// save writes the sign-in as it is now.
func (c *Client) save(ctx context.Context) error {
	if c.cfg.Store == nil {
		return nil
	}
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	h := c.held
	c.mu.Unlock()
	if h == nil {
		return nil // signed out meanwhile, and forgotten there
	}
	data, err := c.pack(h)
	if err != nil {
		return err
	}
	return c.cfg.Store.Save(ctx, data)
}

// forget empties the store, unless another process has signed in anew meanwhile.
func (c *Client) forget(ctx context.Context, gone *held) error {
	if c.cfg.Store == nil {
		return nil
	}
	c.saving.Lock()
	defer c.saving.Unlock()
	if other, err := c.read(ctx); err == nil && other != nil && other.id != gone.id {
		return nil
	}
	return c.cfg.Store.Save(ctx, nil)
}
