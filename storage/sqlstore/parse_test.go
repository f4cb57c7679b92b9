package sqlstore

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	tidb "github.com/pingcap/tidb/pkg/parser"
	tidbast "github.com/pingcap/tidb/pkg/parser/ast"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver" // the values of the parser
)

// verbs begin a statement. The house writes them in capitals, and nothing else begins like this.
var verbs = regexp.MustCompile(`^\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|CREATE|ALTER|DROP|SET|SHOW) `)

// TestStatementsParse reads the source of the package, puts together every statement in it as the
// program does, and has the parser of TiDB judge it. A statement that this test cannot put together
// fails it, so a new one is never forgotten.
func TestStatementsParse(t *testing.T) {
	t.Parallel()
	src := readSource(t)
	for name, dialect := range map[string]map[string]string{
		"mysql": {"ForUpdate": " FOR UPDATE", "ForShare": " LOCK IN SHARE MODE", "InsertIgnore": "INSERT IGNORE INTO"},
		"tidb":  {"ForUpdate": " FOR UPDATE", "ForShare": " FOR UPDATE", "InsertIgnore": "INSERT IGNORE INTO"},
	} {
		for _, repeat := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s/lists of %d", name, repeat), func(t *testing.T) {
				t.Parallel()
				statements, unread := src.statements(dialect, repeat)
				for _, where := range unread {
					t.Errorf("%s: this test cannot tell what the statement is", where)
				}
				if len(statements) < 60 {
					t.Errorf("found only %d statements: this test has gone blind", len(statements))
				}
				for statement, where := range statements {
					for _, fault := range judge(statement) {
						t.Errorf("%s: %s\n%s", where, fault, statement)
					}
				}
			})
		}
	}
}

func TestMigrationsParse(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../mysql/migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("migrations: %v, %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		statements, _, err := tidb.New().Parse(string(content), "", "")
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if len(statements) == 0 {
			t.Errorf("%s: no statements", file)
		}
	}
}

// The judge must not nod through what the house refuses.
func TestJudgeRefuses(t *testing.T) {
	t.Parallel()
	for statement, faults := range map[string]int{
		"SELECT a FROM t WHERE b = ?":                            0,
		"SELECT COUNT(*) FROM t":                                 0,
		"SELECT * FROM t":                                        1,
		"SELECT a FROM t LIMIT 5 OFFSET 10":                      1,
		"SELECT a FROM t WHERE b < NOW()":                        1,
		"UPDATE t SET a = CURRENT_TIMESTAMP":                     1,
		"SELECT a FROM t WHERE":                                  1,
		"INSERT INTO t VALUES (?, ?)":                            1,
		"INSERT INTO t (a) VALUES (?) ON CONFLICT (a) DO UPDATE": 1,
		"SELECT a FROM t; DELETE FROM t WHERE a = ?":             1,
	} {
		if got := judge(statement); len(got) != faults {
			t.Errorf("%s: %v, want %d faults", statement, got, faults)
		}
	}
}

// judge says what is wrong with a statement: what the parser refuses, and what the house does.
func judge(statement string) []string {
	parsed, _, err := tidb.New().Parse(statement, "", "")
	if err != nil {
		return []string{err.Error()}
	}
	if len(parsed) != 1 {
		return []string{fmt.Sprintf("%d statements in one", len(parsed))}
	}
	v := &houseRules{}
	parsed[0].Accept(v)
	return v.faults
}

// houseRules walks a statement: columns are listed, no clock is read, nothing is skipped by counting.
type houseRules struct{ faults []string }

// Enter implements the parser's visitor.
func (v *houseRules) Enter(n tidbast.Node) (tidbast.Node, bool) {
	switch n := n.(type) {
	case *tidbast.SelectField:
		if n.WildCard != nil {
			v.faults = append(v.faults, "does not list its columns")
		}
	case *tidbast.InsertStmt:
		if len(n.Columns) == 0 {
			v.faults = append(v.faults, "does not list its columns")
		}
	case *tidbast.Limit:
		if n.Offset != nil {
			v.faults = append(v.faults, "has an OFFSET")
		}
	case *tidbast.FuncCallExpr:
		if slices.Contains([]string{"now", "current_timestamp", "sysdate", "utc_timestamp", "curdate", "unix_timestamp"}, n.FnName.L) {
			v.faults = append(v.faults, "reads a clock")
		}
	}
	return n, false
}

// Leave implements the parser's visitor.
func (v *houseRules) Leave(n tidbast.Node) (tidbast.Node, bool) { return n, true }

// source is the package as written.
type source struct {
	set    *token.FileSet
	files  []*ast.File
	consts map[string]ast.Expr
}

func readSource(t *testing.T) *source {
	t.Helper()
	s := &source{set: token.NewFileSet(), consts: map[string]ast.Expr{}}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(s.set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, f)
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == len(spec.Names) {
				for i, name := range spec.Names {
					s.consts[name.Name] = spec.Values[i]
				}
			}
			return true
		})
	}
	return s
}

