package walletapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotent-Replayed"
	headerPrefer   = "Prefer"
	headerApplied  = "Preference-Applied"

	maxPrefer = 1024    // bytes of Prefer headers that are looked at
	maxWait   = 1 << 20 // seconds; more are cut to it
)

// idempotencyKey reads the one key of a write; the wallet checks what is in it.
func idempotencyKey(h http.Header) (string, error) {
	keys := h.Values(headerKey)
	if len(keys) > 1 {
		return "", invalid("%s: is there %d times", headerKey, len(keys))
	}
	if len(keys) == 0 {
		return "", nil
	}
	return strings.Trim(keys[0], " \t"), nil
}

// preferredWait reads Prefer: wait=N (RFC 7240 §4.3), nil if it is not there. Of several the first
// counts (§2), and one that cannot be read is as if it were not there.
func preferredWait(h http.Header) *time.Duration {
	list := strings.Join(h.Values(headerPrefer), ",")
	if len(list) > maxPrefer {
		return nil
	}
	for _, preference := range split(list, ',') {
		first := split(preference, ';')[0]
		name, value, _ := strings.Cut(first, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, ok := deltaSeconds(strings.TrimSpace(value))
		if !ok {
			return nil
		}
		d := time.Duration(seconds) * time.Second
		return &d
	}
	return nil
}

// deltaSeconds reads digits, in quotes or not.
func deltaSeconds(s string) (int, bool) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > maxWait {
		return maxWait, true
	}
	return n, true
}

// split cuts a header at a separator that is not inside quotes. It returns at least one part.
func split(s string, sep byte) []string {
	var parts []string
	from, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}
