package wallet

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// TransferOrder asks to move money from the bearer's wallet to another user's.
type TransferOrder struct {
	// Bearer is whose token it is; it is checked inside the posting transaction.
	Bearer storage.Bearer
	// User pays.
	User   storage.UserID
	To     storage.UserID
	Amount money.Amount
	Memo   string
	// Metadata is what the client wants to be told again: at most [MaxMetadataKeys] texts by name.
	Metadata map[string]string
	// Key is the idempotency key; one per client and user.
	Key string
	// Wait is how long to wait for the payer's lock; nil means as long as the configuration says, and
	// longer than that is cut to it. Zero tries once.
	Wait *time.Duration
}

// DepositOrder asks to move money into a user's wallet from outside.
type DepositOrder struct {
	// Bearer is the internal app's token; its Client is the one who deposits.
	Bearer    storage.Bearer
	User      storage.UserID
	Amount    money.Amount
	Reference string
	Metadata  map[string]string
	Key       string
}

// checkTransfer returns the metadata as they are recorded.
func (w *Wallet) checkTransfer(o *TransferOrder) (string, error) {
	if err := checkKey(o.Key); err != nil {
		return "", err
	}
	if err := w.checkAmount(o.Amount); err != nil {
		return "", err
	}
	if err := checkText("memo", o.Memo, 0, MaxMemo); err != nil {
		return "", err
	}
	if o.To == o.User {
		return "", refuse(CodeSameWallet, "payer and recipient are the same user")
	}
	if err := checkUser(o.To); err != nil {
		return "", err
	}
	return canonical(o.Metadata)
}

// checkDeposit returns the metadata as they are recorded.
func (w *Wallet) checkDeposit(o *DepositOrder) (string, error) {
	if err := checkKey(o.Key); err != nil {
		return "", err
	}
	if err := w.checkAmount(o.Amount); err != nil {
		return "", err
	}
	if err := checkText("reference", o.Reference, 1, MaxReference); err != nil {
		return "", err
	}
	if err := checkUser(o.User); err != nil {
		return "", err
	}
	return canonical(o.Metadata)
}

func (w *Wallet) checkAmount(a money.Amount) error {
	if !slices.Contains(w.cfg.Currencies, a.Currency) {
		return refuse(CodeCurrencyUnknown, "currency %.16q is not one of %v", string(a.Currency), w.cfg.Currencies)
	}
	if a.Minor < 1 || a.Minor > w.cfg.MaxAmount {
		return refuse(CodeAmountOutOfRange, "amount %d is not between 1 and %d", a.Minor, w.cfg.MaxAmount)
	}
	return nil
}

// checkUser keeps what cannot be an identifier away from the store.
func checkUser(id storage.UserID) error {
	ok := len(id) >= 1 && len(id) <= maxUserID
	for i := 0; ok && i < len(id); i++ {
		ok = id[i] > ' ' && id[i] < 0x7f
	}
	if !ok {
		return &Refusal{CodeUnknownRecipient, "there is no such user; nothing was moved"}
	}
	return nil
}

func checkKey(key string) error {
	if key == "" {
		return refuse(CodeKeyRequired, "a write needs an idempotency key of 1 to %d printable characters", MaxKey)
	}
	ok := len(key) <= MaxKey && key[0] != ' ' && key[len(key)-1] != ' '
	for i := 0; ok && i < len(key); i++ {
		ok = key[i] >= ' ' && key[i] < 0x7f
	}
	if !ok {
		return refuse(CodeInvalidRequest, "the idempotency key is not 1 to %d printable ASCII characters", MaxKey)
	}
	return nil
}

// checkText takes what can be shown: valid UTF-8, nothing that moves the cursor or turns the
// direction of what follows.
func checkText(field, s string, least, most int) error {
	if len(s) < least || len(s) > most {
		return refuse(CodeInvalidRequest, "%s: %d bytes is not between %d and %d", field, len(s), least, most)
	}
	if !utf8.ValidString(s) {
		return refuse(CodeInvalidRequest, "%s: not valid UTF-8", field)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return refuse(CodeInvalidRequest, "%s: control character %U", field, r)
		}
	}
	return nil
}

func (o *TransferOrder) hash(metadata string) [32]byte {
	return hashWith(metadata, "transfer/1", string(o.To), strconv.FormatInt(o.Amount.Minor, 10), string(o.Amount.Currency), o.Memo)
}

func (o *DepositOrder) hash(metadata string) [32]byte {
	return hashWith(metadata, "deposit/1", string(o.User), strconv.FormatInt(o.Amount.Minor, 10), string(o.Amount.Currency), o.Reference)
}

// hashFields hashes fields with their lengths, so that no two lists of fields are one text.
func hashFields(fields ...string) [32]byte {
	h := sha256.New()
	var n [8]byte
	for _, f := range fields {
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		h.Write([]byte(f))
	}
	return [32]byte(h.Sum(nil))
}
