package pages

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/account"
	"github.com/tallystick/tallystick/authserver/handoff"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// maxDevices is how many devices the page shows.
const maxDevices = 100

// accountView is what the page of an account shows.
type accountView struct {
	Name    string
	Devices []deviceRow
	// More is how many devices are not shown.
	More int
	// Others says that there is a device beside this one.
	Others bool
}

// deviceRow is one device.
type deviceRow struct {
	Session   storage.SessionID
	Name      string
	Browser   string
	Product   string
	Terminal  storage.Terminal
	Address   string
	CreatedAt time.Time
	SeenAt    time.Time
	Current   bool
	// Shared says that other browsers have joined the session of this one.
	Shared bool
	// Started says that this session has handed others over, and HandedOver that another has handed over this one.
	Started    bool
	HandedOver bool
}

// AccountPage shows the devices of a user: GET /account.
func (p *Pages) AccountPage(c *gin.Context) error {
	who, err := p.visitor(c)
	if err != nil {
		return err
	}
	v := p.view(c, "account")
	if v.Account, err = p.accountView(c, who); err != nil {
		return err
	}
	p.render(c, http.StatusOK, v)
	return nil
}

func (p *Pages) username(c *gin.Context, who *visitor) (string, error) {
	u, err := p.cfg.Users.User(c.Request.Context(), who.User)
	if err != nil {
		return "", fmt.Errorf("read user: %w", err)
	}
	return u.Username, nil
}

func (p *Pages) accountView(c *gin.Context, who *visitor) (*accountView, error) {
	name, err := p.username(c, who)
	if err != nil {
		return nil, err
	}
	list, err := p.cfg.Account.Devices(c.Request.Context(), who.Principal)
	if err != nil {
		return nil, err
	}
	sole, err := p.cfg.Book.Sole(c.Request.Context(), who.Session, who.Client)
	if err != nil {
		return nil, err
	}
	a := &accountView{Name: name, Others: len(list) > 1}
	// This device first, then as they come: the newest first.
	slices.SortStableFunc(list, func(x, y account.Session) int { return rank(x) - rank(y) })
	if len(list) > maxDevices {
		a.More, list = len(list)-maxDevices, list[:maxDevices]
	}
	for i := range list {
		a.Devices = append(a.Devices, rowOf(&list[i], list, !sole))
	}
	return a, nil
}

func rank(s account.Session) int {
	if s.Current {
		return 0
	}
	return 1
}

func rowOf(s *account.Session, all []account.Session, shared bool) deviceRow {
	row := deviceRow{
		Session: s.Session, Name: s.DeviceName, Browser: handoff.Browser(s.UserAgent), Product: s.Product, Terminal: s.Terminal,
		Address: s.Address, CreatedAt: s.CreatedAt, SeenAt: s.LastSeenAt, Current: s.Current, Shared: s.Current && shared,
		HandedOver: s.StartedBy != "",
	}
	if row.Name == row.Browser {
		row.Browser = ""
	}
	row.Started = slices.ContainsFunc(all, func(o account.Session) bool { return o.StartedBy == s.Session })
	return row
}

// End ends one device: POST /account/end.
func (p *Pages) End(c *gin.Context) error {
	return p.change(c, "done.ended", func(who *visitor, form web.Form) error {
		return p.cfg.Account.EndDevice(c.Request.Context(), who.Principal, storage.SessionID(form.Get("session_id")), who.from)
	})
}

// EndOthers ends all devices but this one: POST /account/end-others.
func (p *Pages) EndOthers(c *gin.Context) error {
	return p.change(c, "done.ended_others", func(who *visitor, _ web.Form) error {
		return p.cfg.Account.EndOtherDevices(c.Request.Context(), who.Principal, who.from)
	})
}

// EndStarted ends everything that was started from a device: POST /account/end-started.
func (p *Pages) EndStarted(c *gin.Context) error {
	return p.change(c, "done.ended_started", func(who *visitor, form web.Form) error {
		return p.cfg.Account.EndStarted(c.Request.Context(), who.Principal, storage.SessionID(form.Get("session_id")), who.from)
	})
}

// Password changes the password: POST /account/password.
func (p *Pages) Password(c *gin.Context) error {
	return p.change(c, "done.password", func(who *visitor, form web.Form) error {
		present, chosen := form.Get("current_password"), form.Get("new_password")
		switch {
		case present == "" || chosen == "":
			return oauth.New(oauth.InvalidRequest, "both passwords are needed")
		case chosen != form.Get("repeat_password"):
			return &oauth.Error{Code: codeRepeat, HTTPStatus: http.StatusBadRequest, Description: "the new passwords differ"}
		}
		return p.cfg.Account.ChangePassword(c.Request.Context(), who.Principal, secret.New(present), secret.New(chosen), who.from)
	})
}

// codeRepeat names the text for a new password that was not repeated as it was.
const codeRepeat oauth.Code = "repeat_differs"

// change makes a change of an account, and shows the account with what was done, or why it was not.
func (p *Pages) change(c *gin.Context, done string, act func(*visitor, web.Form) error) error {
	who, err := p.visitor(c)
	if err != nil {
		return err
	}
	form, err := web.ParseForm(c.Request)
	if err != nil {
		return err
	}
	if err := act(who, form); err != nil {
		if refusal := web.RefusalOf(err); refusal.Code == oauth.ServerFault {
			return err
		}
		refusal := p.refusal(c, err)
		v := p.view(c, "account")
		if v.Account, err = p.accountView(c, who); err != nil {
			return err
		}
		v.Refusal = p.words(v, refusal)
		p.render(c, refusal.Status(), v)
		return nil
	}
	p.note(c, done)
	p.redirect(c, PathAccount)
	return nil
}
