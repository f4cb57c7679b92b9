package authserver_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// sealingKey is the key to encrypt for, as a client finds it.
func (k *kit) sealingKey() jose.JSONWebKey {
	k.t.Helper()
	w := httptest.NewRecorder()
	k.http.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/jwks.json", nil))
	var set jose.JSONWebKeySet
	k.must(json.Unmarshal(w.Body.Bytes(), &set))
	var found []jose.JSONWebKey
	for _, key := range set.Keys {
		if key.Use == "enc" {
			found = append(found, key)
		}
	}
	if len(found) != 1 || found[0].Algorithm != "ECDH-ES" || !found[0].IsPublic() {
		k.t.Fatalf("the set has %d keys to encrypt for: %s", len(found), w.Body)
	}
	return found[0]
}

// sealing encrypts for a key in the one way that is taken, but for what change changes.
func sealing(t testing.TB, key jose.JSONWebKey, payload any, change func(*jose.Recipient, *jose.ContentEncryption, *jose.EncrypterOptions)) string {
	t.Helper()
	to, enc, options := jose.Recipient{Algorithm: jose.ECDH_ES, Key: key}, jose.A256GCM, &jose.EncrypterOptions{}
	if change != nil {
		change(&to, &enc, options)
	}
	encrypter, err := jose.NewEncrypter(enc, to, options)
	if err != nil {
		t.Fatal(err)
	}
	plain, isText := payload.(string)
	if !isText {
		b, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		plain = string(b)
	}
	sealed, err := encrypter.Encrypt([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := sealed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// payload is what a client encrypts.
func (k *kit) payload(password, nonce string, skew time.Duration) map[string]any {
	return map[string]any{"password": password, "nonce": nonce, "iat": k.clock.Now().Add(skew).Unix()}
}

// sealedSignIn signs tom in with an encrypted password.
func (k *kit) sealedSignIn(compact string, more ...string) answer {
	return k.post(append([]string{
		"grant_type", "password", "client_id", "shop-app", "terminal", "api", "username", "tom", "encrypted_password", compact,
	}, more...)...)
}

const someNonce = "0123456789abcdef"

func TestEncryptedPasswordSignsIn(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		key := k.sealingKey()
		compact := sealing(t, key, k.payload(tomsSecret, someNonce, 0), nil)
		k.sealedSignIn(compact).ok(t)
		again := k.sealedSignIn(compact).refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
		if !strings.Contains(again.Description, "nonce") {
			t.Errorf("told %q", again.Description)
		}
		// Neither a restart nor another encryption of the same nonce makes it good again.
		k.start()
		k.sealedSignIn(sealing(t, key, k.payload(tomsSecret, someNonce, 0), nil)).refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
		k.sealedSignIn(sealing(t, key, k.payload("wrong", someNonce+"2", 0), nil)).refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
		k.sealedSignIn(sealing(t, key, k.payload(tomsSecret, someNonce+"3", 0), nil)).ok(t)
	})
}

func TestNonceIsGoodOnceInARace(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		compact := sealing(t, k.sealingKey(), k.payload(tomsSecret, someNonce, 0), nil)
		const callers = 10
		answers := make([]answer, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() { answers[i] = k.sealedSignIn(compact) })
		}
		wg.Wait()
		winners := 0
		for _, a := range answers {
			if a.status == http.StatusOK {
				winners++
				continue
			}
			a.refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
		}
		if winners != 1 {
			t.Errorf("%d sign-ins with one nonce", winners)
		}
	})
}

