package resource_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestWebhooksAreManaged(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	admin := s.internal("admin")
	jsonBody := http.Header{"Content-Type": {"application/json"}}
	ask := func(method, path, body string, status int, into any) got {
		t.Helper()
		g := s.do(call{method, "/admin/v1/webhooks" + path, admin, body, jsonBody})
		if g.status != status {
			t.Fatalf("%s %s %s: %d %s", method, path, body, g.status, g.text())
		}
		if into != nil {
			must(t, json.Unmarshal(g.body, into))
		}
		return g
	}
	type hook struct {
		ID, Secret, URL, Description string
		Events                       []string
		DisabledWhy                  string  `json:"disabled_why"`
		OldSecretUntil               *string `json:"old_secret_until"`
	}
	var made, shown hook
	ask(http.MethodPost, "", `{"url":"https://shop.example.com/hooks","description":"the shop","events":["hold.placed","hold.placed","journal.posted"]}`, http.StatusCreated, &made)
	if len(made.Secret) < 40 || made.Secret[:6] != "whsec_" || len(made.Events) != 2 {
		t.Fatalf("made %+v", made)
	}
	ask(http.MethodGet, "/"+made.ID, "", http.StatusOK, &shown)
	if shown.Secret != "" || shown.URL != made.URL || shown.Description != "the shop" {
		t.Errorf("shown %+v", shown)
	}
	shown = hook{}
	ask(http.MethodPatch, "/"+made.ID, `{"disabled":true,"events":[]}`, http.StatusOK, &shown)
	if shown.DisabledWhy != storage.DisabledByHand || len(shown.Events) != 0 || shown.URL != made.URL {
		t.Errorf("patched %+v", shown)
	}
	shown = hook{}
	ask(http.MethodPost, "/"+made.ID+"/secret", `{"overlap_seconds":60}`, http.StatusOK, &shown)
	if shown.Secret == made.Secret || shown.Secret == "" || shown.OldSecretUntil == nil {
		t.Errorf("rotated %+v", shown)
	}
	var list struct{ Webhooks []hook }
	ask(http.MethodGet, "", "", http.StatusOK, &list)
	if len(list.Webhooks) != 1 || list.Webhooks[0].Secret != "" {
		t.Errorf("listed %+v", list)
	}
	ask(http.MethodGet, "/"+made.ID+"/dead", "", http.StatusOK, nil)
	ask(http.MethodPost, "/"+made.ID+"/replay", `{}`, http.StatusOK, nil)
	ask(http.MethodPost, "/"+made.ID+"/replay", `{"number":7}`, http.StatusNotFound, nil)
	for _, bad := range []struct{ method, path, body string }{
		{http.MethodPost, "", `{"url":"http://shop.example.com"}`},
		{http.MethodPost, "", `{"url":"https://10.0.0.1/"}`},
		{http.MethodPost, "", `{"url":"https://shop.example.com","events":["ledger"]}`},
		{http.MethodPost, "", `{"url":"https://shop.example.com","after":1}`},
		{http.MethodPost, "", `{"url":"https://shop.example.com","evnts":[]}`},
		{http.MethodPatch, "/" + made.ID, `{"url":"https://[::1]/"}`},
		{http.MethodPatch, "/" + made.ID, `{"disabled":"yes"}`},
		{http.MethodPost, "/" + made.ID + "/secret", `{"overlap_seconds":-1}`},
		{http.MethodPost, "/" + made.ID + "/secret", `{"overlap_seconds":9223372036854775807}`},
		{http.MethodPost, "/" + made.ID + "/replay", `{"number":0}`},
	} {
		if g := s.do(call{bad.method, "/admin/v1/webhooks" + bad.path, admin, bad.body, jsonBody}); g.status != http.StatusBadRequest || g.code() != "invalid_request" {
			t.Errorf("%s %s: %d %s", bad.method, bad.body, g.status, g.text())
		}
	}
	ask(http.MethodDelete, "/"+made.ID, "", http.StatusNoContent, nil)
	ask(http.MethodGet, "/"+made.ID, "", http.StatusNotFound, nil)
	if g := s.do(call{http.MethodGet, "/admin/v1/webhooks", s.internal("ledger:read"), "", nil}); g.status != http.StatusForbidden {
		t.Errorf("without the scope: %d", g.status)
	}
	records, err := s.db.ListAudit(t.Context(), time.Now().Add(-time.Hour), "", 100)
	must(t, err)
	var actions []string
	for _, r := range records {
		if r.Actor == "client:billing" && r.Detail["webhook_id"] == made.ID {
			actions = append(actions, r.Action)
		}
	}
	if len(actions) != 5 {
		t.Errorf("audit: %v", actions)
	}
}
