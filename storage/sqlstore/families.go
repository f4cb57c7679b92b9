package sqlstore

import (
	"context"

	"github.com/tallystick/tallystick/storage"
)

const selectFamilies = "SELECT client_id, family_id FROM refresh_tokens WHERE session_id = ? GROUP BY client_id, family_id LIMIT ?"

// Families implements [storage.Refreshes].
func (db *DB) Families(ctx context.Context, session storage.SessionID, limit int) (list []storage.ClientID, err error) {
	err = db.read(ctx, "families of session", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanFamily, selectFamilies, string(session), page(limit))
		return err
	})
	return list, err
}

func scanFamily(row scanner) (client storage.ClientID, err error) {
	var family storage.FamilyID
	return client, row.Scan(&client, &family)
}
