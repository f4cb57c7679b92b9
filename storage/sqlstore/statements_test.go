package sqlstore_test

import (
	"context"
	"database/sql"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// repeated is a part of a statement that is written {part|separator}, once for each row; two rows here.
var repeated = regexp.MustCompile(`\{([^|{}]*)\|([^|{}]*)\}`)

// verb begins a statement.
var verb = regexp.MustCompile(`^(SELECT|INSERT|UPDATE|DELETE) `)

// TestStatementsPrepare prepares each statement of the package on each engine: what parses may still
// name a column that the schema lacks.
func TestStatementsPrepare(t *testing.T) {
	t.Parallel()
	statements := collect(t)
	if len(statements) < 40 {
		t.Fatalf("found %d statements", len(statements))
	}
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		db := e.Raw(t)
		locks := map[string][]string{"mysql": {" FOR UPDATE", " LOCK IN SHARE MODE"}}[e.Name]
		for name, s := range statements {
			for _, s := range variants(s, locks...) {
				if err := prepare(t.Context(), db, s); err != nil {
					t.Errorf("%s: %v\n%s", name, err, s)
				}
			}
		}
	})
}

func prepare(ctx context.Context, db *sql.DB, statement string) error {
	prepared, err := db.PrepareContext(ctx, statement)
	if err != nil {
		return err
	}
	defer prepared.Close()
	return nil
}

// variants is a statement, and for a SELECT also what it is when it locks.
func variants(s string, locks ...string) []string {
	all := []string{s}
	if strings.HasPrefix(s, "SELECT") && !strings.Contains(s, "COUNT(") {
		for _, lock := range locks {
			all = append(all, s+lock)
		}
	}
	return all
}

// collect finds the constants of the package that are statements. One that ends in VALUES is
// followed by rows when it runs, and gets one here; one that has no verb gets INSERT.
func collect(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]ast.Expr{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Names) == len(spec.Values) {
				for i, name := range spec.Names {
					values[name.Name] = spec.Values[i]
				}
			}
			return true
		})
	}
	statements := map[string]string{}
	for name, expr := range values {
		s, ok := fold(expr, values)
		if !ok {
			continue
		}
		if strings.HasPrefix(s, " slots (") {
			s = "INSERT INTO" + s
		}
		if !verb.MatchString(s) {
			continue
		}
		if head, found := strings.CutSuffix(s, "VALUES "); found {
			columns := strings.Count(head[strings.IndexByte(head, '('):], ",") + 1
			s += "(" + strings.Repeat("?, ", columns-1) + "?)"
		}
		statements[name] = repeated.ReplaceAllString(s, "$1$2$1")
	}
	return statements
}

// fold evaluates an expression of string literals, constants and +.
func fold(e ast.Expr, values map[string]ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		left, ok1 := fold(e.X, values)
		right, ok2 := fold(e.Y, values)
		return left + right, e.Op == token.ADD && ok1 && ok2
	case *ast.Ident:
		if v, ok := values[e.Name]; ok {
			return fold(v, values)
		}
	}
	return "", false
}