func TestClockOfTheClientIsCorrected(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	key := k.sealingKey()
	for skew, good := range map[time.Duration]bool{
		-62 * time.Second: false, -59 * time.Second: true, 59 * time.Second: true, 62 * time.Second: false, -100 * 365 * 24 * time.Hour: false,
	} {
		compact := sealing(t, key, k.payload(tomsSecret, someNonce+skew.String(), skew), nil)
		if good {
			k.sealedSignIn(compact).ok(t)
			continue
		}
		a := k.sealedSignIn(compact).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
		var told struct {
			ServerTime time.Time `json:"server_time"`
		}
		k.must(json.Unmarshal([]byte(a.raw), &told))
		if !told.ServerTime.Equal(k.clock.Now().Truncate(time.Second)) {
			t.Errorf("%s: server_time %s in %s", skew, told.ServerTime, a.raw)
		}
		// The nonce of what was refused for its time is not used up: the client corrects the time and sends it again.
		k.sealedSignIn(sealing(t, key, k.payload(tomsSecret, someNonce+skew.String(), 0), nil)).ok(t)
	}
}

func TestEncryptedPasswordsThatAreRefused(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	key := k.sealingKey()
	good := k.payload(tomsSecret, someNonce, 0)
	strange := key
	strange.KeyID = strings.Repeat("A", 43)
	nameless := key
	nameless.KeyID = ""
	compact := sealing(t, key, good, nil)
	parts := strings.Split(compact, ".")
	flipped := []byte(parts[3])
	flipped[0] = map[bool]byte{true: 'B', false: 'A'}[flipped[0] == 'A']
	point := strings.Repeat("A", 42) + "E"
	const form, unread, unknown = "must be a compact JWE", "cannot be read", "not published"
	for name, c := range map[string]struct{ compact, told string }{
		"not one":   {"hunter2", form},
		"five dots": {compact + ".x", form},
		"too long":  {compact + strings.Repeat("A", 9000), form},
		"compressed": {sealing(t, key, good, func(_ *jose.Recipient, _ *jose.ContentEncryption, o *jose.EncrypterOptions) {
			o.Compression = jose.DEFLATE
		}), form},
		"another alg": {sealing(t, key, good, func(r *jose.Recipient, _ *jose.ContentEncryption, _ *jose.EncrypterOptions) {
			r.Algorithm = jose.ECDH_ES_A256KW
		}), form},
		"another enc": {sealing(t, key, good, func(_ *jose.Recipient, e *jose.ContentEncryption, _ *jose.EncrypterOptions) { *e = jose.A128GCM }), form},
		"a critical word": {sealing(t, key, good, func(_ *jose.Recipient, _ *jose.ContentEncryption, o *jose.EncrypterOptions) {
			o.WithHeader("crit", []string{"b64"})
		}), form},
		"no kid":           {sealing(t, nameless, good, nil), form},
		"unknown kid":      {sealing(t, strange, good, nil), unknown},
		"kid of a signer":  {sealing(t, signerOf(k, key), good, nil), unknown},
		"bit flipped":      {strings.Join(append(append([]string{}, parts[:3]...), string(flipped), parts[4]), "."), unread},
		"another header":   {reheaded(t, compact, "typ", "x"), unread},
		"a late zip":       {reheaded(t, compact, "zip", "DEF"), form},
		"another curve":    {reheaded(t, compact, "epk", map[string]string{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}), unread},
		"not on the curve": {reheaded(t, compact, "epk", map[string]string{"kty": "EC", "crv": "P-256", "x": point, "y": point}), unread},
		"no point":         {reheaded(t, compact, "epk", nil), unread},
		"not JSON":         {sealing(t, key, "hunter2", nil), unread},
		"two objects":      {sealing(t, key, `{"password":"a","nonce":"0123456789abcdef","iat":1} {}`, nil), unread},
		"one member more":  {sealing(t, key, map[string]any{"password": "a", "nonce": someNonce, "iat": 1, "username": "amy"}, nil), unread},
		"no nonce":         {sealing(t, key, map[string]any{"password": "a", "iat": 1}, nil), unread},
		"short nonce":      {sealing(t, key, k.payload(tomsSecret, someNonce[1:], 0), nil), unread},
		"long nonce":       {sealing(t, key, k.payload(tomsSecret, strings.Repeat("n", 129), 0), nil), unread},
		"no password":      {sealing(t, key, k.payload("", someNonce, 0), nil), unread},
		"long password":    {sealing(t, key, k.payload(strings.Repeat("p", 1025), someNonce, 0), nil), unread},
		"fraction of time": {sealing(t, key, map[string]any{"password": "a", "nonce": someNonce, "iat": 1.5}, nil), unread},
	} {
		a := k.sealedSignIn(c.compact).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
		if !strings.Contains(a.Description, c.told) {
			t.Errorf("%s: told %q, want %q", name, a.Description, c.told)
		}
	}
	k.sealedSignIn(compact, "password", tomsSecret).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
	if strings.Contains(k.log.String(), tomsSecret) {
		t.Error("the password is in the log")
	}
	k.sealedSignIn(compact).ok(t) // none of all that has used the nonce up
}

