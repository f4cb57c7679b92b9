package client

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Defaults and limits of a [Config].
const (
	DefaultCacheTTL  = time.Second
	MaxCacheTTL      = time.Minute
	DefaultCacheSize = 4096
)

const maxBasic = 2048 // bytes of an Authorization header

// Config is what a [Registry] needs.
type Config struct {
	Store storage.Clients
	// SecretKey keys the hashes of generated secrets: 32 bytes, the same in all processes.
	SecretKey []byte
	// CacheTTL is how long a client is used without being read again; 0 means [DefaultCacheTTL].
	CacheTTL time.Duration
	// CacheSize is how many clients are kept, and a quarter as many unknown names; 0 means
	// [DefaultCacheSize].
	CacheSize int
	// Passwords verifies slow hashes; nil if there are none, and then a client with one is refused.
	Passwords Passwords
	// Brake holds back guesses at secrets; nil for none.
	Brake Brake
	Now   func() time.Time // nil: time.Now
}

// Brake lets prove look at a secret, unless too many from that address were wrong; then it refuses with
// an [*oauth.Error].
type Brake interface {
	TryClient(ctx context.Context, client storage.ClientID, address string, prove func(context.Context) (right bool, err error)) error
}

// Registry authenticates clients.
type Registry struct {
	cache     *cache
	secrets   *hasher // generated secrets, under the configured key
	seen      *hasher // secrets that a slow hash proved, under a key of this process
	passwords Passwords
	brake     Brake
	now       func() time.Time
}

