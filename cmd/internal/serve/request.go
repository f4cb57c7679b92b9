package serve

import (
	"context"
	"math/rand/v2"

	"github.com/gin-gonic/gin"
)

// HeaderRequestID carries the identifier of a request, in both directions.
const HeaderRequestID = "X-Request-Id"

const maxRequestID = 64

// Record is what the access record of a request says beyond method, route, status, latency and size.
// Empty fields are left out. Nothing in it may be secret: name a token by its jti.
type Record struct {
	Client   string // client_id
	Subject  string // sub
	Session  string // sid
	Product  string
	Terminal string
	Reason   string // why it was refused: an error code or the reason of an ended session

	stream bool
}

// RecordOf returns the access record of the request that ctx belongs to, to be filled by its handler,
// and not from other goroutines. Outside of a request it returns a record that nobody reads.
func RecordOf(ctx context.Context) *Record {
	if r := requestOf(ctx); r != nil {
		return &r.record
	}
	return &Record{}
}

// RequestID returns the identifier of the request that ctx belongs to, or "" outside of one.
func RequestID(ctx context.Context) string {
	if r := requestOf(ctx); r != nil {
		return r.id[0]
	}
	return ""
}

// identify gives the request its identifier: the one it came with if that is sane, else a new one.
func identify() gin.HandlerFunc {
	return func(c *gin.Context) {
		id := c.GetHeader(HeaderRequestID)
		if !saneID(id) {
			id = newID()
		}
		r := &request{parent: c.Request.Context(), id: [1]string{id}}
		defer r.end()
		c.Writer.Header()[HeaderRequestID] = r.id[:]
		c.Request = c.Request.WithContext(r)
		c.Next()
	}
}

// saneID says that an identifier can stand in a log and a header as it is.
func saneID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch b := id[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}

// newID makes 128 random bits in hexadecimal.
func newID() string {
	const digits = "0123456789abcdef"
	var out [32]byte
	for half := range 2 {
		bits := rand.Uint64() //nolint:gosec // G404: unlikely to collide is enough; see Design notes.
		for i := range 16 {
			out[half*16+i] = digits[bits&15]
			bits >>= 4
		}
	}
	return string(out[:])
}
