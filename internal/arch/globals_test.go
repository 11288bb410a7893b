package arch

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

// A package-level variable is a sentinel, a table or an interface guard: a constant
// in all but name. State belongs to a value that a caller makes, and can make twice.
//
// The one exception is what the clients of one workspace share in a process: two clients
// that edit the same user must wait for each other, whoever made them.
func TestNoInitAndNoGlobalState(t *testing.T) {
	t.Parallel()
	for _, p := range checkedPackages(t) {
		for _, finding := range globalState(p.types, p.files, p.info) {
			if p.folder == "segmentapi" && strings.HasSuffix(finding.text, " package-level variable workspaces") {
				continue
			}
			t.Errorf("%s: %s: %s", p.folder, p.fset.Position(finding.pos), finding.text)
		}
	}
}

type finding struct {
	pos  token.Pos
	text string
}

// globalState finds init functions and package-level variables that code
// changes, takes the address of, or that are locks and the like.
func globalState(pkg *types.Package, files []*ast.File, info *types.Info) []finding {
	var found []finding
	global := func(e ast.Expr) (types.Object, bool) {
		for {
			switch x := e.(type) {
			case *ast.ParenExpr:
				e = x.X
			case *ast.IndexExpr:
				e = x.X
			case *ast.StarExpr:
				e = x.X
			case *ast.SelectorExpr:
				if info.Selections[x] == nil {
					e = x.Sel
				} else {
					e = x.X
				}
			case *ast.Ident:
				v, ok := info.Uses[x].(*types.Var)
				return v, ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope()
			default:
				return nil, false
			}
		}
	}
	note := func(e ast.Expr, what string) {
		if obj, ok := global(e); ok {
			found = append(found, finding{e.Pos(), what + " the package-level variable " + obj.Name()})
		}
	}
	for _, name := range pkg.Scope().Names() {
		if v, ok := pkg.Scope().Lookup(name).(*types.Var); ok && stateful(v.Type()) {
			found = append(found, finding{v.Pos(), "state in the package-level variable " + name})
		}
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					found = append(found, finding{n.Pos(), "an init function"})
				}
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, lhs := range n.Lhs {
						note(lhs, "assigns to")
					}
				}
			case *ast.IncDecStmt:
				note(n.X, "changes")
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					note(n.X, "takes the address of")
				}
			case *ast.CallExpr:
				if fun, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (fun.Name == "delete" || fun.Name == "clear") {
					note(n.Args[0], "empties")
				}
			}
			return true
		})
	}
	return found
}

// stateful reports whether a value of this type is meant to change.
func stateful(t types.Type) bool {
	switch t := t.(type) {
	case *types.Pointer:
		return stateful(t.Elem())
	case *types.Chan:
		return true
	case *types.Named:
		if pkg := t.Obj().Pkg(); pkg != nil {
			switch {
			case pkg.Path() == "sync", pkg.Path() == "sync/atomic":
				return true
			case pkg.Path() == "strings" && t.Obj().Name() == "Replacer":
				return false // It is built at its first use, and never changes after that.
			}
		}
		if s, ok := t.Underlying().(*types.Struct); ok {
			for field := range s.Fields() {
				if stateful(field.Type()) {
					return true
				}
			}
		}
	}
	return false
}
