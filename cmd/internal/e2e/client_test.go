package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// reply is the answer of an endpoint.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// field returns a member of a JSON body as text.
func (r reply) field(name string) string {
	var m map[string]any
	if json.Unmarshal(r.body, &m) != nil || m[name] == nil {
		return ""
	}
	return fmt.Sprint(m[name])
}

// call sends a request; err is set when there is no answer, as from a process that was killed.
func call(ctx context.Context, method, address string, header http.Header, body string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, bytes.TrimSpace(b)}, err
}

func mustCall(t *testing.T, method, address string, header http.Header, body string) reply {
	t.Helper()
	r, err := call(t.Context(), method, address, header, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func form() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
}

func bearer(access string) http.Header {
	return http.Header{"Authorization": {"Bearer " + access}}
}

// write are the headers of a write of the wallet.
func write(access, key string) http.Header {
	h := bearer(access)
	h.Set("Content-Type", "application/json")
	h.Set("Idempotency-Key", key)
	return h
}

// signIn signs a user in on shop-app.
func signIn(t *testing.T, target story.Target, user, terminal, device string) reply {
	t.Helper()
	u := target.Users[user]
	r := mustCall(t, http.MethodPost, target.Issuer+"/oauth2/token", form(), url.Values{
		"grant_type": {"password"}, "client_id": {"shop-app"}, "username": {u.Username}, "password": {u.Password},
		"terminal": {terminal}, "device_name": {device},
	}.Encode())
	if r.status != http.StatusOK {
		t.Fatalf("sign in: %d %s", r.status, r.body)
	}
	return r
}

// billing returns an access token of the internal app.
func billing(t *testing.T, target story.Target) string {
	t.Helper()
	h := form()
	req := &http.Request{Header: h}
	req.SetBasicAuth("billing", target.Clients["billing"].Secret)
	r := mustCall(t, http.MethodPost, target.Issuer+"/oauth2/token", h, "grant_type=client_credentials")
	if r.status != http.StatusOK {
		t.Fatalf("client credentials: %d %s", r.status, r.body)
	}
	return r.field("access_token")
}

func transfer(to string, amount int) string {
	return fmt.Sprintf(`{"to":%q,"amount":%d,"currency":"CNY"}`, to, amount)
}
