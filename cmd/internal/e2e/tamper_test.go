package e2e_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// TestTokensThatDoNotVerify presents, at every guarded endpoint and at those that take tokens in a form,
// tokens that were made out of superseded ones: whole, such a token is told why it is refused. Of what
// does not verify nothing is said, whatever it says of itself.
func TestTokensThatDoNotVerify(t *testing.T) {
	t.Parallel()
	i := install(t, false)
	i.serve(t, "all")
	elsewhere := freeAddr(t)
	old := signIn(t, i.target, "tom", "mobile", "old phone")
	// A process with the same keys and sessions, whose tokens are meant for others.
	i.serveAt(t, "auth", elsewhere, "TALLYSTICK_AUDIENCE=https://other.example.com")
	foreign, err := i.signInAt(t, elsewhere, "tom", "phone of another audience")
	if err != nil || foreign.status != http.StatusOK {
		t.Fatalf("sign in elsewhere: %d %s (%v)", foreign.status, foreign.body, err)
	}
	signIn(t, i.target, "tom", "mobile", "new phone")

	access, refresh := old.field("access_token"), old.field("refresh_token")
	bad := tampered(t, i.target, access)
	formEndpoints(t, i, bad)
	// These are whole, and not good for this.
	bad["a refresh token"] = refresh
	bad["for another audience"] = foreign.field("access_token")
	for _, e := range existing(t, i.target) {
		name := e.method + " " + e.path
		whole := mustCall(t, e.method, i.target.API+e.path, e.header(access, "k"), e.body)
		if e.who == ofUser && whole.field("reason") != "superseded" {
			t.Errorf("%s with the whole token: %d %s", name, whole.status, whole.body)
		}
		for _, how := range slices.Sorted(maps.Keys(bad)) {
			r := mustCall(t, e.method, i.target.API+e.path, e.header(bad[how], "k"), e.body)
			if r.status != http.StatusUnauthorized || r.field("error") != "invalid_token" || tells(r) {
				t.Errorf("%s with a token that is %s: %d %s", name, how, r.status, r.body)
			}
			if !strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
				t.Errorf("%s with a token that is %s: challenge %q", name, how, r.header.Get("WWW-Authenticate"))
			}
		}
	}

	badRefresh := tampered(t, i.target, refresh)
	badRefresh["an access token"] = access
	tokenEndpoint(t, i, refresh, badRefresh)
}

// tokenEndpoint presents tampered refresh tokens: invalid_grant, and no reason.
func tokenEndpoint(t *testing.T, i *installation, whole string, bad map[string]string) {
	t.Helper()
	if r, err := refreshAt(t, i.auth, whole); err != nil || r.field("reason") != "superseded" {
		t.Errorf("refresh with the whole token: %d %s (%v)", r.status, r.body, err)
	}
	for _, how := range slices.Sorted(maps.Keys(bad)) {
		r, err := refreshAt(t, i.auth, bad[how])
		if err != nil || r.status != http.StatusBadRequest || r.field("error") != "invalid_grant" || tells(r) {
			t.Errorf("refresh with a token that is %s: %d %s (%v)", how, r.status, r.body, err)
		}
	}
}

// formEndpoints presents them for revocation and introspection: nothing happens, and nothing is said
// (RFC 7009 §2.2, RFC 7662 §2.2).
func formEndpoints(t *testing.T, i *installation, bad map[string]string) {
	t.Helper()
	for _, path := range []string{"/oauth2/revoke", "/oauth2/introspect"} {
		for _, how := range slices.Sorted(maps.Keys(bad)) {
			r := mustCall(t, http.MethodPost, i.target.Issuer+path, form(), url.Values{
				"client_id": {"billing"}, "client_secret": {i.target.Clients["billing"].Secret}, "token": {bad[how]},
			}.Encode())
			if tells(r) || r.status != http.StatusOK || r.field("active") == "true" {
				t.Errorf("%s of a token that is %s: %d %s", path, how, r.status, r.body)
			}
		}
	}
}

// header is what a request to the endpoint carries.
func (e endpoint) header(access, key string) http.Header {
	h := bearer(access)
	if e.body != "" {
		h.Set("Content-Type", "application/json")
	}
	if e.write {
		h.Set("Idempotency-Key", key)
	}
	return h
}

// tells says whether an answer says anything about a session.
func tells(r reply) bool {
	for _, member := range []string{"reason", "code", "superseded_by", "sub", "sid"} {
		if r.field(member) != "" {
			return true
		}
	}
	return strings.Contains(string(r.body), "another device")
}

