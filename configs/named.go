package configs

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The sections with names that the operator chooses.
const (
	productsPath = "products"
	hmacPath     = "password.hmac_keys"
	wechatPath   = "wechat.apps"
	limitsPath   = "wallet.limits"
	digitsPath   = "wallet.exponents"
)

// nameForm is what such a name looks like. It goes into tokens, URLs and keys of Redis.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// currencyRule is what is said of a name that should be a currency.
const currencyRule = "a name here is the code of a currency in three capitals, such as CNY"

const nameRule = "a name is 1 to 32 of a-z, 0-9, hyphen and underscore, and begins with a letter or digit"

var (
	productVar = regexp.MustCompile(`^TALLYSTICK_PRODUCTS_(.+)_TERMINALS_(MOBILE|BROWSER|API)_(MODE|ACCESS_TTL|SESSION_TTL|IDLE_TTL|MAX_SESSIONS)$`)
	wechatVar  = regexp.MustCompile(`^TALLYSTICK_WECHAT_APPS_(.+?)_(APP_ID|SECRET|SECRET_FILE|PLATFORM|CLIENTS)$`)
	limitsVar  = regexp.MustCompile(`^TALLYSTICK_WALLET_LIMITS_([A-Z]{3})_(SINGLE|DAILY)$`)
	digitsVar  = regexp.MustCompile(`^TALLYSTICK_WALLET_EXPONENTS_([A-Z]{3})$`)
	hmacVar    = regexp.MustCompile(`^TALLYSTICK_PASSWORD_HMAC_KEYS_(.+?)_(SECRET|SECRET_FILE)$`)
)

// sectionOfNames says that a path may be an empty section: a product, its terminals, one of them.
func sectionOfNames(path string) bool {
	if path == productsPath || path == hmacPath || path == wechatPath || path == limitsPath || path == digitsPath {
		return true
	}
	part := strings.Split(path, ".")
	if part[0] != productsPath {
		return false
	}
	switch len(part) {
	case 2:
		return true
	case 3:
		return part[2] == "terminals"
	case 4:
		return part[2] == "terminals" && slices.Contains(terminalKinds(), part[3])
	}
	return false
}

// children returns the names that the file has directly under a path, sorted.
func (r *reader) children(path string) []string {
	names := map[string]bool{}
	for p := range r.tree.lines {
		if rest, under := strings.CutPrefix(p, path+"."); under {
			name, _, _ := strings.Cut(rest, ".")
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// products fills the products. One that names terminals has those; one that names none has all three.
func (r *reader) products() {
	named := map[string][]string{}
	for _, name := range r.children(productsPath) {
		if !nameForm.MatchString(name) {
			r.faults.add(r.tree.lines[productsPath+"."+name], productsPath+"."+name, nameRule)
		}
		named[name] = r.children(productsPath + "." + name + ".terminals")
	}
	for v := range r.vars {
		if m := productVar.FindStringSubmatch(v); m != nil {
			name, kind := r.named(productsPath, m[1]), strings.ToLower(m[2])
			if kinds, there := named[name]; !there || len(kinds) > 0 && !slices.Contains(kinds, kind) {
				if there {
					named[name] = append(kinds, kind)
				} else {
					named[name] = nil
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		r.product(name, named[name])
	}
}

func (r *reader) product(name string, kinds []string) {
	p := Product{Terminals: map[string]Terminal{}}
	for _, kind := range terminalKinds() {
		t := DefaultTerminal(kind)
		for _, k := range t.keys(productsPath + "." + name + ".terminals." + kind) {
			r.read(k)
		}
		t.AccessTTL = min(t.AccessTTL, t.SessionTTL) // a token never outlives its session
		if len(kinds) == 0 || slices.Contains(kinds, kind) {
			p.Terminals[kind] = t
		}
	}
	r.c.Products[name] = p
}

// names returns the names under a path, out of the file and of the variables of a form, sorted.
func (r *reader) names(path string, form *regexp.Regexp) []string {
	ids := map[string]bool{}
	for _, id := range r.children(path) {
		if !nameForm.MatchString(id) {
			r.faults.add(r.tree.lines[path+"."+id], path+"."+id, nameRule)
		}
		ids[id] = true
	}
	for v := range r.vars {
		if m := form.FindStringSubmatch(v); m != nil {
			ids[r.named(path, m[1])] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func (r *reader) wechatApps() {
	for _, name := range r.names(wechatPath, wechatVar) {
		var a WeChatApp
		for _, k := range a.keys(wechatPath + "." + name) {
			r.read(k)
		}
		r.c.WeChat.Apps[name] = a
	}
}

// currencies returns the currencies under a path, out of the file and of the variables of a form, sorted.
func (r *reader) currencies(path string, form *regexp.Regexp) []string {
	named := map[string]bool{}
	for _, currency := range r.children(path) {
		if !currencyForm.MatchString(currency) {
			r.faults.add(r.tree.lines[path+"."+currency], path+"."+currency, currencyRule)
		}
		named[currency] = true
	}
	for v := range r.vars {
		if m := form.FindStringSubmatch(v); m != nil {
			named[m[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(named))
}

// walletExponents fills the exponents, whose names are currencies.
func (r *reader) walletExponents() {
	for _, currency := range r.currencies(digitsPath, digitsVar) {
		var n int
		r.read(number(digitsPath+"."+currency, &n))
		r.c.Wallet.Exponents[currency] = n
	}
}

// walletLimits fills the limits, whose names are currencies.
func (r *reader) walletLimits() {
	for _, currency := range r.currencies(limitsPath, limitsVar) {
		var l WalletLimits
		for _, k := range l.keys(limitsPath + "." + currency) {
			r.read(k)
		}
		r.c.Wallet.Limits[currency] = l
	}
}

func (r *reader) hmacKeys() {
	for _, id := range r.names(hmacPath, hmacVar) {
		var h HMACKey
		for _, k := range h.keys(hmacPath + "." + id) {
			r.read(k)
		}
		r.c.Password.HMACKeys[id] = h
	}
}

// named finds the name that a variable means: the one in the file that reads so in capitals, or else
// the lower-case of it.
func (r *reader) named(path, capitals string) string {
	for _, name := range r.children(path) {
		if env(name) == envPrefix+capitals {
			return name
		}
	}
	return strings.ToLower(capitals)
}
