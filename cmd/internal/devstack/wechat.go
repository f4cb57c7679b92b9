package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/authserver/wechat/wechattest"
	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/keys/secret"
)

// The demo's mini programs: one platform, so that a person is one user in both. The secrets open nothing but
// the stand-in.
const (
	wechatShop     = "wxdemoshop"
	wechatMusic    = "wxdemomusic"
	wechatSecret   = "secret-of-the-stand-in"
	wechatPlatform = "demo"
)

// WeChat is a stand-in for WeChat that listens on a loopback address, so that the demo needs no network.
type WeChat struct {
	server *http.Server
	base   string
	done   chan struct{}
}

// StartWeChat starts the stand-in on a free port.
func StartWeChat(ctx context.Context) (*WeChat, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the stand-in of WeChat: %w", err)
	}
	fake := wechattest.New(wechattest.Config{Apps: []wechattest.App{
		{ID: wechatShop, Secret: wechatSecret, Platform: wechatPlatform}, {ID: wechatMusic, Secret: wechatSecret, Platform: wechatPlatform},
	}})
	w := &WeChat{
		server: &http.Server{Handler: fake, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute},
		base:   "http://" + l.Addr().String(), done: make(chan struct{}),
	}
	go func() {
		defer close(w.done)
		_ = w.server.Serve(l) // until Stop
	}()
	return w, nil
}

// Stop stops the stand-in, and waits for it.
func (w *WeChat) Stop() error {
	err := w.server.Close()
	<-w.done
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Config makes a configuration sign users in by the stand-in.
func (w *WeChat) Config(c *configs.Config) {
	app := func(id string, clients ...string) configs.WeChatApp {
		return configs.WeChatApp{AppID: id, Secret: secret.New(wechatSecret), Platform: wechatPlatform, Clients: clients}
	}
	c.WeChat.BaseURL = w.base
	c.WeChat.Apps = map[string]configs.WeChatApp{
		"shop": app(wechatShop, "shop-app", "shop-web", "shop-server"), "music": app(wechatMusic, "music-app"),
	}
}

// Mint is where a code is made, as wx.login does on a phone: add openid and unionid.
func (w *WeChat) Mint() string { return w.base + "/mint?app=" + wechatShop }
