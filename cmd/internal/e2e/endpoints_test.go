package e2e_test

import (
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// endpoint is a guarded endpoint of the contract, with a body that it understands.
type endpoint struct {
	method, path string
	body         string // a JSON object; empty where there is none
	who          holder
	write        bool // needs an Idempotency-Key
	later        bool // this build may not have it yet
	optional     bool // an instance has it where it is configured
}

// holder is whose token an endpoint takes.
type holder string

const (
	ofUser  holder = "user"
	ofApp   holder = "app"
	ofAdmin holder = "admin"
)

// endpoints are all guarded endpoints of the contract.
func endpoints(target story.Target) []endpoint {
	tom, amy := target.Users["tom"].Sub, target.Users["amy"].Sub
	return []endpoint{
		{method: "GET", path: "/v1/wallet", who: ofUser},
		{method: "GET", path: "/v1/wallet/entries", who: ofUser},
		{method: "GET", path: "/v1/wallet/currencies", who: ofUser},
		{method: "POST", path: "/v1/transfers", who: ofUser, write: true, body: `{"to":"` + amy + `","amount":1,"currency":"CNY","memo":"m"}`},
		{method: "GET", path: "/v1/transfers/none", who: ofUser},
		{method: "POST", path: "/v1/transfers/none/reversals", who: ofUser, write: true, body: `{"amount":1}`},
		{method: "POST", path: "/v1/deposits", who: ofApp, write: true, body: `{"user":"` + tom + `","amount":1,"currency":"CNY","reference":"r"}`},
		{method: "POST", path: "/v1/withdrawals", who: ofApp, write: true, body: `{"user":"` + tom + `","amount":1,"currency":"CNY","reference":"r"}`},
		{method: "POST", path: "/v1/holds", who: ofUser, write: true, body: `{"to":"` + amy + `","amount":1,"currency":"CNY"}`},
		{method: "GET", path: "/v1/holds/none", who: ofUser},
		{method: "POST", path: "/v1/holds/none/capture", who: ofUser, write: true, body: `{"amount":1}`},
		{method: "POST", path: "/v1/holds/none/void", who: ofUser, write: true, body: `{}`},
		{method: "GET", path: "/v1/wallets/" + tom, who: ofApp},
		{method: "GET", path: "/v1/wallets/" + tom + "/entries", who: ofApp},
		{method: "GET", path: "/v1/ledger/trial-balance", who: ofApp},
		{method: "GET", path: "/v1/ledger/events?after=0", who: ofApp},
		{method: "GET", path: "/oauth2/userinfo", who: ofUser},
		{method: "GET", path: "/v1/sessions", who: ofUser},
		{method: "DELETE", path: "/v1/sessions/none", who: ofUser},
		{method: "DELETE", path: "/v1/sessions?except=current", who: ofUser},
		{method: "POST", path: "/v1/password", who: ofUser, body: `{"current_password":"wrong","new_password":"a new and long password"}`},
		{method: "GET", path: "/v1/identities", optional: true, who: ofUser},
		{method: "POST", path: "/v1/identities", optional: true, who: ofUser, body: `{"provider":"wechat-mini-program","code":"none"}`},
		{method: "DELETE", path: "/v1/identities/none", optional: true, who: ofUser},
		{method: "POST", path: "/v1/login-tokens", who: ofUser, body: `{"product":"shop","terminal":"mobile"}`},
		{method: "GET", path: "/v1/login-tokens", who: ofUser},
		{method: "DELETE", path: "/v1/login-tokens/none", who: ofUser},
		{method: "POST", path: "/v1/device/scan", who: ofUser, body: `{"user_code":"AAAA-AAAA"}`},
		{method: "POST", path: "/v1/device/approve", who: ofUser, body: `{"user_code":"AAAA-AAAA","number":"12"}`},
		{method: "POST", path: "/v1/device/deny", who: ofUser, body: `{"user_code":"AAAA-AAAA"}`},
		{method: "GET", path: "/v1/session-events", who: ofApp},
		{method: "GET", path: "/admin/v1/users", who: ofAdmin},
		{method: "POST", path: "/admin/v1/users", who: ofAdmin, body: `{"username":"somebody","password":"a new and long password"}`},
		{method: "GET", path: "/admin/v1/users/none", who: ofAdmin},
		{method: "POST", path: "/admin/v1/users/none/kick", who: ofAdmin, body: `{"product":"shop","terminal":"mobile"}`},
		{method: "POST", path: "/admin/v1/users/none/ban", who: ofAdmin, body: `{"until":"2099-01-01T00:00:00Z","reason":"r"}`},
		{method: "POST", path: "/admin/v1/users/none/unban", who: ofAdmin, body: `{}`},
		{method: "POST", path: "/admin/v1/users/none/password", who: ofAdmin, body: `{"password":"a new and long password"}`},
		{method: "GET", path: "/admin/v1/users/none/wallet", who: ofAdmin},
		{method: "PATCH", path: "/admin/v1/users/none/wallet", who: ofAdmin, body: `{"frozen":true,"reason":"r"}`},
		{method: "GET", path: "/admin/v1/clients", who: ofAdmin},
		{method: "POST", path: "/admin/v1/clients", who: ofAdmin, body: `{"client_id":"some-app","type":"public","grants":["password"]}`},
		{method: "PATCH", path: "/admin/v1/clients/none", who: ofAdmin, body: `{"name":"n"}`},
		{method: "DELETE", path: "/admin/v1/clients/none", who: ofAdmin},
		{method: "GET", path: "/admin/v1/audit", who: ofAdmin},
		{method: "GET", path: "/admin/v1/webhooks", who: ofAdmin},
		{method: "POST", path: "/admin/v1/webhooks", who: ofAdmin, body: `{"url":"http://127.0.0.1:1/hooks","events":["journal.posted"]}`},
		{method: "GET", path: "/admin/v1/webhooks/none", who: ofAdmin},
		{method: "PATCH", path: "/admin/v1/webhooks/none", who: ofAdmin, body: `{"disabled":true}`},
		{method: "DELETE", path: "/admin/v1/webhooks/none", who: ofAdmin},
		{method: "POST", path: "/admin/v1/webhooks/none/secret", who: ofAdmin, body: `{"overlap_seconds":60}`},
		{method: "POST", path: "/admin/v1/webhooks/none/test", who: ofAdmin, body: `{}`},
		{method: "GET", path: "/admin/v1/webhooks/none/dead", who: ofAdmin},
		{method: "POST", path: "/admin/v1/webhooks/none/replay", who: ofAdmin, body: `{}`},
	}
}

// existing are the endpoints that an instance has: asked for without a token, they want one.
func existing(t *testing.T, target story.Target) []endpoint {
	t.Helper()
	var there []endpoint
	for _, e := range endpoints(target) {
		r := mustCall(t, e.method, target.API+e.path, http.Header{}, "")
		switch {
		case r.status == http.StatusUnauthorized:
			if challenge := r.header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Bearer") || strings.Contains(challenge, "error") {
				t.Errorf("%s %s without a token: challenge %q", e.method, e.path, challenge)
			}
			there = append(there, e)
		case (e.later || e.optional) && (r.status == http.StatusNotFound || r.status == http.StatusMethodNotAllowed):
			t.Logf("this build has no %s %s", e.method, e.path)
		default:
			t.Errorf("%s %s without a token: %d %s", e.method, e.path, r.status, r.body)
		}
	}
	return there
}

// documented says whether an answer that refuses has one of the shapes of the contract: a problem (RFC
// 9457) or an error (RFC 6749, RFC 6750).
func documented(r reply) bool {
	// What net/http refuses before it is a request has no body of ours.
	if r.status < http.StatusBadRequest || r.status == http.StatusRequestHeaderFieldsTooLarge {
		return true
	}
	media, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	var body struct {
		Type, Title, Error string
		Code               any
		Status             int
		ErrorDescription   string `json:"error_description"`
	}
	if err != nil || json.Unmarshal(r.body, &body) != nil {
		return false
	}
	switch media {
	case "application/problem+json":
		code, ok := body.Code.(string)
		return ok && code != "" && body.Status == r.status && body.Title != "" && body.Type != ""
	case "application/json":
		// A request without any token is told of none (RFC 6750 §3).
		return body.Error != "" || r.status == http.StatusUnauthorized && body.ErrorDescription != ""
	}
	return false
}
