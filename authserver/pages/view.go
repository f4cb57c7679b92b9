package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/language"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
)

//go:embed files
var embedded embed.FS

// maxAcceptLanguage is the longest Accept-Language that is looked at, in bytes.
const maxAcceptLanguage = 512

// languages are those of the catalogues, the first for whoever reads none of them.
func languages() []string { return []string{"en", "zh"} }

// catalogue is the texts of one language by name.
type catalogue map[string]string

// views are what pages are made of.
type views struct {
	pages      map[string]*template.Template
	catalogues map[string]catalogue
	matcher    language.Matcher
	version    string // of the files, so that a browser asks for them anew when they change
	files      http.Handler
}

func newViews(base string) (*views, error) {
	v := &views{pages: map[string]*template.Template{}, catalogues: map[string]catalogue{}}
	tags := make([]language.Tag, 0, len(languages()))
	for _, name := range languages() {
		raw, err := embedded.ReadFile("files/" + name + ".json")
		if err != nil {
			return nil, err
		}
		var texts catalogue
		if err := json.Unmarshal(raw, &texts); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", name, err)
		}
		v.catalogues[name] = texts
		tag, err := language.Parse(name)
		if err != nil {
			return nil, err
		}
		tags = append(tags, tag)
	}
	v.matcher = language.NewMatcher(tags)
	for _, name := range []string{"signin", "device", "account", "error"} {
		t, err := template.ParseFS(embedded, "files/layout.html", "files/"+name+".html")
		if err != nil {
			return nil, err
		}
		v.pages[name] = t
	}
	return v, v.serve(base)
}

// public are the files that browsers get, with their types.
func public() map[string]string {
	return map[string]string{"style.css": "text/css; charset=utf-8", "pages.js": "text/javascript; charset=utf-8", "mark.svg": "image/svg+xml"}
}

// serve makes the handler of the public files.
func (v *views) serve(base string) error {
	sum := sha256.New()
	mux := http.NewServeMux()
	for _, name := range []string{"style.css", "pages.js", "mark.svg"} {
		body, err := fs.ReadFile(embedded, "files/"+name)
		if err != nil {
			return err
		}
		sum.Write(body)
		mux.HandleFunc(base+PathFiles+"/"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", public()[name])
			// The address changes with the content.
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
		})
	}
	const short = 8
	v.version, v.files = hex.EncodeToString(sum.Sum(nil)[:short]), mux
	return nil
}

// view is what a page is made from.
type view struct {
	Page, Language, Base, Version string
	// Here is where the switch of the language comes back to.
	Here    string
	Note    string   // said once, of what was done
	Refusal *problem // why something was not done

	SignIn  *signInView
	Device  *deviceView
	Account *accountView

	texts catalogue
}

// problem is a refusal in the words of a language.
type problem struct{ Text string }

// T is a text by its name, with what is put into it.
func (v *view) T(name string, args ...any) string {
	text, ok := v.texts[name]
	if !ok {
		return name
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// Term is what a word of the protocol, such as a terminal, is called.
func (v *view) Term(kind string, word any) string {
	name := kind + "." + fmt.Sprint(word)
	if _, ok := v.texts[name]; ok {
		return v.T(name)
	}
	return fmt.Sprint(word)
}

// At is a time for those whose browser does not put it into their zone.
func (v *view) At(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// Machine is a time for programs.
func (v *view) Machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Other is the language to switch to.
func (v *view) Other() string {
	all := languages()
	for i, name := range all {
		if name == v.Language {
			return all[(i+1)%len(all)]
		}
	}
	return all[0]
}

// view begins the view of a page in the language of its reader.
func (p *Pages) view(c *gin.Context, page string) *view {
	v := &view{Page: page, Language: p.language(c), Base: p.base, Version: p.views.version, Here: c.Request.URL.Path}
	v.texts = p.views.catalogues[v.Language]
	if c.Request.Method != http.MethodGet {
		v.Here = p.pageOf(c.FullPath())
	} else if c.Request.URL.RawQuery != "" {
		v.Here = c.Request.URL.RequestURI()
	}
	if name := p.cookie(c, cookieNote); name != "" {
		p.dropCookie(c, cookieNote)
		if strings.HasPrefix(name, "done.") || strings.HasPrefix(name, "ended.") {
			v.Note = v.texts[name]
		}
	}
	return v
}

// pageOf is the page with the form of a route.
func (p *Pages) pageOf(route string) string {
	for _, page := range []string{PathDevice, PathAccount} {
		if strings.HasPrefix(route, p.base+page) {
			return p.base + page
		}
	}
	return p.base + PathSignIn
}

// language is the one that a reader chose, or that their browser asks for.
func (p *Pages) language(c *gin.Context) string {
	chosen := p.cookie(c, cookieLanguage)
	if _, ok := p.views.catalogues[chosen]; ok {
		return chosen
	}
	header := c.GetHeader("Accept-Language")
	if len(header) > maxAcceptLanguage {
		return languages()[0]
	}
	wanted, _, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return languages()[0]
	}
	_, index, _ := p.views.matcher.Match(wanted...)
	return languages()[index]
}

// Language keeps the language that a reader chose: POST /language.
func (p *Pages) Language(c *gin.Context) error {
	form, err := web.ParseForm(c.Request)
	if err != nil {
		return err
	}
	chosen := form.Get("language")
	if _, ok := p.views.catalogues[chosen]; !ok {
		return oauth.New(oauth.InvalidRequest, "there is no such language")
	}
	p.setCookie(c, cookieLanguage, chosen, languageLife)
	here := form.Get("here")
	if u, err := url.Parse(here); err == nil && len(here) <= maxReturn && u.Path == p.base+PathSignIn {
		p.redirect(c, PathSignIn+"?return_to="+url.QueryEscape(p.local(u.Query().Get("return_to"))))
		return nil
	}
	p.back(c, p.local(here))
	return nil
}

// words says a refusal in a language. Codes without a text of their own have a common one.
func (p *Pages) words(v *view, refusal *oauth.Error) *problem {
	name := "error." + string(refusal.Code)
	switch {
	case refusal.Reason != "" && v.texts["ended."+refusal.Reason] != "":
		name = "ended." + refusal.Reason
	case refusal.Code == oauth.SlowDown && refusal.RetryAfter > 0:
		return &problem{v.T("error.slow_down_seconds", seconds(refusal.RetryAfter))}
	case v.texts[name] == "":
		name = "error.other"
	}
	return &problem{v.T(name)}
}

// render writes a page. It is written whole or not at all.
func (p *Pages) render(c *gin.Context, status int, v *view) {
	var body bytes.Buffer
	if err := p.views.pages[v.Page].ExecuteTemplate(&body, "layout", v); err != nil {
		ctx := c.Request.Context()
		p.cfg.Log.ErrorContext(ctx, "a page could not be made", "request_id", p.cfg.RequestID(ctx), "page", v.Page, "err", err)
		c.String(http.StatusInternalServerError, "Something went wrong. Please try again.")
		return
	}
	c.Data(status, "text/html; charset=utf-8", body.Bytes())
}
