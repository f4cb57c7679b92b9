package configs

import (
	"time"

	"github.com/tallystick/tallystick/keys/secret"
)

// Config is the whole configuration of a process.
type Config struct {
	// Issuer is the URL that names the authorization server in its tokens and metadata.
	Issuer string
	// Audience is what tokens are meant for; the issuer when nothing is said.
	Audience []string
	Listen   Listen
	CORS     CORS
	MySQL    MySQL
	Redis    Redis
	Keys     Keys
	Tokens   Tokens
	Password Password
	Brakes   Brakes
	// Products are the products by name.
	Products  map[string]Product
	WeChat    WeChat
	Pages     Pages
	Wallet    Wallet
	Webhooks  Webhooks
	Guard     Guard
	Live      Live
	Retention Retention
	Log       Log

	// Embedded says that the process brings its own engines, as tallystick dev does, so that the
	// sections mysql and redis need not be filled. It is not a key.
	Embedded bool
	// Warnings are what is allowed but probably not meant, one line each. It is not a key.
	Warnings []string
}

// Listen is where and how the process listens.
type Listen struct {
	Addr string
	// AdminAddr is the address of a second listener for metrics and the details of readiness; empty for none.
	AdminAddr   string
	TLSCertFile string
	TLSKeyFile  string
	// TrustedProxies are the addresses and networks whose X-Forwarded-For is believed; none by default.
	TrustedProxies []string
	ReadTimeout    time.Duration
	WriteTimeout   time.Duration
	IdleTimeout    time.Duration
	// RequestTimeout is the deadline of a request; streams have none.
	RequestTimeout time.Duration
	// ShutdownTimeout is how long requests in flight may take to finish when the process is asked to stop.
	ShutdownTimeout time.Duration
}

// CORS says which pages of other origins may call from a browser.
type CORS struct {
	// Origins are scheme, host and port as browsers send them; none by default.
	Origins []string
}

// MySQL is the database.
type MySQL struct {
	DSN             secret.Text
	DSNFile         string
	MaxOpenConns    int
	MaxIdleConns    int
	ConnMaxLifetime time.Duration
	ConnMaxIdleTime time.Duration
}

// Redis is what hurries.
type Redis struct {
	URL     secret.Text
	URLFile string
	// Prefix begins every key.
	Prefix string
}

// Keys are the signing keys.
type Keys struct {
	// Algorithm is that of new signing keys: EdDSA, ES256 or RS256.
	Algorithm string
	// EncryptionKey seals the private keys in the database: the base64 of 32 bytes.
	EncryptionKey     secret.Text
	EncryptionKeyFile string
	// Publish is how long a new key is published before it signs.
	Publish time.Duration
}

// Tokens are the settings of tokens that belong to no product.
type Tokens struct {
	ClientCredentialsTTL time.Duration
	// ReplayWindow is how long a used refresh token still gets the answer it got.
	ReplayWindow time.Duration
	// Leeway is the difference of clocks that is forgiven.
	Leeway time.Duration
}

// Password is the cost of hashing passwords, and the keys of legacy keyed hashes.
type Password struct {
	MemoryKiB int
	Time      int
	Threads   int
	// Workers is how many hashes are computed at once; 0 means one for each core.
	Workers int
	// Queue is how many more may wait, and Wait for how long.
	Queue     int
	Wait      time.Duration
	MinLength int
	// HMACKeys are the keys of imported HMAC-SHA1 hashes, by the id that stands in the hash.
	HMACKeys map[string]HMACKey
}

// HMACKey is a key of imported hashes.
type HMACKey struct {
	Secret     secret.Text
	SecretFile string
}

// Brakes hold back whoever guesses passwords and client secrets.
type Brakes struct {
	// AccountFailures are how many failures an account is free to have from addresses that are not known
	// to be its user's, KnownFailures from each one that is.
	AccountFailures int
	KnownFailures   int
	// Delay is the pause after the first failure beyond those, doubled by each further one up to MaxDelay.
	Delay    time.Duration
	MaxDelay time.Duration
	// MostFailures is after how many in a row the pause is Lock.
	MostFailures int
	Lock         time.Duration
	// Window is how long failures are remembered, and Known how long an address is after a sign-in there.
	Window time.Duration
	Known  time.Duration
	// AddressFailures is how many failures an address is free to have within AddressWindow.
	AddressFailures int
	AddressWindow   time.Duration
}

