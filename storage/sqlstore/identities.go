package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Identities = (*DB)(nil)

const (
	identityColumns = "identity_id, provider, app, subject, realm, union_id, user_id, sealed, created_at, used_at"

	selectIdentity  = "SELECT " + identityColumns + " FROM identities WHERE provider = ? AND app = ? AND subject = ?"
	selectWays      = "SELECT " + identityColumns + " FROM identities WHERE user_id = ? ORDER BY created_at, identity_id LIMIT ?"
	selectWay       = "SELECT " + identityColumns + " FROM identities WHERE identity_id = ? AND user_id = ?"
	insertIdentity  = "INSERT INTO identities (" + identityColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	refreshIdentity = "UPDATE identities SET realm = ?, union_id = ?, sealed = ?, used_at = ? WHERE identity_id = ?"
	dropIdentity    = "DELETE FROM identities WHERE identity_id = ? AND user_id = ?"

	selectUnion = "SELECT user_id FROM identity_unions WHERE provider = ? AND realm = ? AND union_id = ?"
	insertUnion = "INSERT INTO identity_unions (provider, realm, union_id, user_id) VALUES (?, ?, ?, ?)"
	dropUnion   = "DELETE FROM identity_unions WHERE provider = ? AND realm = ? AND union_id = ? AND user_id = ?"
)

// admitTries bounds how often an arrival looks again after another one has made what it was about to make.
const admitTries = 5

// AdmitIdentity implements [storage.Identities]. The unique keys of identities and unions decide between
// arrivals: who loses rolls back and finds what the winner made.
func (db *DB) AdmitIdentity(ctx context.Context, a storage.Arrival) (storage.Identity, error) {
	var in arrival
	err := db.arrive(ctx, "admit identity", func(ctx context.Context, tx *sql.Tx) error {
		in = arrival{Arrival: a, db: db, tx: tx}
		return in.admit(ctx)
	})
	if err != nil {
		return storage.Identity{}, err
	}
	return in.Identity, nil
}

// LinkIdentity implements [storage.Identities].
func (db *DB) LinkIdentity(ctx context.Context, a storage.Arrival) (storage.Identity, bool, error) {
	var in arrival
	err := db.arrive(ctx, "link identity", func(ctx context.Context, tx *sql.Tx) error {
		in = arrival{Arrival: a, db: db, tx: tx}
		return in.link(ctx)
	})
	if err != nil {
		return storage.Identity{}, false, err
	}
	return in.Identity, in.made, nil
}

// errAnothers says that the identity is somebody else's, unlike a duplicate, which says that it has become
// somebody's just now.
var errAnothers = fmt.Errorf("the identity is another user's: %w", storage.ErrExists)

func (db *DB) arrive(ctx context.Context, what string, f func(context.Context, *sql.Tx) error) error {
	for try := 1; ; try++ {
		err := db.write(ctx, what, f)
		switch {
		case err == nil || !errors.Is(err, storage.ErrExists) || errors.Is(err, errAnothers):
			return err
		case try == admitTries:
			return fmt.Errorf("%s: gave up after %d tries: %w", what, try, errors.Join(storage.ErrUnavailable, err))
		}
	}
}

// ListIdentities implements [storage.Identities].
func (db *DB) ListIdentities(ctx context.Context, user storage.UserID) (list []storage.Identity, err error) {
	err = db.read(ctx, "list identities", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanIdentity, selectWays, string(user), pageMax)
		return err
	})
	return list, err
}

// UnlinkIdentity implements [storage.Identities]. The row of the user is locked, so that of two who take the
// last two ways one sees what the other took; and that of the union, so that nobody arrives by it meanwhile.
func (db *DB) UnlinkIdentity(ctx context.Context, user storage.UserID, id storage.IdentityID, audit *storage.AuditRecord, _ time.Time) error {
	return db.write(ctx, "unlink identity", func(ctx context.Context, tx *sql.Tx) error {
		u, err := scanUser(tx.QueryRowContext(ctx, selectUser+db.d.ForUpdate, string(user)))
		if err != nil {
			return err
		}
		gone, err := scanIdentity(tx.QueryRowContext(ctx, selectWay, string(id), string(user)))
		if err != nil {
			return err
		}
		in := arrival{Arrival: storage.Arrival{Identity: gone}, db: db, tx: tx}
		if _, err := in.union(ctx); err != nil {
			return err
		}
		ways, err := collect(ctx, tx, scanIdentity, selectWays, string(user), pageMax)
		if err != nil {
			return err
		}
		if u.Password == "" && len(ways) == 1 {
			return storage.ErrLastWay
		}
		united := 0
		for _, way := range ways {
			if way.Provider == gone.Provider && way.Realm == gone.Realm && way.Union == gone.Union {
				united++
			}
		}
		if gone.Union != "" && united == 1 {
			if _, err := affect(ctx, tx, dropUnion, gone.Provider, gone.Realm, gone.Union, string(user)); err != nil {
				return err
			}
		}
		if err := exactlyOne(ctx, tx, dropIdentity, string(id), string(user)); err != nil {
			return err
		}
		return appendAudit(ctx, tx, audit)
	})
}

// arrival is one run of an [storage.Arrival] in a transaction. Whoever writes several rows writes the union
// first, then the identity, then the user, so that arrivals wait for each other in one order.
type arrival struct {
	storage.Arrival
	db   *DB
	tx   *sql.Tx
	made bool // the identity is new
}

