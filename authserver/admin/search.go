package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/storage"
)

// Search returns up to limit users whose names begin with prefix and come after the given one, in
// their order. An empty prefix means all; it is normalised like a name, and gives
// [password.ErrUsername] if no name can begin so. A limit that is not between 1 and [MaxPage] means that.
func (u *Users) Search(ctx context.Context, prefix, after string, limit int) ([]storage.User, error) {
	if prefix == "" {
		return u.List(ctx, after, limit)
	}
	name, err := password.NormalizeUsername(prefix)
	if err != nil {
		return nil, err
	}
	if limit < 1 || limit > MaxPage {
		limit = MaxPage
	}
	var found []storage.User
	if after < name {
		// The prefix itself may be a name, and it is the first of those that begin with it.
		first, err := u.c.Users.UserByName(ctx, name)
		switch {
		case err == nil:
			found = append(found, bare(first))
		case !errors.Is(err, storage.ErrNotFound):
			return nil, fmt.Errorf("search users: %w", err)
		}
		after = name
	}
	if len(found) == limit {
		return found, nil
	}
	rest, err := u.List(ctx, after, limit-len(found))
	if err != nil {
		return nil, err
	}
	for _, user := range rest {
		if !strings.HasPrefix(user.Username, name) {
			break
		}
		found = append(found, user)
	}
	return found, nil
}
