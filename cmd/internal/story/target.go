package story

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Target is an instance to play against: the part of dev.json that the story needs.
type Target struct {
	Issuer  string            `json:"issuer"`
	API     string            `json:"api"`
	PID     int               `json:"pid"`
	Clients map[string]Client `json:"clients"`
	Users   map[string]User   `json:"users"`
}

// Client is a client of the instance.
type Client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

// User is a user of the instance.
type User struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Sub      string `json:"sub"`
}

// Load reads a target from a file in the form of dev.json.
func Load(path string) (Target, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Target{}, err
	}
	var t Target
	if err := json.Unmarshal(b, &t); err != nil {
		return Target{}, fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range []string{"shop-app", "billing", "music-app"} {
		if _, ok := t.Clients[name]; !ok {
			return Target{}, fmt.Errorf("%s: the story needs a client %q", path, name)
		}
	}
	for _, name := range []string{"tom", "amy"} {
		if _, ok := t.Users[name]; !ok {
			return Target{}, fmt.Errorf("%s: the story needs a user %q", path, name)
		}
	}
	return t, nil
}

// answer is what an endpoint said.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
	fields map[string]any
}

func (a answer) text(name string) string {
	s, _ := a.fields[name].(string)
	return s
}

func (a answer) number(name string) float64 {
	n, _ := a.fields[name].(float64)
	return n
}

// tokens is what a sign-in or a refresh gave.
type tokens struct {
	Access    string
	Refresh   string
	ExpiresIn float64
	Session   string
}

const requestTimeout = 20 * time.Second

func (p *player) do(ctx context.Context, req *http.Request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := p.http.Do(req.WithContext(ctx))
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return answer{}, err
	}
	a := answer{Status: resp.StatusCode, Header: resp.Header, Body: body}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &a.fields); err != nil {
			return answer{}, fmt.Errorf("%s %s answered %d with a body that is not JSON", req.Method, req.URL.Path, resp.StatusCode)
		}
	}
	return a, nil
}

// token asks the token endpoint as a client.
func (p *player) token(ctx context.Context, client string, form url.Values) (answer, error) {
	c := p.target.Clients[client]
	if c.Secret == "" {
		form.Set("client_id", c.ID)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.target.Issuer+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Secret != "" {
		req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	return p.do(ctx, req)
}

func granted(a answer, err error) (tokens, error) {
	if err != nil {
		return tokens{}, err
	}
	if a.Status != http.StatusOK {
		return tokens{}, fmt.Errorf("expected tokens, got %d %s", a.Status, a.Body)
	}
	t := tokens{a.text("access_token"), a.text("refresh_token"), a.number("expires_in"), a.text("session_id")}
	if t.Access == "" {
		return tokens{}, errors.New("the answer has no access_token")
	}
	return t, nil
}

func (p *player) signIn(ctx context.Context, client, user, terminal, device string) (tokens, error) {
	u := p.target.Users[user]
	return granted(p.token(ctx, client, url.Values{
		"grant_type": {"password"}, "username": {u.Username}, "password": {u.Password},
		"terminal": {terminal}, "device_name": {device},
	}))
}

func (p *player) refresh(ctx context.Context, client, token string) (answer, error) {
	return p.token(ctx, client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (p *player) get(ctx context.Context, path, access string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.target.API+path, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+access)
	return p.do(ctx, req)
}

// post asks the wallet for something that is done once.
func (p *player) post(ctx context.Context, path, access, key string, body any) (answer, error) {
	return p.send(ctx, p.target.API+path, access, http.Header{"Idempotency-Key": {key}}, body)
}

// tell posts to the authorization server, which may be another process than the wallet.
func (p *player) tell(ctx context.Context, path, access string, body any) (answer, error) {
	return p.send(ctx, p.target.Issuer+path, access, http.Header{}, body)
}

func (p *player) send(ctx context.Context, address, access string, header http.Header, body any) (answer, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(b))
	if err != nil {
		return answer{}, err
	}
	req.Header = header
	req.Header.Set("Authorization", "Bearer "+access)
	req.Header.Set("Content-Type", "application/json")
	return p.do(ctx, req)
}
