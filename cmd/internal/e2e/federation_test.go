package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/cmd/internal/story"
)

// wechatOf is where the stand-in for WeChat makes codes, as dev.json says.
func wechatOf(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ready struct {
		WeChat struct {
			Mint string `json:"mint"`
		} `json:"wechat"`
	}
	if err := json.Unmarshal(b, &ready); err != nil || ready.WeChat.Mint == "" {
		t.Fatalf("%v in %s", err, b)
	}
	return ready.WeChat.Mint
}

// mint is wx.login.
func mint(t *testing.T, at, openid string) string {
	t.Helper()
	r := mustCall(t, http.MethodGet, at+"&"+url.Values{"openid": {openid}, "unionid": {"union of " + openid}}.Encode(), http.Header{}, "")
	if r.status != http.StatusOK {
		t.Fatalf("no code: %d %s", r.status, r.body)
	}
	return string(r.body)
}

// askAsApp asks for tokens as shop-app on the terminal api.
func askAsApp(t *testing.T, target story.Target, parameters url.Values) reply {
	t.Helper()
	parameters.Set("client_id", "shop-app")
	parameters.Set("terminal", "api")
	return mustCall(t, http.MethodPost, target.Issuer+"/oauth2/token",
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, parameters.Encode())
}

// identity is the identity that the user of an answer has.
func identity(t *testing.T, target story.Target, r reply) string {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("signing in: %d %s", r.status, r.body)
	}
	list := mustCall(t, http.MethodGet, target.API+"/v1/identities", http.Header{"Authorization": {"Bearer " + r.field("access_token")}}, "")
	var ways struct {
		Identities []struct {
			ID string `json:"id"`
		} `json:"identities"`
	}
	if err := json.Unmarshal(list.body, &ways); err != nil || len(ways.Identities) != 1 {
		t.Fatalf("identities: %d %s", list.status, list.body)
	}
	return ways.Identities[0].ID
}

// TestMiniProgramOnDev: a mini program signs in, sends its code again as if the answer was lost, also to the
// next process, and is the same user ever after.
func TestMiniProgramOnDev(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddr(t)
	p, target := startDev(t, dir, addr)
	code := mint(t, wechatOf(t, dir), "a phone")
	byCode := func(code string) url.Values { return url.Values{"grant_type": {oauth.GrantWeChat}, "code": {code}} }
	first := identity(t, target, askAsApp(t, target, byCode(code)))
	p.Stop()
	_, target = startDev(t, dir, addr)
	for name, again := range map[string]string{"the answer was lost": code, "another code": mint(t, wechatOf(t, dir), "a phone")} {
		if got := identity(t, target, askAsApp(t, target, byCode(again))); got != first {
			t.Errorf("%s: identity %s, not %s", name, got, first)
		}
	}
	if r := askAsApp(t, target, byCode("nonsense")); r.field("error") != "invalid_grant" {
		t.Errorf("nonsense: %d %s", r.status, r.body)
	}
}

// TestEncryptedPasswordOnDev: a client that knows nothing but the key set signs in, once with a nonce.
func TestEncryptedPasswordOnDev(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(mustCall(t, http.MethodGet, target.Issuer+"/.well-known/jwks.json", http.Header{}, "").body, &set); err != nil {
		t.Fatal(err)
	}
	var sealed string
	for _, key := range set.Keys {
		if key.Use != "enc" {
			continue
		}
		encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		plain := fmt.Sprintf(`{"password":%q,"nonce":"a nonce of a test","iat":%d}`, target.Users["tom"].Password, time.Now().Unix())
		encrypted, err := encrypter.Encrypt([]byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if sealed, err = encrypted.CompactSerialize(); err != nil {
			t.Fatal(err)
		}
	}
	parameters := url.Values{"grant_type": {"password"}, "username": {"tom"}, "encrypted_password": {sealed}}
	if r := askAsApp(t, target, parameters); r.status != http.StatusOK {
		t.Errorf("signing in: %d %s", r.status, r.body)
	}
	if r := askAsApp(t, target, parameters); r.field("error") != "invalid_grant" {
		t.Errorf("again: %d %s", r.status, r.body)
	}
}
