package serve

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateCheck is how often the file of the certificate is looked at for a newer one.
const certificateCheck = time.Minute

// certificate is the certificate of a listener. Renewed files are picked up without a restart; one
// that cannot be read leaves the old one in place, and is told to the log.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu       sync.Mutex
	current  *tls.Certificate
	modified time.Time
	checked  time.Time
}

// load reads the pair of files.
func (c *certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

func (c *certificate) read() error {
	info, err := os.Stat(c.certFile)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current, c.modified, c.checked = &pair, info.ModTime(), time.Now()
	return nil
}

// get implements tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certificateCheck {
		c.checked = time.Now()
		if info, err := os.Stat(c.certFile); err != nil || !info.ModTime().Equal(c.modified) {
			if err = c.read(); err != nil {
				c.log.Warn("certificate not renewed", "err", err)
			}
		}
	}
	return c.current, nil
}
