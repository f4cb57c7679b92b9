package redisstore_test

import (
	"net"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/keys/secret"
)

// silent is a server that accepts connections and never answers.
func silent(t *testing.T) secret.Text {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
		for _, c := range open {
			_ = c.Close()
		}
	})
	return secret.New("redis://" + l.Addr().String())
}
