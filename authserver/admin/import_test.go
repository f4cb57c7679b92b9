package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver/admin"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const legacy = "{md5}2741137c32ddedeeb868e4484b429679$s4lt$suffix" // of "correct horse"

func TestImportReportsEachFaultByItsLine(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"faulty.csv", "faulty.jsonl"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			input := read(t, file)
			format, err := admin.FormatOf(file)
			if err != nil {
				t.Fatal(err)
			}
			report, err := b.Import(t.Context(), operator, bytes.NewReader(input), admin.ImportOptions{Format: format})
			if err != nil {
				t.Fatal(err)
			}
			users, err := b.List(t.Context(), "", 0)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			fmt.Fprintf(&out, "lines %d, bytes %d, created %d, existing %d, faulty %d\n", report.Line, report.Bytes, report.Created, report.Existing, report.Faulty)
			for _, f := range report.Faults {
				fmt.Fprintf(&out, "%d: %s\n", f.Line, f.Text)
			}
			for _, u := range users {
				fmt.Fprintf(&out, "user %s, disabled %v\n", u.Username, u.DisabledAt != nil)
			}
			golden(t, file+".golden", out.String())
			for _, leak := range []string{"c29tZXNhbHQ", "abcdefghijkl", "hunter2", "in-the-clear", "de031e91", "12345"} {
				if strings.Contains(out.String(), leak) {
					t.Errorf("the report quotes the file: %s", leak)
				}
			}
		})
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, name)), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestImportedUsersSignInAndAreUpgraded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	input := "username,password_hash,disabled\ntom," + legacy + ",\namy," + legacy + ",1\nphp,{hmac-sha1}de031e91ee1bcb33909f8a4e78c227958a679b63$php,\n"
	if _, err := b.Import(t.Context(), operator, strings.NewReader(input), admin.ImportOptions{Format: admin.CSV}); err != nil {
		t.Fatal(err)
	}
	b.verify(t, "tom", "correct horse", nil)
	b.verify(t, "tom", "wrong", password.ErrWrong)
	b.verify(t, "amy", "correct horse", password.ErrBarred)
	b.verify(t, "php", "8888", nil)
	u, err := b.db.UserByName(t.Context(), "php")
	if err != nil || !strings.HasPrefix(string(u.Password), "$argon2id$") {
		t.Errorf("the hash of a user who signed in was not upgraded (%v)", err)
	}
	if diff := cmp.Diff([]string{"users.imported"}, b.actions(t)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func many(n int) string {
	var s strings.Builder
	s.WriteString("username,password_hash\n")
	for i := range n {
		fmt.Fprintf(&s, "user%04d,%s\n", i, legacy)
	}
	return s.String()
}

func TestImportIsResumedByRunningItAgain(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) { resume(t, setupOn(t, e.Open(t))) })
}