func (in *arrival) admit(ctx context.Context) error {
	id := &in.Identity
	union, err := in.union(ctx)
	if err != nil {
		return err
	}
	known, found, err := in.known(ctx)
	if err != nil {
		return err
	}
	newcomer := false
	switch {
	case found:
		id.ID, id.User, id.CreatedAt = known.ID, known.User, known.CreatedAt
	case union != "":
		id.User = union
	default:
		id.User, newcomer = in.Newcomer.ID, true
	}
	if union != "" && union != id.User {
		id.Realm, id.Union = known.Realm, known.Union // the person is another user's, and stays it
	} else if err := in.claimUnion(ctx, union); err != nil {
		return err
	}
	if err := in.keep(ctx, known, found); err != nil || !newcomer {
		return err
	}
	u := in.Newcomer
	_, err = in.tx.ExecContext(ctx, insertUser, string(u.ID), u.Username, string(u.Password), u.Credential,
		micros(u.CreatedAt), micros(u.UpdatedAt), nil, nil, nil, "")
	if err != nil {
		return err
	}
	return in.record(ctx, in.Created)
}

func (in *arrival) link(ctx context.Context) error {
	id := &in.Identity
	if err := userLocked(ctx, in.tx, in.db.d.ForUpdate, id.User); err != nil {
		return err
	}
	union, err := in.union(ctx)
	if err != nil {
		return err
	}
	known, found, err := in.known(ctx)
	switch {
	case err != nil:
		return err
	case found && known.User != id.User, union != "" && union != id.User:
		return errAnothers
	case found:
		id.ID, id.CreatedAt = known.ID, known.CreatedAt
	default:
		ways, err := collect(ctx, in.tx, scanIdentity, selectWays, string(id.User), storage.MaxIdentities)
		if err != nil {
			return err
		}
		if len(ways) >= storage.MaxIdentities {
			return storage.ErrFull
		}
	}
	if err := in.claimUnion(ctx, union); err != nil {
		return err
	}
	return in.keep(ctx, known, found)
}

// userLocked locks the row of a user, so that changes of what is theirs come one after the other.
func userLocked(ctx context.Context, tx *sql.Tx, lock string, id storage.UserID) error {
	_, err := scanText[storage.UserID](tx.QueryRowContext(ctx, selectUserID+lock, string(id)))
	return err
}

// union returns the user of the arrival's union, empty if it is nobody's.
func (in *arrival) union(ctx context.Context) (storage.UserID, error) {
	id := &in.Identity
	if id.Union == "" {
		return "", nil
	}
	user, err := scanText[storage.UserID](in.tx.QueryRowContext(ctx, selectUnion+in.db.d.ForUpdate, id.Provider, id.Realm, id.Union))
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return user, err
}

// known returns the stored side of the arrival, if there is one.
func (in *arrival) known(ctx context.Context) (storage.Identity, bool, error) {
	id := &in.Identity
	known, err := scanIdentity(in.tx.QueryRowContext(ctx, selectIdentity+in.db.d.ForUpdate, id.Provider, id.App, id.Subject))
	if errors.Is(err, sql.ErrNoRows) {
		return storage.Identity{}, false, nil
	}
	return known, err == nil, err
}

// claimUnion makes the arrival's union its user's, where it is nobody's.
func (in *arrival) claimUnion(ctx context.Context, holder storage.UserID) error {
	id := &in.Identity
	if id.Union == "" || holder != "" {
		return nil
	}
	_, err := in.tx.ExecContext(ctx, insertUnion, id.Provider, id.Realm, id.Union, string(id.User))
	return err
}

// keep stores the identity. What a provider told once and leaves out now is not forgotten.
func (in *arrival) keep(ctx context.Context, known storage.Identity, found bool) error {
	id := &in.Identity
	id.UsedAt = storage.Instant(in.Now)
	if found {
		if id.Union == "" {
			id.Realm, id.Union = known.Realm, known.Union
		}
		return exactlyOne(ctx, in.tx, refreshIdentity, id.Realm, id.Union, id.Sealed, micros(id.UsedAt), string(id.ID))
	}
	in.made = true
	_, err := in.tx.ExecContext(ctx, insertIdentity, string(id.ID), id.Provider, id.App, id.Subject, id.Realm, id.Union,
		string(id.User), id.Sealed, micros(id.CreatedAt), micros(id.UsedAt))
	if err != nil {
		return err
	}
	return in.record(ctx, in.Linked)
}

// record appends an audit record of the user that the arrival turned out to be.
func (in *arrival) record(ctx context.Context, r *storage.AuditRecord) error {
	if r == nil {
		return nil
	}
	whose := *r
	whose.User = in.Identity.User
	return appendAudit(ctx, in.tx, &whose)
}

func scanIdentity(row scanner) (storage.Identity, error) {
	var id storage.Identity
	var created, used int64
	err := row.Scan(&id.ID, &id.Provider, &id.App, &id.Subject, &id.Realm, &id.Union, &id.User, &id.Sealed, &created, &used)
	if err != nil {
		return storage.Identity{}, err
	}
	id.CreatedAt, id.UsedAt = instant(created), instant(used)
	return id, nil
}