// Retention is how long records are kept, each counted from when it is good for nothing any more, or
// from when it was made.
type Retention struct {
	// Sessions and RefreshTokens are kept beyond their expiry, Events and RevokedTokens beyond that of
	// the last token concerned.
	Sessions      time.Duration
	RefreshTokens time.Duration
	Events        time.Duration
	RevokedTokens time.Duration
	// Answers to writes and Audit records are kept from when they were made.
	Answers time.Duration
	Audit   time.Duration
	// Handoffs, the requests of devices and login tokens, are kept beyond their expiry.
	Handoffs time.Duration
	// DeadDeliveries are ledger events that a webhook did not take, kept from when they were given up.
	DeadDeliveries time.Duration
}

// Product is a product by its terminals: mobile, browser and api.
type Product struct {
	Terminals map[string]Terminal
}

// Terminal is how sign-ins run on a terminal of a product.
type Terminal struct {
	Mode string // kickout, shared or concurrent
	// AccessTTL is the life of an access token; [Load] cuts it to SessionTTL.
	AccessTTL  time.Duration
	SessionTTL time.Duration
	// IdleTTL ends a session that is not used for so long; 0 for never before SessionTTL.
	IdleTTL time.Duration
	// MaxSessions bounds the sessions of a user in mode concurrent.
	MaxSessions int
}

// WeChat is the sign-in by WeChat's mini programs; without apps there is none.
type WeChat struct {
	// BaseURL is where code2Session is asked.
	BaseURL string
	// Timeout bounds one question there.
	Timeout time.Duration
	// Apps are the mini programs, by names that the operator chooses.
	Apps map[string]WeChatApp
}

// WeChatApp is a mini program.
type WeChatApp struct {
	AppID      string
	Secret     secret.Text
	SecretFile string
	// Platform names the open platform account that it belongs to, within which a unionid is one person.
	Platform string
	// Clients are the OAuth clients that are this mini program.
	Clients []string
}

// Pages are what people see in a browser: /signin, /device and /account.
type Pages struct {
	// Client is who signs in there: a public client with the grants password, refresh_token and device_code on the
	// terminal browser. Empty for no pages.
	Client string
}

// Wallet is the wallet service.
type Wallet struct {
	Currencies []string
	// MaxAmount bounds one movement, in minor units.
	MaxAmount int64
	// Exponents say of currencies that ISO 4217 does not list how many digits follow the point.
	Exponents map[string]int
	// Limits bound, by currency, what the users spend whose wallets have no limits of their own.
	Limits map[string]WalletLimits
	Lock   Lock
}

// WalletLimits bound what a user spends in a currency, in minor units; nil is no limit.
type WalletLimits struct {
	// Single bounds one transfer or hold, Daily all of a day (UTC).
	Single, Daily *int64
}

// Lock is the lock of a user's wallet.
type Lock struct {
	TTL  time.Duration
	Wait time.Duration
	// Required refuses writes while locks cannot be had, where otherwise the database alone keeps order.
	Required bool
}

// Webhooks are how others are told of ledger events.
type Webhooks struct {
	// StreamLength is about how many events the Redis stream keeps.
	StreamLength int64
	// Timeout bounds one try to deliver.
	Timeout time.Duration
	// Parallel is how many events of one webhook are under way at once.
	Parallel int
	// DisableAfter is after how long a webhook that takes nothing is disabled.
	DisableAfter time.Duration
	// AllowHTTP lets webhooks have http addresses.
	AllowHTTP bool
	// AllowedNetworks are networks that are not public and may be called all the same.
	AllowedNetworks []string
}

// Guard is the check of presented tokens.
type Guard struct {
	// CacheSize bounds the cache of verified tokens.
	CacheSize int
	// MaxEnded bounds the set of ended sessions.
	MaxEnded int
	// Poll is how often the feed of ended sessions is read.
	Poll time.Duration
}

// Live is what live connections may do.
type Live struct {
	// Origins are the origins of pages that may connect, beside those of the server's own address.
	Origins []string
	// MaxConnections bounds the connections of this process, MaxPerAddress those of one address, MaxPerUser
	// those of a user: one more closes the user's oldest.
	MaxConnections int
	MaxPerAddress  int
	MaxPerUser     int
	// MaxFrame is the size of the longest frame, in bytes.
	MaxFrame int
	// FramesPerSecond is how many frames a connection may send for long, FramesAtOnce how many at once.
	FramesPerSecond int
	FramesAtOnce    int
	// MaxInFlight is how many frames of a connection are answered at once, MaxQueued how many may wait
	// for it to read.
	MaxInFlight int
	MaxQueued   int
	// SignInTime is how long a connection may stay before it has signed in.
	SignInTime time.Duration
	// PingEvery is the pause between pings to a silent connection, PongTime how long its answer may take.
	PingEvery time.Duration
	PongTime  time.Duration
	// WriteTime is how long a connection may take to read one frame.
	WriteTime time.Duration
}

// Log is how the process logs.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // json or text
}

