package storagetest

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// The times and names that the builders use.
const (
	Product    = "shop"
	AccessTTL  = 15 * time.Minute
	SessionTTL = 7 * 24 * time.Hour
	Window     = 10 * time.Second

	// ClientID is the client of the sign-ins that [NewOpening] makes.
	ClientID = storage.ClientID("shop-app")
)

// NewUser makes a user who may sign in.
func NewUser(username string, now time.Time) storage.User {
	return storage.User{
		ID: storage.NewUserID(), Username: username, Password: "hash-of-a-password", Credential: 1,
		CreatedAt: storage.Instant(now), UpdatedAt: storage.Instant(now),
	}
}

// NewClient makes a public client.
func NewClient(id storage.ClientID, now time.Time) storage.Client {
	return storage.Client{
		ID: id, Name: "Shop", Kind: storage.Public, Version: 1,
		Products: []string{Product}, Terminals: []storage.Terminal{storage.Mobile, storage.Browser},
		Grants: []string{"password", "refresh_token"}, Scopes: []string{"profile", "wallet:read"},
		RedirectURIs: []string{"https://shop.example/callback?a=1&b=ü"},
		CreatedAt:    storage.Instant(now), UpdatedAt: storage.Instant(now),
	}
}

// NewStamp makes the stamp of an access token that is minted at now.
func NewStamp(now time.Time) storage.Stamp {
	iat := now.UTC().Truncate(time.Second)
	return storage.Stamp{JTI: storage.NewID(now), KeyID: "key-1", IssuedAt: iat, ExpiresAt: iat.Add(AccessTTL)}
}

// NewOpening asks for a session of the product [Product] with a refresh token; the terminal is the
// one for which the mode is the default.
func NewOpening(user storage.UserID, mode storage.Mode, now time.Time) storage.Opening {
	terminal := map[storage.Mode]storage.Terminal{
		storage.Kickout: storage.Mobile, storage.Shared: storage.Browser, storage.Concurrent: storage.API,
	}[mode]
	at := storage.Instant(now)
	end := at.Truncate(time.Second).Add(SessionTTL)
	session := storage.Session{
		ID: storage.SessionID(storage.NewID(now)), User: user, Product: Product, Terminal: terminal, Mode: mode,
		Client: ClientID, Scope: "profile wallet:read",
		Device:    storage.Device{ID: "device-1", Name: "Tom’s phone", Address: "192.0.2.7", UserAgent: "Shop/1.0"},
		Data:      json.RawMessage(`{"cart":"ü"}`),
		CreatedAt: at, LastSeenAt: at, ExpiresAt: end, IdleAt: end, Access: NewStamp(now),
	}
	refresh := storage.Refresh{
		Hash: HashOf(storage.NewID(now)), Family: storage.FamilyID(storage.NewID(now)), Client: ClientID,
		Scope: session.Scope, KeyID: "key-1", IssuedAt: at.Truncate(time.Second), ExpiresAt: end,
	}
	return storage.Opening{Session: session, Refresh: &refresh, MaxSessions: 1, Now: now}
}

// NewRotation asks to exchange a refresh token, as the client of [NewOpening] would. All who present
// one token propose one successor, as the contract demands.
func NewRotation(presented storage.RefreshHash, now time.Time) storage.Rotation {
	at := now.UTC().Truncate(time.Second)
	return storage.Rotation{
		Presented: presented, Client: ClientID, Window: Window, Now: now, KeepLeft: AccessTTL / 3,
		Next: storage.Refresh{
			Hash: HashOf(string(presented[:])), KeyID: "key-1", IssuedAt: at, ExpiresAt: at.Add(SessionTTL), Access: NewStamp(now),
		},
	}
}

// NewAudit makes an audit record.
func NewAudit(action string, now time.Time) *storage.AuditRecord {
	return &storage.AuditRecord{
		ID: storage.NewID(now), At: storage.Instant(now), Action: action, Result: "ok", Actor: "operator:test",
		Address: "192.0.2.9", Detail: map[string]string{"word": "ü"},
	}
}

// HashOf is the stored side of a refresh token that is known by a text.
func HashOf(text string) storage.RefreshHash { return sha256.Sum256([]byte(text)) }
