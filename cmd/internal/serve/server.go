package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	maxHeaderBytes    = 32 << 10
	readHeaderTimeout = 10 * time.Second
)

// Config is where and how a [Server] listens.
type Config struct {
	Addr string
	// AdminAddr is the address of the admin listener; empty for none. It speaks plain HTTP.
	AdminAddr string
	// TLSCertFile and TLSKeyFile make the main listener speak TLS. Both or none.
	TLSCertFile, TLSKeyFile                string
	ReadTimeout, WriteTimeout, IdleTimeout time.Duration
	// ShutdownTimeout bounds Stop.
	ShutdownTimeout time.Duration
	Log             *slog.Logger
}

// Server serves one or two listeners. Start and Stop it once.
type Server struct {
	config  Config
	drain   *drain
	servers []*http.Server
	addrs   []string
	done    sync.WaitGroup
	failed  chan error
}

// NewServer returns a server of main on Config.Addr and, if there is an admin address, admin on that.
func NewServer(c Config, main, admin http.Handler) (*Server, error) {
	switch {
	case c.Log == nil:
		return nil, errors.New("serve: a logger is required")
	case c.ReadTimeout <= 0 || c.WriteTimeout <= 0 || c.IdleTimeout <= 0 || c.ShutdownTimeout <= 0:
		return nil, errors.New("serve: every timeout must be above zero")
	case (c.TLSCertFile == "") != (c.TLSKeyFile == ""):
		return nil, errors.New("serve: a certificate needs its key, and a key its certificate")
	case c.AdminAddr != "" && admin == nil:
		return nil, errors.New("serve: the admin address has no handler")
	}
	s := &Server{config: c, drain: newDrain(), failed: make(chan error, 1)}
	s.servers = append(s.servers, s.server(main))
	if c.AdminAddr != "" {
		s.servers = append(s.servers, s.server(admin))
	}
	return s, nil
}

func (s *Server) server(h http.Handler) *http.Server {
	c := s.config
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: min(readHeaderTimeout, c.ReadTimeout),
		ReadTimeout:       c.ReadTimeout,
		WriteTimeout:      c.WriteTimeout,
		IdleTimeout:       c.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug), // strangers' broken handshakes
	}
}

// Start listens and returns; requests are served until Stop. It fails, and leaves nothing open, when
// an address or the certificate cannot be had.
func (s *Server) Start(ctx context.Context) error {
	addrs := []string{s.config.Addr, s.config.AdminAddr}
	listeners := make([]net.Listener, 0, len(s.servers))
	for i := range s.servers {
		l, err := s.listen(ctx, addrs[i], i == 0)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close() // the error of listen is the one to tell
			}
			return err
		}
		listeners = append(listeners, l)
		s.addrs = append(s.addrs, l.Addr().String())
	}
	base := context.WithValue(context.WithoutCancel(ctx), drainKey{}, s.drain)
	for i, h := range s.servers {
		h.BaseContext = func(net.Listener) context.Context { return base }
		s.done.Go(func() { s.serve(h, listeners[i]) })
	}
	return nil
}

func (s *Server) listen(ctx context.Context, addr string, secured bool) (net.Listener, error) {
	var certificates *certificate
	if secured && s.config.TLSCertFile != "" {
		certificates = &certificate{certFile: s.config.TLSCertFile, keyFile: s.config.TLSKeyFile, log: s.config.Log}
		if err := certificates.load(); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if certificates == nil {
		return l, nil
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: certificates.get, NextProtos: []string{"h2", "http/1.1"},
	}), nil
}

func (s *Server) serve(h *http.Server, l net.Listener) {
	err := h.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return
	}
	select {
	case s.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err):
	default: // the first failure is enough
	}
}

// Addr returns the address of the main listener, with the port that was given for :0.
func (s *Server) Addr() string { return s.addr(0) }

// AdminAddr returns the address of the admin listener, or "" if there is none.
func (s *Server) AdminAddr() string { return s.addr(1) }

func (s *Server) addr(i int) string {
	if i < len(s.addrs) {
		return s.addrs[i]
	}
	return ""
}

// Failed receives an error if a listener dies by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop stops accepting, ends the streams, waits for the requests in flight and returns when nothing
// runs any more. What is not done when ctx or the shutdown timeout ends is cut, and the error says so.
// A second Stop is harmless.
func (s *Server) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.ShutdownTimeout)
	defer cancel()
	s.drain.begin()
	// The admin listener goes last, so that readiness and metrics can be read during the stop.
	var err error
	for _, h := range s.servers {
		if e := h.Shutdown(ctx); e != nil {
			err = errors.Join(err, e, h.Close())
		}
	}
	// Streams that took over their connection are not known to the shutdown above.
	err = errors.Join(err, s.drain.wait(ctx))
	s.done.Wait()
	if err != nil {
		return fmt.Errorf("requests were cut off by the stop: %w", err)
	}
	return nil
}

// Run starts the server, waits until ctx ends or a listener dies, and stops it. leave, if not nil, is
// called before the stop begins.
func (s *Server) Run(ctx context.Context, leave func()) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	var died error
	select {
	case <-ctx.Done():
	case died = <-s.failed:
	}
	if leave != nil {
		leave()
	}
	return errors.Join(died, s.Stop(context.WithoutCancel(ctx)))
}
