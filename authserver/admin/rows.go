package admin

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/storage"
)

// MaxLine is the longest line of an import, in bytes.
const MaxLine = 16 << 10

// Format is the form of an import.
type Format string

// The formats.
const (
	CSV       Format = "csv"
	JSONLines Format = "jsonl"
)

// FormatOf tells the format by the extension of a file: .csv, or .jsonl, .ndjson and .json.
func FormatOf(file string) (Format, error) {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".csv":
		return CSV, nil
	case ".jsonl", ".ndjson", ".json":
		return JSONLines, nil
	}
	return "", &InputError{"the file is neither .csv nor .jsonl: say which format it has"}
}

// Columns names the columns of a CSV header, or the members of the JSON objects. Empty names mean
// the defaults: username, password_hash, sub, disabled. The last two may be missing; others are
// ignored. A user whose hash is empty has no password.
type Columns struct {
	Username     string
	PasswordHash string
	Sub          string
	Disabled     string
}

func (c Columns) withDefaults() Columns {
	return Columns{
		Username:     cmp.Or(c.Username, "username"),
		PasswordHash: cmp.Or(c.PasswordHash, "password_hash"),
		Sub:          cmp.Or(c.Sub, "sub"),
		Disabled:     cmp.Or(c.Disabled, "disabled"),
	}
}

// raw is a record as it stands in the file.
type raw struct{ username, hash, sub, disabled string }

// row is a record that was found good.
type row struct {
	line     int
	username string
	hash     storage.PasswordHash
	sub      storage.UserID // empty: to be made
	disabled bool
}

// errLong says that a line is too long; it has been skipped.
var errLong = fmt.Errorf("the line is longer than %d bytes", MaxLine)

// lines reads lines of bounded length and counts them.
type lines struct {
	r      *bufio.Reader
	number int
	bytes  int64
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, MaxLine+2)} }

// next returns the next line without its end; it is good until the next call. It gives errLong for
// one that is too long, and io.EOF after the last.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.bytes += int64(len(line))
	if len(line) == 0 && err != nil {
		return nil, err
	}
	l.number++
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			var rest []byte
			rest, err = l.r.ReadSlice('\n')
			l.bytes += int64(len(rest))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, errLong
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if l.number == 1 {
		line = bytes.TrimPrefix(line, []byte("\uFEFF")) // what some spreadsheets begin with
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(line) > MaxLine {
		return nil, errLong
	}
	return line, nil
}

// splitter takes one line apart. Its errors are faults of the line and quote nothing of it.
type splitter func(line []byte) (raw, error)

// newCSV reads a header and returns the splitter of the lines below it.
func newCSV(header []byte, c Columns) (splitter, error) {
	names, err := fields(header)
	if err != nil {
		return nil, &InputError{"the header is not CSV"}
	}
	at := make(map[string]int, len(names))
	for i, name := range names {
		if _, twice := at[name]; twice {
			return nil, &InputError{fmt.Sprintf("the header names a column twice: %.40q", name)}
		}
		at[name] = i
	}
	for _, needed := range []string{c.Username, c.PasswordHash} {
		if _, ok := at[needed]; !ok {
			return nil, &InputError{fmt.Sprintf("the header has no column %.40q", needed)}
		}
	}
	return func(line []byte) (raw, error) {
		values, err := fields(line)
		if err != nil {
			return raw{}, errors.New("the line is not CSV: a quote mark is missing or in the wrong place")
		}
		if len(values) != len(names) {
			return raw{}, fmt.Errorf("the line has %d fields and the header %d; a value with a comma in it stands in quote marks", len(values), len(names))
		}
		value := func(column string) string {
			if i, ok := at[column]; ok {
				return values[i]
			}
			return ""
		}
		return raw{value(c.Username), value(c.PasswordHash), value(c.Sub), value(c.Disabled)}, nil
	}, nil
}

// fields splits one line of CSV.
func fields(line []byte) ([]string, error) {
	if !utf8.Valid(line) {
		return nil, errors.New("not UTF-8")
	}
	if bytes.IndexByte(line, '"') < 0 {
		return strings.Split(string(line), ","), nil
	}
	return csv.NewReader(bytes.NewReader(line)).Read()
}

// newJSON returns the splitter of JSON lines.
func newJSON(c Columns) splitter {
	return func(line []byte) (raw, error) {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(line, &object); err != nil || object == nil || !utf8.Valid(line) {
			return raw{}, errors.New("the line is not a JSON object")
		}
		if _, ok := object[c.PasswordHash]; !ok { // a misnamed member must not make users without a password
			return raw{}, fmt.Errorf("there is no %.40q; a user without a password has an empty one", c.PasswordHash)
		}
		var r raw
		for _, text := range []struct {
			to   *string
			name string
		}{{&r.username, c.Username}, {&r.hash, c.PasswordHash}, {&r.sub, c.Sub}} {
			value, ok := object[text.name]
			if ok && json.Unmarshal(value, text.to) != nil {
				return raw{}, fmt.Errorf("%.40q is not a string", text.name)
			}
		}
		if value, ok := object[c.Disabled]; ok {
			var disabled bool
			if json.Unmarshal(value, &disabled) != nil {
				return raw{}, fmt.Errorf("%.40q is not true or false", c.Disabled)
			}
			r.disabled = fmt.Sprint(disabled)
		}
		return r, nil
	}
}

// check makes a row of a raw record, or says what is wrong with it.
func (u *Users) check(r raw) (row, error) {
	name, err := password.NormalizeUsername(r.username)
	if err != nil {
		return row{}, err
	}
	if r.hash != "" {
		if _, err := u.c.Passwords.Recognise(storage.PasswordHash(r.hash)); err != nil {
			return row{}, err
		}
	}
	if !validSub(r.sub) {
		return row{}, errors.New("the sub is not of 1 to 32 letters, digits, dots, underscores and hyphens")
	}
	disabled, err := parseDisabled(r.disabled)
	if err != nil {
		return row{}, err
	}
	return row{username: name, hash: storage.PasswordHash(r.hash), sub: storage.UserID(r.sub), disabled: disabled}, nil
}

// validSub accepts what its column holds and a URL need not escape; empty means that one is made.
func validSub(s string) bool {
	if len(s) > 32 {
		return false
	}
	for i := range len(s) {
		b := s[i]
		letter := (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9')
		if !letter && b != '.' && b != '_' && b != '-' {
			return false
		}
	}
	return s != "." && s != ".."
}

func parseDisabled(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "", "0", "false", "no", "n":
		return false, nil
	case "1", "true", "yes", "y":
		return true, nil
	}
	return false, errors.New("disabled is not one of true, false, yes, no, 1, 0")
}
