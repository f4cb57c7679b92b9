package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	driverpkg "github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
	tidb "github.com/pingcap/tidb/pkg/parser"
	tidbast "github.com/pingcap/tidb/pkg/parser/ast"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver" // the values of the parser

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage/sqlstore"
)

const password = "s3cret:p@ss/word"

func TestDataSourceNameCannotWeakenConnections(t *testing.T) {
	t.Parallel()
	c := Config{DSN: secret.New("u:p@tcp(h:1)/db?interpolateParams=false&clientFoundRows=false&rejectReadOnly=false&parseTime=false" +
		"&multiStatements=true&allowAllFiles=true&loc=Local&sql_mode=%27%27&tx_isolation=%27SERIALIZABLE%27&innodb_lock_wait_timeout=50&readTimeout=1s")}
	got, err := c.driverConfig()
	if err != nil {
		t.Fatal(err)
	}
	if !got.InterpolateParams || !got.ClientFoundRows || !got.RejectReadOnly || !got.ParseTime || got.MultiStatements || got.AllowAllFiles {
		t.Errorf("weakened: %+v", got)
	}
	if got.Loc != time.UTC {
		t.Errorf("location %v", got.Loc)
	}
	if got.Timeout != dialTimeout || got.ReadTimeout != time.Second || got.WriteTimeout != ioTimeout {
		t.Errorf("time limits %v %v %v", got.Timeout, got.ReadTimeout, got.WriteTimeout)
	}
	want := map[string]string{"sql_mode": sqlMode, "innodb_lock_wait_timeout": lockWaitTimeout}
	if diff := cmp.Diff(want, got.Params); diff != "" {
		t.Errorf("session variables (-want +got):\n%s", diff)
	}
}

func TestNoErrorHoldsThePassword(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for name, dsn := range map[string]string{
		"not a name":     "root:" + password,
		"no database":    "root:" + password + "@tcp(127.0.0.1:3306)/",
		"bad address":    "root:" + password + "@tcp(127.0.0.1:3306/x",
		"bad option":     "root:" + password + "@tcp(127.0.0.1:3306)/x?parseTime=" + password,
		"unknown tls":    "root:" + password + "@tcp(127.0.0.1:3306)/x?tls=" + password,
		"nobody there":   "root:" + password + "@tcp(" + closed + ")/x",
		"empty":          "",
		"only slashes":   "///",
		"unknown server": "root:" + password + "@odd(127.0.0.1:1)/x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Config{DSN: secret.New(dsn)}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, opening := Open(ctx, c)
			_, migrating := Migrate(ctx, c)
			_, asking := Status(ctx, c)
			for _, err := range []error{opening, migrating, asking} {
				if err == nil {
					t.Fatal("no error")
				}
				if strings.Contains(err.Error(), "s3cret") {
					t.Errorf("the password is in %q", err)
				}
			}
			if s := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(s, "s3cret") {
				t.Errorf("the password is in %q", s)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		v  version
		ok bool
	}{
		"8.0.36":                       {version{"MySQL", 8, 0}, true},
		"8.4.0-commercial":             {version{"MySQL", 8, 4}, true},
		"9.1.0":                        {version{"MySQL", 9, 1}, true},
		"5.7.44-log":                   {version{"MySQL", 5, 7}, false},
		"10.11.6-MariaDB-1:10.11.6":    {version{"MariaDB", 10, 11}, true},
		"10.6.12-MariaDB":              {version{"MariaDB", 10, 6}, true},
		"5.5.5-10.6.12-MariaDB-log":    {version{"MariaDB", 10, 6}, true},
		"10.5.23-MariaDB":              {version{"MariaDB", 10, 5}, false},
		"11.4.2-MariaDB":               {version{"MariaDB", 11, 4}, true},
		"8.0.11-TiDB-v7.5.1":           {version{"TiDB", 7, 5}, true},
		"5.7.25-TiDB-v6.1.0":           {version{"TiDB", 6, 1}, false},
		"5.7.25-TiDB-v6.5.0-alpha-123": {version{"TiDB", 6, 5}, true},
		"":                             {version{"MySQL", 0, 0}, false},
		"eight":                        {version{"MySQL", 0, 0}, false},
		"8":                            {version{"MySQL", 0, 0}, false},
		"8.x":                          {version{"MySQL", 0, 0}, false},
	} {
		got := parseVersion(text)
		if got != want.v {
			t.Errorf("%q is %+v, want %+v", text, got, want.v)
		}
		err := got.supported()
		if want.ok != (err == nil) || (err != nil && !errors.Is(err, ErrServerTooOld)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("8.0.36")
	f.Add("5.5.5-10.6.12-MariaDB-log")
	f.Add("8.0.11-TiDB-v7.5.1")
	f.Fuzz(func(t *testing.T, text string) {
		v := parseVersion(text)
		if v.supported() == nil && v.major < 6 {
			t.Errorf("%q is %+v and counts as supported", text, v)
		}
	})
}

func TestTiDBLocksForUpdate(t *testing.T) {
	t.Parallel()
	if d := dialect(version{product: "TiDB"}); d.ForShare != " FOR UPDATE" {
		t.Errorf("TiDB shares by %q", d.ForShare)
	}
	if d := dialect(version{product: "MariaDB"}); d.ForShare != " LOCK IN SHARE MODE" {
		t.Errorf("MariaDB shares by %q", d.ForShare)
	}
}

func TestErrorNumbers(t *testing.T) {
	t.Parallel()
	for want, numbers := range map[sqlstore.Fault][]uint16{
		sqlstore.FaultDuplicate:   {1062},
		sqlstore.FaultRetry:       {1213, 1205, 9007, 8022, 8002, 8028},
		sqlstore.FaultUnavailable: {1290, 1836, 1792, 2006, 2013, 1040, 1053, 1317},
		sqlstore.FaultOther:       {1146, 1064, 1406, 1045, 1452, 4025},
	} {
		for _, n := range numbers {
			if got := classify(fmt.Errorf("statement: %w", &driverpkg.MySQLError{Number: n})); got != want {
				t.Errorf("%d means %v, want %v", n, got, want)
			}
		}
	}
	for _, err := range []error{
		driver.ErrBadConn, driverpkg.ErrInvalidConn, &net.OpError{Op: "dial", Err: errors.New("refused")}, context.DeadlineExceeded,
	} {
		if got := classify(fmt.Errorf("statement: %w", err)); got != sqlstore.FaultUnavailable {
			t.Errorf("%v means %v", err, got)
		}
	}
	if got := classify(errors.New("Error 1062: Duplicate entry")); got != sqlstore.FaultOther {
		t.Errorf("a text was read: %v", got)
	}
}

// An UPDATE by rows parses on TiDB too, and is joined in the order that is written.
func TestUpdateFromParses(t *testing.T) {
	t.Parallel()
	statement := updateFrom("accounts", "balance = balance + moved", "(SELECT ? AS id, ? AS moved UNION ALL SELECT ?, ?) AS moves", "account_id = id")
	parsed, _, err := tidb.New().Parse(statement, "", "")
	if err != nil || len(parsed) != 1 {
		t.Fatalf("%s: %v, %v", statement, parsed, err)
	}
	update, ok := parsed[0].(*tidbast.UpdateStmt)
	if !ok || !update.TableRefs.TableRefs.StraightJoin {
		t.Errorf("%s: %T", statement, parsed[0])
	}
}