// statements puts together every expression that begins like a statement. One that is a part of
// others only ("INSERT … VALUES ", to be continued) counts as read where it is continued.
func (s *source) statements(dialect map[string]string, repeat int) (statements map[string]string, unread []string) {
	e := &evaluation{source: s, dialect: dialect, repeat: repeat, used: map[string]bool{}}
	found := map[string]token.Pos{}
	for _, f := range s.files {
		for _, expr := range outermost(f) {
			text, err := e.text(expr, 0)
			if !verbs.MatchString(text) {
				continue
			}
			if err != nil {
				unread = append(unread, fmt.Sprintf("%s: %v", s.set.Position(expr.Pos()), err))
				continue
			}
			found[text] = expr.Pos()
		}
	}
	// A constant that is never used by itself is no statement by itself.
	statements = map[string]string{}
	for text, pos := range found {
		statements[text] = s.set.Position(pos).String()
	}
	for name, value := range s.consts {
		text, err := e.text(value, 0)
		if err == nil && verbs.MatchString(text) && !e.used[name] {
			unread = append(unread, fmt.Sprintf("%s: %s is a statement that nobody uses", s.set.Position(value.Pos()), name))
		}
	}
	return statements, unread
}

// outermost are the expressions of a file that may be statements and are not the value of a
// constant: chains of +, calls of spread, string literals and names, where they are used.
func outermost(f *ast.File) []ast.Expr {
	var all []ast.Expr
	declared := map[ast.Node]bool{} // names of methods and fields, which may be those of constants
	ast.Inspect(f, func(n ast.Node) bool {
		if declared[n] {
			return false
		}
		switch n := n.(type) {
		case *ast.GenDecl:
			return n.Tok == token.VAR // constants are read where they are used
		case *ast.FuncDecl:
			declared[n.Name] = true
		case *ast.SelectorExpr:
			declared[n.Sel] = true
		case *ast.BinaryExpr:
			if n.Op == token.ADD {
				all = append(all, n)
				return false
			}
		case *ast.CallExpr:
			if called(n) == "spread" {
				all = append(all, n)
				return false
			}
		case *ast.BasicLit, *ast.Ident:
			all = append(all, n.(ast.Expr)) //nolint:forcetypeassert // both are expressions.
		}
		return true
	})
	return all
}

func called(c *ast.CallExpr) string {
	if name, ok := c.Fun.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// evaluation puts texts together for one dialect and one length of lists.
type evaluation struct {
	*source
	dialect map[string]string
	repeat  int
	used    map[string]bool
}

// maxDepth bounds constants that are made of constants.
const maxDepth = 8

// text is the value of an expression of strings. With an error, it is what could be read of it.
func (e *evaluation) text(expr ast.Expr, depth int) (string, error) {
	if depth > maxDepth {
		return "", fmt.Errorf("constants nested deeper than %d", maxDepth)
	}
	switch x := expr.(type) {
	case *ast.BasicLit:
		if x.Kind == token.STRING {
			return strconv.Unquote(x.Value)
		}
	case *ast.Ident:
		if value, ok := e.consts[x.Name]; ok {
			e.used[x.Name] = true
			return e.text(value, depth+1)
		}
		if x.Name == "lock" { // a parameter of that name is a locking clause, by the custom of the house
			return e.dialect["ForShare"], nil
		}
		return "", fmt.Errorf("%s is not a constant", x.Name)
	case *ast.ParenExpr:
		return e.text(x.X, depth)
	case *ast.SelectorExpr:
		if text, ok := e.dialect[x.Sel.Name]; ok {
			return text, nil
		}
		return "", fmt.Errorf("%s is not of the dialect", x.Sel.Name)
	case *ast.BinaryExpr:
		left, err := e.text(x.X, depth)
		if err != nil {
			return left, err
		}
		right, err := e.text(x.Y, depth)
		return left + right, err
	case *ast.CallExpr:
		return e.call(x, depth)
	}
	return "", fmt.Errorf("%T is not text", expr)
}

// call evaluates the functions that make lists.
func (e *evaluation) call(c *ast.CallExpr, depth int) (string, error) {
	switch called(c) {
	case "spread":
		text, err := e.text(c.Args[0], depth)
		if err != nil {
			return text, err
		}
		counts := make([]int, strings.Count(text, "{"))
		for i := range counts {
			counts[i] = e.repeat
		}
		if len(counts) != len(c.Args)-1 {
			return text, fmt.Errorf("%d lists, but %d lengths", len(counts), len(c.Args)-1)
		}
		return spread(text, counts...), nil
	case "tuples":
		return tuples(e.repeat, 3), nil
	}
	return "", fmt.Errorf("%s is not a function that makes lists", called(c))
}