// New builds a registry.
func New(c Config) (*Registry, error) {
	if c.Store == nil {
		return nil, errors.New("client: no store")
	}
	if err := checkKey(c.SecretKey); err != nil {
		return nil, err
	}
	if c.CacheTTL < 0 || c.CacheTTL > MaxCacheTTL || c.CacheSize < 0 {
		return nil, errors.New("client: the cache's TTL must be between 0 and a minute, its size not below zero")
	}
	if c.CacheTTL == 0 {
		c.CacheTTL = DefaultCacheTTL
	}
	if c.CacheSize == 0 {
		c.CacheSize = DefaultCacheSize
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	var own [SecretKeyLength]byte
	rand.Read(own[:])
	return &Registry{
		cache:     newCache(c.Store, c.CacheTTL, c.CacheSize, c.Now),
		secrets:   newHasher(c.SecretKey),
		seen:      newHasher(own[:]),
		passwords: c.Passwords,
		brake:     c.Brake,
		now:       c.Now,
	}, nil
}

// Credentials are what a request says about its client.
type Credentials struct {
	// Basic is the value of the Authorization header, "" if there is none.
	Basic string
	// ID and Secret are client_id and client_secret of the form; Secret is nil if it was not sent.
	ID     string
	Secret *secret.Text
	// Address is where the request comes from, for the brake; empty for a request that is not braked.
	Address string
}

// Authenticate says which client sends the credentials. What it returns is shared: its slices must
// not be changed; it holds no hashes.
//
// It fails with an [*oauth.Error]: slow_down when too many secrets were wrong; invalid_request when a
// request uses two methods at once or names two clients; invalid_client for everything that is wrong with the client or its proof, asking for
// a challenge if the proof came in a header; temporarily_unavailable when the client cannot be read
// or its slow hash not be verified in time.
func (r *Registry) Authenticate(ctx context.Context, cr Credentials) (storage.Client, error) {
	id, given, err := cr.read()
	if err != nil {
		return storage.Client{}, err
	}
	basic := cr.Basic != ""
	e := &entry{}
	if validID(id) { // no other name can be that of a client, and none of them reaches the store
		if e, err = r.cache.get(ctx, storage.ClientID(id)); err != nil {
			return storage.Client{}, unavailable(err)
		}
	}
	right, err := r.tries(ctx, e, proof{storage.ClientID(id), given, cr.Address})
	if err != nil {
		return storage.Client{}, unavailable(err)
	}
	if !right || !e.known || e.client.DisabledAt != nil {
		return storage.Client{}, refused(basic)
	}
	return e.client, nil
}

// Client returns a client by name, without any proof: for tokens that name it, and pages. Unknown
// and disabled ones give invalid_client.
func (r *Registry) Client(ctx context.Context, id storage.ClientID) (storage.Client, error) {
	if !validID(string(id)) {
		return storage.Client{}, refused(false)
	}
	e, err := r.cache.get(ctx, id)
	if err != nil {
		return storage.Client{}, unavailable(err)
	}
	if !e.known || e.client.DisabledAt != nil {
		return storage.Client{}, refused(false)
	}
	return e.client, nil
}

// Forget drops what is known of a client, so that the next call reads it. It is to be called for
// every event and change that concerns the client.
func (r *Registry) Forget(id storage.ClientID) { r.cache.forget(id) }

// proof is a secret, of whom, and from where.
type proof struct {
	id      storage.ClientID
	given   string
	address string
}

// tries is proves behind the brake. Names that no client can have are not worth counting: they prove
// nothing either way.
func (r *Registry) tries(ctx context.Context, e *entry, p proof) (right bool, err error) {
	if r.brake == nil || p.given == "" || p.address == "" || !validID(string(p.id)) {
		return r.proves(ctx, e, p.id, p.given)
	}
	err = r.brake.TryClient(ctx, p.id, p.address, func(ctx context.Context) (bool, error) {
		var err error
		right, err = r.proves(ctx, e, p.id, p.given)
		return right, err
	})
	return right, err
}

// proves says whether the secret is one of the client's; for a public client, whether there is none.
// The same hash is computed for clients that do not exist.
func (r *Registry) proves(ctx context.Context, e *entry, id storage.ClientID, given string) (bool, error) {
	if e.known && e.client.Kind == storage.Public {
		return given == "", nil
	}
	if given == "" || len(given) > maxSecret {
		return false, nil
	}
	sum := r.secrets.sum(id, given)
	old := e.old
	if !r.now().Before(e.oldUntil) {
		old = verifier{}
	}
	current := subtle.ConstantTimeCompare(sum[:], e.current.mac[:])
	before := subtle.ConstantTimeCompare(sum[:], old.mac[:])
	if (current == 1 && e.current.fast) || (before == 1 && old.fast) {
		return true, nil
	}
	for _, v := range []verifier{e.current, old} {
		right, err := r.slow(ctx, v, id, given)
		if right || err != nil {
			return right, err
		}
	}
	return false, nil
}

// slow verifies against a slow hash, or against the memory of having done so.
func (r *Registry) slow(ctx context.Context, v verifier, id storage.ClientID, given string) (bool, error) {
	if v.proved == nil || r.passwords == nil {
		return false, nil
	}
	sum := r.seen.sum(id, given)
	if proved := v.proved.Load(); proved != nil && subtle.ConstantTimeCompare(sum[:], proved[:]) == 1 {
		return true, nil
	}
	right, err := r.passwords.Matches(ctx, v.stored, secret.New(given))
	if right && err == nil {
		v.proved.Store(&sum)
	}
	return right, err
}

// read tells the name and the secret, from the header or the form.
func (cr Credentials) read() (id, given string, err error) {
	if cr.Basic == "" {
		if cr.Secret != nil {
			given = cr.Secret.Reveal()
		}
		if cr.ID == "" {
			return "", "", oauth.New(oauth.InvalidClient, "the request names no client: send client_id, or an Authorization: Basic header")
		}
		return cr.ID, given, nil
	}
	if cr.Secret != nil && !cr.Secret.Empty() {
		return "", "", oauth.New(oauth.InvalidRequest, "client_secret was sent both in the header and in the form: use one of them")
	}
	id, given, ok := parseBasic(cr.Basic)
	if !ok {
		return "", "", &oauth.Error{
			Code: oauth.InvalidClient, Challenge: true,
			Description: "the Authorization header is not Basic with the form-encoded client_id and client_secret in base64 (RFC 6749 section 2.3.1)",
		}
	}
	if cr.ID != "" && cr.ID != id {
		return "", "", oauth.New(oauth.InvalidRequest, "client_id in the form is not the one in the Authorization header")
	}
	return id, given, nil
}

// parseBasic reads an Authorization header (RFC 7617), whose halves are form-encoded (RFC 6749 §2.3.1).
func parseBasic(header string) (id, given string, ok bool) {
	const scheme = "basic "
	if len(header) > maxBasic || len(header) < len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimLeft(header[len(scheme):], " "))
	if err != nil {
		return "", "", false
	}
	id, given, ok = strings.Cut(string(decoded), ":")
	if !ok || id == "" {
		return "", "", false
	}
	if id, err = url.QueryUnescape(id); err != nil {
		return "", "", false
	}
	if given, err = url.QueryUnescape(given); err != nil {
		return "", "", false
	}
	return id, given, true
}

// validID checks [a-z0-9][a-z0-9._-]{0,62}, which is also the form of a product's name.
func validID(id string) bool {
	if id == "" || len(id) > 63 {
		return false
	}
	for i := range len(id) {
		b := id[i]
		plain := (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9')
		if !plain && (i == 0 || (b != '.' && b != '_' && b != '-')) {
			return false
		}
	}
	return true
}

func refused(basic bool) error {
	return &oauth.Error{
		Code: oauth.InvalidClient, Challenge: basic,
		Description: "the client is unknown, disabled, or its secret is wrong",
	}
}

// unavailable presents a store or a hashing queue that gave no answer. What is not a passing fault
// is an internal one.
func unavailable(err error) error {
	if _, presented := errors.AsType[*oauth.Error](err); presented {
		return err
	}
	for _, passing := range []error{storage.ErrUnavailable, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, passing) {
			return oauth.Unavailable(err)
		}
	}
	return oauth.ServerError(err)
}
