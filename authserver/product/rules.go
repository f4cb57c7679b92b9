package product

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
)

// The defaults of a [Setting].
const (
	DefaultAccessTTL   = 15 * time.Minute
	DefaultMobileTTL   = 7 * 24 * time.Hour
	DefaultBrowserTTL  = 2 * 24 * time.Hour
	DefaultAPITTL      = 2 * time.Hour
	DefaultMaxSessions = 10
)

// The bounds of a [Setting].
const (
	// MaxAccessTTL bounds how long guards must remember an ended session.
	MaxAccessTTL   = 24 * time.Hour
	MaxSessionTTL  = 400 * 24 * time.Hour
	MaxMaxSessions = 1000
)

// Setting is the configuration of one terminal of a product. Zero fields take their defaults.
type Setting struct {
	Mode       storage.Mode
	AccessTTL  time.Duration
	SessionTTL time.Duration
	// IdleTTL is how long a session lives without being refreshed; 0 for as long as SessionTTL.
	IdleTTL time.Duration
	// MaxSessions bounds the live sessions of one user on a concurrent terminal.
	MaxSessions int
}

// Config names the products, and their terminals with what is not default about them. A product
// without terminals has all of them.
type Config map[string]map[storage.Terminal]Setting

// Rules are the rules of all products. They do not change.
type Rules struct {
	rules    map[string]map[storage.Terminal]Rule
	products []string
}

var productName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// New makes rules of a configuration that [Config.Validate] finds no fault with.
func New(cfg Config) (*Rules, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Rules{rules: make(map[string]map[storage.Terminal]Rule, len(cfg)), products: slices.Sorted(maps.Keys(cfg))}
	for name, terminals := range cfg {
		r.rules[name] = make(map[storage.Terminal]Rule)
		for terminal, setting := range offered(terminals) {
			r.rules[name][terminal] = Rule{Product: name, Terminal: terminal, Setting: setting.withDefaults(terminal)}
		}
	}
	return r, nil
}

// Validate returns every fault of the configuration, each naming its key, or nil.
func (c Config) Validate() error {
	if len(c) == 0 {
		return errors.New("products: at least one is needed")
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(c)) {
		key := "products." + name
		if !productName.MatchString(name) {
			faults = append(faults, fmt.Errorf("%s: a product's name is 1 to 32 of a-z 0-9 _ -, and begins with a letter or digit", key))
		}
		for _, terminal := range slices.Sorted(maps.Keys(c[name])) {
			where := key + ".terminals." + string(terminal)
			if !slices.Contains(storage.Terminals(), terminal) {
				faults = append(faults, fmt.Errorf("%s: terminals are mobile, browser and api", where))
				continue
			}
			faults = append(faults, c[name][terminal].faults(where, terminal)...)
		}
	}
	return errors.Join(faults...)
}

func (s Setting) faults(where string, terminal storage.Terminal) []error {
	var faults []error
	s = s.withDefaults(terminal)
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s.%s: "+format, append([]any{where, key}, args...)...))
	}
	if s.Mode != storage.Kickout && s.Mode != storage.Shared && s.Mode != storage.Concurrent {
		fault("mode", "%q is not one of kickout, shared and concurrent", s.Mode)
	}
	for _, ttl := range []struct {
		key  string
		time time.Duration
	}{{"access_ttl", s.AccessTTL}, {"session_ttl", s.SessionTTL}, {"idle_ttl", s.IdleTTL}} {
		if ttl.time < 0 || ttl.time%time.Second != 0 {
			fault(ttl.key, "%s is not a whole number of seconds above zero", ttl.time)
		}
	}
	if s.AccessTTL > MaxAccessTTL {
		fault("access_ttl", "%s is more than %s, and guards would have to remember an ended session for that long", s.AccessTTL, MaxAccessTTL)
	}
	if s.SessionTTL > MaxSessionTTL {
		fault("session_ttl", "%s is more than %s", s.SessionTTL, MaxSessionTTL)
	}
	if s.AccessTTL > s.SessionTTL {
		fault("access_ttl", "%s is longer than the session_ttl of %s", s.AccessTTL, s.SessionTTL)
	}
	if s.IdleTTL > s.SessionTTL {
		fault("idle_ttl", "%s is longer than the session_ttl of %s", s.IdleTTL, s.SessionTTL)
	}
	if s.MaxSessions < 1 || s.MaxSessions > MaxMaxSessions {
		fault("max_sessions", "%d is not between 1 and %d", s.MaxSessions, MaxMaxSessions)
	}
	return faults
}

func (s Setting) withDefaults(terminal storage.Terminal) Setting {
	mode, ttl := storage.Concurrent, DefaultAPITTL
	switch terminal {
	case storage.Mobile:
		mode, ttl = storage.Kickout, DefaultMobileTTL
	case storage.Browser:
		mode, ttl = storage.Shared, DefaultBrowserTTL
	case storage.API:
	}
	if s.Mode == "" {
		s.Mode = mode
	}
	if s.SessionTTL == 0 {
		s.SessionTTL = ttl
	}
	if s.AccessTTL == 0 {
		s.AccessTTL = max(0, min(DefaultAccessTTL, s.SessionTTL))
	}
	if s.MaxSessions == 0 {
		s.MaxSessions = DefaultMaxSessions
	}
	return s
}

func offered(terminals map[storage.Terminal]Setting) map[storage.Terminal]Setting {
	if len(terminals) > 0 {
		return terminals
	}
	all := make(map[storage.Terminal]Setting)
	for _, terminal := range storage.Terminals() {
		all[terminal] = Setting{}
	}
	return all
}

// Products lists the products in order.
func (r *Rules) Products() []string { return slices.Clone(r.products) }

// Rules lists the rules of a product in the order of [storage.Terminals]; none if there is no such
// product.
func (r *Rules) Rules(product string) []Rule {
	var all []Rule
	for _, terminal := range storage.Terminals() {
		if rule, ok := r.rules[product][terminal]; ok {
			all = append(all, rule)
		}
	}
	return all
}

// Rule returns the rule of a terminal of a product, or an [oauth.Error] that says which of the two
// there is not.
func (r *Rules) Rule(product string, terminal storage.Terminal) (Rule, error) {
	terminals, ok := r.rules[product]
	if !ok {
		return Rule{}, oauth.New(oauth.InvalidRequest, "there is no product "+product)
	}
	rule, ok := terminals[terminal]
	if !ok {
		return Rule{}, oauth.New(oauth.InvalidRequest, "the product "+product+" has no terminal "+string(terminal))
	}
	return rule, nil
}

// Longest returns the longest that any session, and so any token of a user, can live.
func (r *Rules) Longest() time.Duration {
	var longest time.Duration
	for _, terminals := range r.rules {
		for _, rule := range terminals {
			longest = max(longest, rule.SessionTTL)
		}
	}
	return longest
}
