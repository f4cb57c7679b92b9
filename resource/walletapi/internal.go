package walletapi

import (
	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/storage"
)

// SubParam is the path parameter that names whose wallet an internal app reads.
const SubParam = "sub"

// maxSub is the longest identifier of a user, in bytes.
const maxSub = 32

// BalancesOf answers GET /v1/wallets/:sub. The wallet of somebody who never had money is empty, and so is that of a
// user who does not exist: the ledger does not tell them apart.
func (a *API) BalancesOf(c *gin.Context) error {
	user, err := subject(c)
	if err != nil {
		return err
	}
	return a.balances(c, user)
}

// EntriesOf answers GET /v1/wallets/:sub/entries.
func (a *API) EntriesOf(c *gin.Context) error {
	user, err := subject(c)
	if err != nil {
		return err
	}
	return a.entries(c, user)
}

// subject is the user whose wallet an internal app reads.
func subject(c *gin.Context) (storage.UserID, error) {
	p, err := principal(c)
	if err != nil {
		return "", err
	}
	if p.User != "" || p.Session != "" {
		return "", unguarded(c)
	}
	user := c.Param(SubParam)
	if user == "" || len(user) > maxSub {
		return "", storage.ErrNotFound
	}
	return storage.UserID(user), nil
}
