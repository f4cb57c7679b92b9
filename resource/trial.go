package resource

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/resource/books"
)

// trialBalance answers GET /v1/ledger/trial-balance: per currency and class of accounts, how many there are and what they
// come to, all at one instant. The balances of a currency come to zero.
func (s *Server) trialBalance(c *gin.Context) error {
	lines, err := books.Trial(c.Request.Context(), s.books)
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Lines []books.Line `json:"lines"`
	}{lines})
	if err != nil {
		return fmt.Errorf("render trial balance: %w", err)
	}
	c.Header("Cache-Control", "no-store")
	c.Data(http.StatusOK, "application/json", body)
	return nil
}
