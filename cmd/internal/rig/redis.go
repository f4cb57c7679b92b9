package rig

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Redis is a server without persistence: what it holds is lost when it stops, as it may be at any time.
type Redis struct {
	*Process

	// Addr is where it listens, also when it is started again.
	Addr string
	dir  string
	path string
}

// StartRedis starts a Redis on a free port, with its folder at dir.
func StartRedis(dir string) (*Redis, error) {
	path, err := find("redis-server", "valkey-server")
	if err != nil {
		return nil, err
	}
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	r := &Redis{Addr: addr, dir: dir, path: path}
	return r, r.Restart()
}

// Restart starts the server again, empty, after it was stopped or killed.
func (r *Redis) Restart() error {
	_, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return err
	}
	r.Process, err = Launch(Program{Path: r.path, Args: []string{
		"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", r.dir,
	}})
	if err != nil {
		return err
	}
	return r.Await("Redis", func() bool { return r.Command("PING") == nil })
}

// Command sends one inline command, such as FLUSHALL.
func (r *Redis) Command(line string) error {
	conn, err := net.DialTimeout("tcp", r.Addr, time.Second) //nolint:noctx // bounded.
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", line); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	if answer[0] == '-' {
		return errors.New(string(answer[:n]))
	}
	return nil
}