// The defaults that have a reason.
const (
	// DefaultMaxOpenConns suits two cores of application to one small database; group commit needs few.
	DefaultMaxOpenConns = 32
	// DefaultMaxAmount is the largest integer that every JSON reader keeps exactly.
	DefaultMaxAmount = 9007199254740991
	// DefaultMaxSessions bounds concurrent sessions where nothing is said.
	DefaultMaxSessions = 10
	// DefaultFailures is how many wrong passwords in a row cost nothing: more than a user needs, and a
	// fifth of what NIST SP 800-63B allows.
	DefaultFailures = 20
	// DefaultAnswers is longer than any queue repeats a write, and than a quarter.
	DefaultAnswers = 90 * day
	// DefaultAudit is a year and a month, so that a yearly review finds all of the year before.
	DefaultAudit = 400 * day
)

// Default returns the configuration before anything is read. It is not complete: the issuer, the
// engines, the encryption key and the products have no default.
func Default() Config {
	return Config{
		Listen: Listen{
			Addr: "127.0.0.1:8080", ReadTimeout: 15 * time.Second, WriteTimeout: 90 * time.Second,
			IdleTimeout: 2 * time.Minute, RequestTimeout: 75 * time.Second, ShutdownTimeout: 20 * time.Second,
		},
		MySQL: MySQL{
			MaxOpenConns: DefaultMaxOpenConns, MaxIdleConns: DefaultMaxOpenConns,
			ConnMaxLifetime: 30 * time.Minute, ConnMaxIdleTime: 5 * time.Minute,
		},
		Redis:  Redis{Prefix: "tallystick:"},
		Keys:   Keys{Algorithm: "EdDSA", Publish: 10 * time.Minute},
		Tokens: Tokens{ClientCredentialsTTL: time.Hour, ReplayWindow: 10 * time.Second},
		Password: Password{
			MemoryKiB: 19 * 1024, Time: 2, Threads: 1, Queue: 64, Wait: 5 * time.Second, MinLength: 8,
			HMACKeys: map[string]HMACKey{},
		},
		Brakes: Brakes{
			AccountFailures: DefaultFailures, KnownFailures: DefaultFailures, Delay: 30 * time.Second, MaxDelay: time.Hour,
			MostFailures: 100, Lock: day, Window: day, Known: 30 * day, AddressFailures: 100, AddressWindow: time.Hour,
		},
		Products: map[string]Product{},
		WeChat:   WeChat{BaseURL: "https://api.weixin.qq.com", Timeout: 5 * time.Second, Apps: map[string]WeChatApp{}},
		Wallet: Wallet{
			Currencies: []string{"CNY"}, MaxAmount: DefaultMaxAmount,
			Exponents: map[string]int{}, Limits: map[string]WalletLimits{},
			Lock: Lock{TTL: time.Minute, Wait: time.Minute},
		},
		Webhooks: Webhooks{StreamLength: 100_000, Timeout: 15 * time.Second, Parallel: 8, DisableAfter: 5 * day},
		Guard:    Guard{CacheSize: 100_000, MaxEnded: 1_000_000, Poll: 100 * time.Millisecond},
		Live: Live{
			MaxConnections: 20_000, MaxPerAddress: 512, MaxPerUser: 16, MaxFrame: 16 << 10, FramesPerSecond: 20, FramesAtOnce: 40,
			MaxInFlight: 8, MaxQueued: 64, SignInTime: 10 * time.Second, PingEvery: 30 * time.Second, PongTime: 10 * time.Second,
			WriteTime: 5 * time.Second,
		},
		Retention: Retention{
			Sessions: day, RefreshTokens: day, Events: time.Hour, RevokedTokens: time.Hour, Answers: DefaultAnswers, Audit: DefaultAudit, Handoffs: day, DeadDeliveries: 90 * day,
		},
		Log: Log{Level: "info", Format: "json"},
	}
}

// DefaultTerminal returns the settings of a terminal of the given type (mobile, browser or api) where
// the configuration says nothing.
func DefaultTerminal(kind string) Terminal {
	t := Terminal{AccessTTL: 15 * time.Minute, MaxSessions: DefaultMaxSessions}
	switch kind {
	case "mobile":
		t.Mode, t.SessionTTL = "kickout", 7*day
	case "browser":
		t.Mode, t.SessionTTL = "shared", 2*day
	default:
		t.Mode, t.SessionTTL = "concurrent", 2*time.Hour
	}
	return t
}

// DefaultProduct returns a product with all terminals as they are by default.
func DefaultProduct() Product {
	p := Product{Terminals: map[string]Terminal{}}
	for _, kind := range terminalKinds() {
		p.Terminals[kind] = DefaultTerminal(kind)
	}
	return p
}

func terminalKinds() []string { return []string{"mobile", "browser", "api"} }