func resume(t *testing.T, b *bundle) {
	t.Helper()
	input := many(1000)
	ctx, cancel := context.WithCancel(t.Context())
	var stopped admin.Progress
	first, err := b.Import(ctx, operator, strings.NewReader(input), admin.ImportOptions{Format: admin.CSV, Progress: func(p admin.Progress) {
		if p.Created >= 400 && stopped.Line == 0 {
			stopped = p
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || first.Progress != stopped || first.Created < 400 || first.Created == 1000 {
		t.Fatalf("stopped at %+v, reported %+v, %v", stopped, first.Progress, err)
	}
	for name, o := range map[string]admin.ImportOptions{
		"from the start": {Format: admin.CSV},
		"from the line":  {Format: admin.CSV, From: first.Line + 1},
	} {
		again, err := b.Import(t.Context(), operator, strings.NewReader(input), o)
		if err != nil || again.Line != 1001 || again.Bytes != int64(len(input)) || again.Faulty != 0 {
			t.Fatalf("%s: %+v, %v", name, again.Progress, err)
		}
		if total := again.Created + again.Existing; o.From == 0 && total != 1000 || o.From != 0 && total != 1000-first.Created {
			t.Errorf("%s: %+v", name, again.Progress)
		}
	}
	if users := count(t, b); users != 1000 {
		t.Errorf("%d users, want 1000", users)
	}
}

func count(t *testing.T, b *bundle) int {
	t.Helper()
	n, after := 0, ""
	for {
		users, err := b.List(t.Context(), after, admin.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		if len(users) == 0 {
			return n
		}
		n += len(users)
		after = users[len(users)-1].Username
	}
}

// An upgraded hash is not put back by importing the old one again.
func TestImportingAgainChangesNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	input := "username,password_hash\ntom," + legacy + "\n"
	for round, want := range []admin.Progress{{Created: 1}, {Existing: 1}} {
		report, err := b.Import(t.Context(), operator, strings.NewReader(input), admin.ImportOptions{Format: admin.CSV})
		if err != nil || report.Created != want.Created || report.Existing != want.Existing {
			t.Fatalf("round %d: %+v, %v", round, report.Progress, err)
		}
		before, err := b.db.UserByName(t.Context(), "tom")
		if err != nil {
			t.Fatal(err)
		}
		b.verify(t, "tom", "correct horse", nil)
		after, err := b.db.UserByName(t.Context(), "tom")
		if err != nil || (round == 1 && after.Password != before.Password) {
			t.Errorf("round %d: the hash changed again (%v)", round, err)
		}
	}
}

func TestStrictImportStopsAtTheFirstFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	input := "username,password_hash\ntom," + legacy + "\namy,hunter2hunter2\nbob," + legacy + "\n"
	report, err := b.Import(t.Context(), operator, strings.NewReader(input), admin.ImportOptions{Format: admin.CSV, Strict: true})
	strict, ok := errors.AsType[*admin.StrictError](err)
	if !ok || strict.Fault.Line != 3 || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("got %v", err)
	}
	if report.Created != 1 || report.Line != 3 || report.Faulty != 1 {
		t.Errorf("report %+v", report)
	}
	if n := count(t, b); n != 1 {
		t.Errorf("%d users, want the one before the fault", n)
	}
	b.create(t, "ann", "correct horse")
	_, err = b.Import(t.Context(), operator, strings.NewReader("username,password_hash,sub\nann,,other\n"), admin.ImportOptions{Format: admin.CSV, Strict: true})
	if strict, ok = errors.AsType[*admin.StrictError](err); !ok || strict.Fault.Line != 2 {
		t.Errorf("a fault that the store finds: %v", err)
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	report, err := b.Import(t.Context(), operator, bytes.NewReader(read(t, "faulty.csv")), admin.ImportOptions{Format: admin.CSV, DryRun: true})
	if err != nil || report.Faulty == 0 || report.Created == 0 {
		t.Errorf("report %+v, %v", report.Progress, err)
	}
	if n := count(t, b); n != 0 || len(b.actions(t)) != 0 {
		t.Errorf("%d users and records %v", n, b.actions(t))
	}
}

func TestImportRefusesFilesItCannotRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, c := range map[string]struct {
		input string
		o     admin.ImportOptions
		want  string
	}{
		"empty CSV":         {"", admin.ImportOptions{Format: admin.CSV}, "begins with a header"},
		"no name column":    {"name,password_hash\n", admin.ImportOptions{Format: admin.CSV}, `no column "username"`},
		"no hash column":    {"username,hash\n", admin.ImportOptions{Format: admin.CSV}, `no column "password_hash"`},
		"a column twice":    {"username,username\n", admin.ImportOptions{Format: admin.CSV}, "twice"},
		"a broken header":   {"username,\"pass\n", admin.ImportOptions{Format: admin.CSV}, "not CSV"},
		"an endless header": {strings.Repeat("x", 1<<20), admin.ImportOptions{Format: admin.CSV}, "longer than"},
		"no format":         {"username,password_hash\n", admin.ImportOptions{}, "neither csv nor jsonl"},
	} {
		if _, err := b.Import(t.Context(), operator, strings.NewReader(c.input), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for file, want := range map[string]admin.Format{"a.csv": admin.CSV, "A.CSV": admin.CSV, "b.jsonl": admin.JSONLines, "c.ndjson": admin.JSONLines, "d.json": admin.JSONLines, "e.txt": "", "csv": ""} {
		if got, err := admin.FormatOf(file); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", file, got, err)
		}
	}
}

func TestImportMapsColumns(t *testing.T) {
	t.Parallel()
	columns := admin.Columns{Username: "login", PasswordHash: "pw", Sub: "uid", Disabled: "locked"}
	for format, input := range map[admin.Format]string{
		admin.CSV:       "\uFEFFuid,pw,login,locked\r\n7," + legacy + ",tom,Y\r\n",
		admin.JSONLines: `{"login":"tom","pw":"` + legacy + `","uid":"7","locked":true}`,
	} {
		b := setup(t)
		report, err := b.Import(t.Context(), operator, strings.NewReader(input), admin.ImportOptions{Format: format, Columns: columns})
		if err != nil || report.Created != 1 {
			t.Errorf("%s: %+v, %v", format, report, err)
			continue
		}
		if u, err := b.ByName(t.Context(), "tom"); err != nil || u.ID != "7" || u.DisabledAt == nil {
			t.Errorf("%s: %+v, %v", format, u, err)
		}
	}
}

func TestLongLinesAreSkippedAndCountedRight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	input := "username,password_hash\n" +
		strings.Repeat("x", admin.MaxLine) + ",\n" + // one too many with its comma
		"tom,\n" +
		strings.Repeat("y", 10*admin.MaxLine) + "\n" +
		"amy,\n" +
		strings.Repeat("z", 3*admin.MaxLine)
	report, err := b.Import(t.Context(), operator, strings.NewReader(input), admin.ImportOptions{Format: admin.CSV})
	if err != nil || report.Created != 2 || report.Line != 6 || report.Bytes != int64(len(input)) {
		t.Fatalf("report %+v, %v", report.Progress, err)
	}
	var lines []int
	for _, f := range report.Faults {
		lines = append(lines, f.Line)
		if len(f.Text) > 200 || !strings.Contains(f.Text, "longer than 16384 bytes") {
			t.Errorf("line %d: %.200s", f.Line, f.Text)
		}
	}
	if diff := cmp.Diff([]int{2, 4, 6}, lines); diff != "" {
		t.Errorf("faulty lines (-want +got):\n%s", diff)
	}
}

func TestFaultsAreCountedBeyondTheNamedOnes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	report, err := b.Import(t.Context(), operator, strings.NewReader("username,password_hash\n"+strings.Repeat("no good,\n", 3*admin.MaxFaults)), admin.ImportOptions{Format: admin.CSV})
	if err != nil || report.Faulty != 3*admin.MaxFaults || len(report.Faults) != admin.MaxFaults {
		t.Errorf("%d counted, %d named, %v", report.Faulty, len(report.Faults), err)
	}
}

func TestStoreAndReaderFaultsStopTheImport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	broken := errors.New("pipe is broken")
	report, err := b.Import(t.Context(), operator, io.MultiReader(strings.NewReader(many(10)), &failing{broken}), admin.ImportOptions{Format: admin.CSV})
	if !errors.Is(err, broken) || report.Created != 10 || report.Line != 11 {
		t.Errorf("reader: %+v, %v", report.Progress, err)
	}
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	report, err = b.Import(t.Context(), operator, strings.NewReader(many(10)), admin.ImportOptions{Format: admin.CSV})
	if err == nil || report.Created != 0 || report.Faulty != 0 {
		t.Errorf("store: %+v, %v", report, err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzImport(f *testing.F) {
	for _, name := range []string{"faulty.csv", "faulty.jsonl"} {
		input, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(input, strings.HasSuffix(name, ".csv"))
	}
	f.Add([]byte("username,password_hash\n\"a\nb\",x\n\r\n\x00"), true)
	b := setup(f)
	f.Fuzz(func(t *testing.T, input []byte, isCSV bool) {
		o := admin.ImportOptions{Format: admin.JSONLines, DryRun: true}
		if isCSV {
			o.Format = admin.CSV
		}
		report, err := b.Import(t.Context(), operator, bytes.NewReader(input), o)
		if err != nil {
			if _, ok := errors.AsType[*admin.InputError](err); !ok && !strings.Contains(err.Error(), "longer than") {
				t.Fatalf("stopped by %v", err)
			}
			return
		}
		if lines := bytes.Count(input, []byte("\n")) + 1; report.Line > lines || report.Created+report.Faulty > lines {
			t.Fatalf("%d lines became %+v", lines, report.Progress)
		}
		if report.Line > 0 && report.Bytes != int64(len(input)) {
			t.Fatalf("%d of %d bytes were read", report.Bytes, len(input))
		}
		if _, err := json.Marshal(report); err != nil {
			t.Fatal(err)
		}
	})
}

var _ storage.Announcer = (*announced)(nil)
