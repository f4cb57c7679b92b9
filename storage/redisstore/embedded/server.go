package embedded

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tallystick/tallystick/keys/secret"
)

// Config says where a server listens.
type Config struct {
	// Addr is a loopback address with a port; empty for any free port of 127.0.0.1.
	Addr string
}

// Server is a running server.
type Server struct {
	redis *miniredis.Miniredis
	addr  string
	stop  sync.Once
}

// Start starts a server. It listens when Start returns.
func Start(c Config) (*Server, error) {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if err := loopback(c.Addr); err != nil {
		return nil, err
	}
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.StartAddr(c.Addr); err != nil {
		return nil, fmt.Errorf("start embedded redis: %w", err)
	}
	return &Server{redis: m, addr: m.Addr()}, nil
}

func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("embedded redis: address: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("embedded redis: address must be one of the loopback interface, as 127.0.0.1:6399")
	}
	return nil
}

// Addr is the address with the port.
func (s *Server) Addr() string { return s.addr }

// URL is the address as redisstore takes it.
func (s *Server) URL() secret.Text { return secret.New("redis://" + s.addr) }

// Stop ends the server, its connections included. Stopping again does nothing.
func (s *Server) Stop() { s.stop.Do(s.redis.Close) }

// Flush forgets everything, as FLUSHALL does.
func (s *Server) Flush() { s.redis.FlushAll() }

// Advance lets TTLs pass by d at once.
func (s *Server) Advance(d time.Duration) { s.redis.FastForward(d) }
