package configs

import (
	"fmt"
	"strings"
	"unicode"
)

// Fault is one thing wrong with a configuration.
type Fault struct {
	// Where is the file and line, the file alone for a key that is missing, or the variable.
	Where string
	// Key is the path of the key; empty where the file as a whole is at fault.
	Key string
	// Text says what is wrong and what would be right. It never quotes a secret.
	Text string
}

// String is the fault in one line. No name in it can drive a terminal.
func (f Fault) String() string {
	s := f.Text
	if f.Key != "" {
		s = f.Key + ": " + s
	}
	if f.Where != "" {
		s = f.Where + ": " + s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// InvalidError is all that is wrong with a configuration.
type InvalidError struct{ Faults []Fault }

// Error implements error. It has one line for each fault.
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, one := range e.Faults {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// faults collects what is wrong.
type faults []Fault

func (f *faults) add(where, key, format string, args ...any) {
	*f = append(*f, Fault{Where: where, Key: key, Text: fmt.Sprintf(format, args...)})
}

// orNil makes an error of what was collected.
func (f *faults) orNil() error {
	if len(*f) == 0 {
		return nil
	}
	return &InvalidError{Faults: *f}
}

// nearest returns the candidate with the smallest edit distance to s, and false if none is near
// enough to be what was meant.
func nearest(s string, candidates []string) (string, bool) {
	best, at := "", len(s)/2+1
	for _, c := range candidates {
		if d := distance(s, c); d < at {
			best, at = c, d
		}
	}
	return best, best != ""
}

// distance is the Levenshtein distance of two strings, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