// reheaded is a compact JWE with another member in its header.
func reheaded(t *testing.T, compact, name string, value any) string {
	t.Helper()
	encoded, rest, _ := strings.Cut(compact, ".")
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]any
	if err := json.Unmarshal(raw, &header); err != nil {
		t.Fatal(err)
	}
	header[name] = value
	if raw, err = json.Marshal(header); err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw) + "." + rest
}

// signerOf is the key to encrypt for under the name of one that signs.
func signerOf(k *kit, key jose.JSONWebKey) jose.JSONWebKey {
	signer, err := k.ring.Signer(k.clock.Now())
	k.must(err)
	key.KeyID = signer.ID
	return key
}

// TestEncryptedGuessesAreHeldBack: encryption is no way past the brake.
func TestEncryptedGuessesAreHeldBack(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	key := k.sealingKey()
	for i := range freeGuesses {
		wrong := sealing(t, key, k.payload("wrong", fmt.Sprint(someNonce, i), 0), nil)
		k.sealedSignIn(wrong).refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
	}
	k.sealedSignIn(sealing(t, key, k.payload(tomsSecret, someNonce, 0), nil)).refused(t, http.StatusTooManyRequests, "slow_down", "", 0)
}

func TestEncryptionKeyIsRotated(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	before := k.sealingKey()
	made, err := k.sealing.Rotate(t.Context())
	k.must(err)
	if k.sealingKey().KeyID != before.KeyID {
		t.Error("the next key is to be used before all processes know it")
	}
	k.clock.Advance(time.Until(made.ActiveAt) - time.Until(k.clock.Now()) + time.Second)
	if got := k.sealingKey().KeyID; got != made.ID {
		t.Errorf("the key to encrypt for is %s", got)
	}
	k.sealedSignIn(sealing(t, before, k.payload(tomsSecret, someNonce, 0), nil)).ok(t)
	if err := k.sealing.Retire(t.Context(), before.KeyID, false); err == nil {
		t.Error("a key that clients may hold was retired")
	}
	k.clock.Advance(2 * time.Hour)
	k.must(k.sealing.Retire(t.Context(), before.KeyID, false))
	a := k.sealedSignIn(sealing(t, before, k.payload(tomsSecret, someNonce+"2", 0), nil)).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
	if !strings.Contains(a.Description, "jwks_uri again") {
		t.Errorf("told %q", a.Description)
	}
	k.sealedSignIn(sealing(t, k.sealingKey(), k.payload(tomsSecret, someNonce+"2", 0), nil)).ok(t)
}

func TestServerWithoutEncryptionSaysSo(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t), with(func(c *authserver.Config) { c.Opener, c.Nonces, c.Keys = nil, nil, nil }), func(k *kit) {
		change := k.change
		k.change = func(c *authserver.Config) { change(c); c.Keys = k.ring }
	})
	k.sealedSignIn("x").refused(t, http.StatusBadRequest, "invalid_request", "", 0)
	w := httptest.NewRecorder()
	k.http.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/oauth-authorization-server", nil))
	if strings.Contains(w.Body.String(), "password_encryption") {
		t.Errorf("it advertises %s", w.Body)
	}
}
