package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/storage"
)

// The actions. A name is "subject.what happened".
const (
	SessionOpened    = "session.opened"
	SessionEnded     = "session.ended"
	SessionRefreshed = "session.refreshed"
	TokenIssued      = "token.issued"
	TokenRevoked     = "token.revoked"
	SignInRefused    = "signin.refused"
	BrakeEngaged     = "brake.engaged"

	DeviceScanned     = "device.scanned"
	DeviceApproved    = "device.approved"
	DeviceDenied      = "device.denied"
	DeviceCancelled   = "device.cancelled"
	LoginTokenIssued  = "login_token.issued"
	LoginTokenRevoked = "login_token.revoked"

	UserCreated   = "user.created"
	UsersImported = "users.imported"
	UserDisabled  = "user.disabled"
	UserEnabled   = "user.enabled"
	UserKicked    = "user.kicked"
	UserBanned    = "user.banned"
	UserUnbanned  = "user.unbanned"
	UserPassword  = "user.password_set"

	WalletChanged = "wallet.changed"

	IdentityLinked   = "identity.linked"
	IdentityUnlinked = "identity.unlinked"

	ClientCreated  = "client.created"
	ClientUpdated  = "client.updated"
	ClientRotated  = "client.secret_rotated"
	ClientDisabled = "client.disabled"
	ClientEnabled  = "client.enabled"
	ClientRefused  = "client.refused"

	KeyAdded   = "key.added"
	KeyRetired = "key.retired"
)

// OK is the result of what succeeded; anything else is the code of a refusal.
const OK = "ok"

// Limits of a detail.
const (
	// MaxDetail is the longest detail, as JSON.
	MaxDetail = 2048
	// MaxValue is the longest value in it; longer ones are cut.
	MaxValue = 256
	maxKey   = 64
	maxKeys  = 32
	maxActor = 128
)

// Columns that the records go to, in bytes. Those of identifiers hold ASCII only.
const (
	maxAction  = 64
	maxID      = 32
	maxClient  = 64
	maxAddress = 45
)

const redacted = "[redacted]"

// Origin is who asks for something, and from where.
type Origin struct {
	// Actor is "user:SUB", "client:ID", "operator:NAME" or "system".
	Actor string
	// Client is the client whose token or credentials carried the request; empty on a command line.
	Client storage.ClientID
	// Address is the IP address the request came from; empty on a command line.
	Address string
}

// Operator is the origin of what is done on the command line of the server.
func Operator(name string) Origin { return Origin{Actor: "operator:" + name} }

// System is the origin of what the server does by itself.
func System() Origin { return Origin{Actor: "system"} }

// Record begins a record of an action that succeeded. The caller sets what else it knows; for a
// refusal it sets Result to the error code.
func (o Origin) Record(action string, now time.Time) storage.AuditRecord {
	return tidy(storage.AuditRecord{
		ID:      storage.NewID(now),
		At:      storage.Instant(now),
		Action:  action,
		Result:  OK,
		Actor:   o.Actor,
		Client:  o.Client,
		Address: o.Address,
	})
}

// tidy makes a record fit its columns: a refusal is recorded also when what was refused is the
// nonsense of a stranger.
func tidy(r storage.AuditRecord) storage.AuditRecord {
	r.Action, r.Result = plain(r.Action, maxAction), plain(r.Result, maxAction)
	r.Actor = cut(r.Actor, maxActor)
	r.User = storage.UserID(plain(string(r.User), maxID))
	r.Client = storage.ClientID(plain(string(r.Client), maxClient))
	r.Session = storage.SessionID(plain(string(r.Session), maxID))
	r.Address = plain(r.Address, maxAddress)
	return r
}

// Detail makes a detail of alternating names and values: Detail("product", p, "sessions", n).
// Values are printed; those of a type that redacts itself stay redacted, and so does whatever a name
// or the shape of a value gives away as a secret. Empty values are left out. What does not fit is
// left out in the order of names, and the detail then says so under "truncated".
func Detail(pairs ...any) map[string]string {
	d := make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		name, value := cut(fmt.Sprint(pairs[i]), maxKey), fmt.Sprint(pairs[i+1])
		if value == "" {
			continue
		}
		if secretName(name) || secretShape(value) {
			value = redacted
		}
		d[name] = cut(value, MaxValue)
	}
	return fit(d)
}

// fit drops names from the end of their order until the detail is as small as it must be.
func fit(d map[string]string) map[string]string {
	names := slices.Sorted(maps.Keys(d))
	for len(names) > 0 && (len(names) > maxKeys || size(d) > MaxDetail) {
		last := names[len(names)-1]
		names = names[:len(names)-1]
		delete(d, last)
		d["truncated"] = "true"
	}
	return d
}

func size(d map[string]string) int {
	b, err := json.Marshal(d)
	if err != nil {
		return MaxDetail + 1 // cannot be: a map of strings always has a form in JSON
	}
	return len(b)
}

// secretName says whether a value under this name would be a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"password", "secret", "token", "authorization", "cookie", "hash", "session_key", "assertion"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return name == "code" || name == "device_code"
}

// secretShape says whether a value looks like a token or a generated client secret, whatever it is
// called.
func secretShape(value string) bool {
	if strings.HasPrefix(value, "tss_") {
		return true
	}
	return strings.HasPrefix(value, "eyJ") && strings.Count(value, ".") >= 2
}

// plain is cut for columns that hold ASCII: every byte that is not a visible one becomes a question
// mark.
func plain(s string, limit int) string {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			b := []byte(s[:min(len(s), limit)])
			for j := range b {
				if b[j] <= ' ' || b[j] > '~' {
					b[j] = '?'
				}
			}
			return string(b)
		}
	}
	return s[:min(len(s), limit)]
}

// cut shortens s to at most limit bytes of valid UTF-8, between characters.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