// tampered makes tokens that do not verify out of one that does.
func tampered(t *testing.T, target story.Target, token string) map[string]string {
	t.Helper()
	part := strings.Split(token, ".")
	if len(part) != 3 {
		t.Fatalf("%d parts", len(part))
	}
	head, claims := object(t, part[0]), object(t, part[1])
	bad := map[string]string{
		"without a signature":        part[0] + "." + part[1] + ".",
		"without its last part":      part[0] + "." + part[1],
		"with four parts":            token + "." + part[2],
		"with an empty head":         "." + part[1] + "." + part[2],
		"with empty claims":          part[0] + ".." + part[2],
		"cut in the middle":          token[:len(token)/2],
		"cut by one":                 token[:len(token)-1],
		"longer by one":              token + "A",
		"of a changed signature":     part[0] + "." + part[1] + "." + flip(part[2], 10),
		"of a changed last bit":      part[0] + "." + part[1] + "." + malleable(part[2]),
		"of changed claims":          part[0] + "." + flip(part[1], 30) + "." + part[2],
		"no token":                   "abc",
		"only dots":                  "..",
		"padded":                     part[0] + "." + part[1] + "." + part[2] + "==",
		"very long":                  part[0] + "." + strings.Repeat("A", 6000) + "." + part[2],
		"of claims that are no JSON": part[0] + "." + encode([]byte("no JSON")) + "." + part[2],
	}
	for _, alg := range []string{"none", "None", "NONE", ""} {
		bad["of algorithm "+alg] = with(t, head, "alg", alg) + "." + part[1] + "."
		bad["of algorithm "+alg+" with the signature"] = with(t, head, "alg", alg) + "." + part[1] + "." + part[2]
	}
	bad["expired by another's hand"] = part[0] + "." + with(t, claims, "exp", 1) + "." + part[2]
	bad["of another session"] = part[0] + "." + with(t, claims, "sid", "s") + "." + part[2]
	forge(t, target, head, part[1], bad)
	return bad
}

// forge signs the claims with keys that are not the server's, in the ways that have worked elsewhere.
func forge(t *testing.T, target story.Target, head map[string]any, claims string, bad map[string]string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(head string) string {
		return head + "." + claims + "." + encode(ed25519.Sign(private, []byte(head+"."+claims)))
	}
	bad["signed with another key"] = sign(with(t, head, "x", nil))
	bad["signed with an unknown key"] = sign(with(t, head, "kid", "nobody"))
	bad["signed with a key without a name"] = sign(with(t, head, "kid", ""))
	bad["signed with the key in its head"] = sign(with(t, head, "jwk", map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode(public)}))
	bad["signed with a key at an address"] = sign(with(t, head, "jku", target.Issuer+"/.well-known/jwks.json"))
	bad["of an unknown type"] = sign(with(t, head, "typ", "JWT"))
	bad["of a critical extension"] = sign(with(t, head, "crit", []string{"exp"}))
	r := mustCall(t, http.MethodGet, target.Issuer+"/.well-known/jwks.json", http.Header{}, "")
	var set struct {
		Keys []struct{ X string } `json:"keys"`
	}
	if err := json.Unmarshal(r.body, &set); err != nil || len(set.Keys) == 0 {
		t.Fatalf("keys: %v in %s", err, r.body)
	}
	for _, key := range []string{set.Keys[0].X, string(r.body)} {
		hs := with(t, head, "alg", "HS256")
		mac := hmac.New(sha256.New, []byte(key))
		fmt.Fprint(mac, hs+"."+claims)
		bad[fmt.Sprintf("of HS256 with %d bytes of public keys", len(key))] = hs + "." + claims + "." + encode(mac.Sum(nil))
	}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// object decodes a part of a token.
func object(t *testing.T, part string) map[string]any {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	var m map[string]any
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// with encodes a part in which one member is another.
func with(t *testing.T, m map[string]any, name string, value any) string {
	t.Helper()
	changed := maps.Clone(m)
	changed[name] = value
	text, err := json.Marshal(changed)
	if err != nil {
		t.Fatal(err)
	}
	return encode(text)
}

// flip changes one character of a part.
func flip(part string, at int) string {
	at = min(at, len(part)-1)
	c := byte('A')
	if part[at] == c {
		c = 'B'
	}
	return part[:at] + string(c) + part[at+1:]
}

// malleable changes the last character of a signature in the bits that are no part of its bytes, where
// there are such: a lax decoder would not see the difference. An Ed25519 signature of 64 bytes has four.
func malleable(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	end := len(signature) - 1
	return signature[:end] + string(alphabet[strings.IndexByte(alphabet, signature[end])^1])
}
