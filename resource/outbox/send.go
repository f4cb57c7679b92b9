package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	// maxAnswer is how much of an answer's body is read, so that the connection can be used again; maxHeader bounds
	// its headers.
	maxAnswer = 16 << 10
	maxHeader = 16 << 10
	// maxFault bounds what is kept of a failure.
	maxFault = 200
	// maxRetryAfter is how long a webhook may have us wait.
	maxRetryAfter = 24 * time.Hour
	idlePerHook   = 4
	idleTime      = 90 * time.Second
	userAgent     = "Tallystick-Webhooks/1"
)

// SenderConfig is what a [Sender] needs. Box is required.
type SenderConfig struct {
	// Box opens the secrets that sign.
	Box Box
	// Timeout bounds one try.
	Timeout time.Duration
	// AllowHTTP lets webhooks have http addresses; Allowed are networks that are not public and may be called.
	AllowHTTP bool
	Allowed   []netip.Prefix
}

// Sender calls webhooks.
type Sender struct {
	box     Box
	timeout time.Duration
	reach   *reach
	client  *http.Client
}

// NewSender builds a sender.
func NewSender(c SenderConfig) (*Sender, error) {
	if c.Box == nil {
		return nil, errors.New("outbox: no box")
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	s := &Sender{box: c.Box, timeout: c.Timeout, reach: &reach{http: c.AllowHTTP, allowed: c.Allowed, special: special()}}
	s.client = &http.Client{
		Transport: &http.Transport{
			DialContext: s.reach.dialer().DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTimeout,
			MaxIdleConnsPerHost: idlePerHook, IdleConnTimeout: idleTime, MaxResponseHeaderBytes: maxHeader, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// outcome is what came of a try.
type outcome struct {
	taken bool
	gone  bool // the webhook wants no more
	// status is that of the answer; 0 if there was none.
	status int
	// retryAfter is what the webhook asked for; 0 if nothing.
	retryAfter time.Duration
	// fault tells of the failure; empty if it was taken. It says nothing of the URL.
	fault string
	took  time.Duration
}

// keys opens the secrets of a webhook that are good at now, the newest first.
func (s *Sender) keys(w *storage.Webhook, now time.Time) ([][]byte, error) {
	sealed := [][]byte{w.Secret}
	if w.OldUntil != nil && now.Before(*w.OldUntil) && len(w.OldSecret) > 0 {
		sealed = append(sealed, w.OldSecret)
	}
	keys := make([][]byte, len(sealed))
	for i, one := range sealed {
		key, err := s.box.Open(one, sealLabel(w.ID)...)
		if err != nil {
			return nil, fmt.Errorf("open the secret of webhook %s: %w", w.ID, err)
		}
		keys[i] = key
	}
	return keys, nil
}

// send makes one try.
func (s *Sender) send(ctx context.Context, w *storage.Webhook, id string, body []byte, now time.Time) outcome {
	began := time.Now()
	out := s.try(ctx, w, id, body, now)
	out.took = time.Since(began)
	return out
}

func (s *Sender) try(ctx context.Context, w *storage.Webhook, id string, body []byte, now time.Time) outcome {
	keys, err := s.keys(w, now)
	if err != nil {
		return outcome{fault: "the secret cannot be opened with the encryption key"}
	}
	if err := s.reach.checkURL(w.URL); err != nil {
		return outcome{fault: cut("url " + err.Error())}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return outcome{fault: "the URL is malformed"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature(keys, id, now, body))
	res, err := s.client.Do(req)
	if err != nil {
		return outcome{fault: faultOf(err)}
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // the status was all that counts
	out := outcome{status: res.StatusCode, taken: res.StatusCode/100 == 2, gone: res.StatusCode == http.StatusGone}
	if !out.taken {
		out.fault = "status " + strconv.Itoa(res.StatusCode)
		out.retryAfter = retryAfter(res.Header.Get("Retry-After"), now)
	}
	return out
}

// retryAfter reads the header (RFC 9110 §10.2.3); 0 for one that cannot be read.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
		return time.Duration(min(max(n, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// faultOf words an error for the operator. The URL may hold what is secret, and is left out.
func faultOf(err error) string {
	if wrapped, is := errors.AsType[*url.Error](err); is {
		err = wrapped.Err
	}
	if n, is := errors.AsType[net.Error](err); is && n.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if errors.Is(err, errAddress) {
		return errAddress.Error()
	}
	return cut(err.Error())
}

func cut(s string) string {
	s = strings.ToValidUTF8(s, "")
	if len(s) > maxFault {
		s = strings.ToValidUTF8(s[:maxFault], "")
	}
	return s
}
