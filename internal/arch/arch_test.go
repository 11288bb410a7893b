// Package arch holds the rules of the layout as tests: who may import whom,
// what an exported signature may mention, and what lies at the root.
package arch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	root   = "../.."
	module = "github.com/baton-segment/baton-segment"

	batonSDK       = "github.com/conductorone/baton-sdk"
	officialClient = "github.com/segmentio/public-api-sdk-go"
)

// The layout: for each folder with Go code, what the packages in and below it
// may import besides the standard library and each other. The longest name
// decides. Test files may import anything.
var layout = map[string]struct {
	modules  []string // other modules
	packages []string // folders of this module
	never    []string // modules and folders that must not be reached on any path
}{
	"api": {never: []string{officialClient, batonSDK}},
	"segmentapi": {
		modules: []string{
			officialClient,
			"github.com/hashicorp/go-retryablehttp",
			"github.com/hashicorp/golang-lru/v2",
			"golang.org/x/sync",
		},
		never: []string{batonSDK, "connector", "internal/sim"},
	},
	"segmentapi/internal/pacing": {}, // The standard library only.
	"segmentapi/segmentapitest": {
		packages: []string{"internal/sim", "segmentapi"},
		never:    []string{batonSDK, "connector"},
	},
	"connector": {
		modules: []string{
			batonSDK,
			// What the interfaces of baton-sdk oblige a connector to use.
			"github.com/grpc-ecosystem/go-grpc-middleware",
			"go.uber.org/zap",
			"google.golang.org/grpc",
			"google.golang.org/protobuf",
			// One request where several workers need the same.
			"golang.org/x/sync",
		},
		packages: []string{"segmentapi"},
		never:    []string{"internal/sim"},
	},
	"connector/inprocess": {
		modules: []string{
			batonSDK,
			"github.com/grpc-ecosystem/go-grpc-middleware",
			"go.uber.org/zap",
			"google.golang.org/grpc",
			"google.golang.org/protobuf",
		},
		packages: []string{"connector"},
		never:    []string{"internal/sim"},
	},
	"cmd/baton-segment": {
		modules: []string{
			batonSDK,
			// The SDK's logger.
			"github.com/grpc-ecosystem/go-grpc-middleware",
			"go.uber.org/zap",
		},
		packages: []string{"connector"},
		never:    []string{"internal/sim"},
	},
	"cmd/segment-sim": {
		packages: []string{"internal/sim"},
		never:    []string{officialClient, batonSDK, "segmentapi"},
	},
	"internal/sim": {
		packages: []string{"api"},
		never:    []string{officialClient, batonSDK},
	},
}

// A listed is what `go list` says about one package.
type listed struct {
	ImportPath string
	Dir        string
	Standard   bool
	Export     string
	GoFiles    []string
	Imports    []string
	Deps       []string
	Module     *struct{ Path string }
}

// ours reports the folder of a package of this module.
func (p listed) ours() (string, bool) {
	if p.Module == nil || p.Module.Path != module {
		return "", false
	}
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/"), true
}

// list loads every package of this module and whatever it depends on, compiled.
var list = sync.OnceValues(func() (map[string]listed, error) {
	cmd := exec.CommandContext(context.Background(), "go", "list", "-export", "-deps", "-json=ImportPath,Dir,Standard,Export,GoFiles,Imports,Deps,Module", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	packages := map[string]listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages[p.ImportPath] = p
	}
})

func packages(t *testing.T) map[string]listed {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestImports(t *testing.T) {
	t.Parallel()
	all := packages(t)
	seen := map[string]bool{}
	for _, p := range all {
		folder, ours := p.ours()
		if !ours {
			continue
		}
		name := folder
		rule, ruled := layout[name]
		for !ruled && name != "." {
			name = path.Dir(name)
			rule, ruled = layout[name]
		}
		if !ruled {
			if !strings.HasPrefix(folder, "internal/") {
				t.Errorf("%s: the layout names no such folder", folder)
			}
			continue
		}
		seen[name] = true
		for _, imported := range p.Imports {
			if !allowed(all[imported], rule.modules, slices.Concat(rule.packages, []string{name})) {
				t.Errorf("%s imports %s", folder, imported)
			}
		}
		for _, dep := range p.Deps {
			d := all[dep]
			if slices.ContainsFunc(rule.never, func(forbidden string) bool { return within(d, forbidden) }) {
				t.Errorf("%s depends on %s", folder, dep)
			}
		}
	}
	for folder := range layout {
		if !seen[folder] {
			t.Errorf("%s: the layout names it, but it holds no package", folder)
		}
	}
}

func allowed(p listed, modules, folders []string) bool {
	if p.Standard {
		return true
	}
	if _, ours := p.ours(); ours {
		return slices.ContainsFunc(folders, func(name string) bool { return within(p, name) })
	}
	return p.Module != nil && slices.Contains(modules, p.Module.Path)
}

// within reports whether p is in the module or the folder of this module that
// the name stands for.
func within(p listed, name string) bool {
	if folder, ours := p.ours(); ours {
		return folder == name || strings.HasPrefix(folder, name+"/")
	}
	return p.Module != nil && p.Module.Path == name
}

// Users of the library meet the generated client in Raw and nowhere else: it
// changes weekly, their code should not have to.
func TestNoGeneratedNameInExportedSignatures(t *testing.T) {
	t.Parallel()
	all := packages(t)
	imp := exportImporter(token.NewFileSet(), all)
	for folder, want := range map[string][]string{
		"segmentapi":                {"Client.Raw: " + officialClient + "/api.APIClient"},
		"segmentapi/segmentapitest": nil,
		"connector":                 nil,
		"connector/inprocess":       nil,
	} {
		pkg, err := imp.Import(path.Join(module, folder))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, generatedNames(pkg)); diff != "" {
			t.Errorf("%s: the generated client in what it exports (-want +got):\n%s", folder, diff)
		}
	}
}

// generatedNames lists where the exported API of pkg mentions a type of the
// official client.
func generatedNames(pkg *types.Package) []string {
	var found []string
	scope := pkg.Scope()
	for _, name := range scope.Names() {
		obj := scope.Lookup(name)
		if !obj.Exported() {
			continue
		}
		typeName, isType := obj.(*types.TypeName)
		w := walker{home: pkg, seen: map[types.Type]bool{}}
		if !isType {
			w.walk(obj.Type())
			found = append(found, w.report(name)...)
			continue
		}
		w.walk(typeName.Type().Underlying())
		if named, ok := typeName.Type().(*types.Named); ok {
			for param := range named.TypeParams().TypeParams() {
				w.walk(param.Constraint())
			}
		}
		found = append(found, w.report(name)...)
		methods := types.NewMethodSet(types.NewPointer(typeName.Type()))
		for method := range methods.Methods() {
			if method.Obj().Exported() {
				m := walker{home: pkg, seen: map[types.Type]bool{}}
				m.walk(method.Obj().Type())
				found = append(found, m.report(name+"."+method.Obj().Name())...)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// A walker collects the types of the official client that a type is made of.
type walker struct {
	home  *types.Package
	seen  map[types.Type]bool
	found []string
}

func (w *walker) report(where string) []string {
	reports := make([]string, 0, len(w.found))
	for _, name := range w.found {
		reports = append(reports, where+": "+name)
	}
	return reports
}

func (w *walker) walk(t types.Type) {
	if w.seen[t] {
		return
	}
	w.seen[t] = true
	switch t := t.(type) {
	case *types.Alias:
		w.walk(types.Unalias(t))
	case *types.Named:
		w.named(t)
	case *types.Pointer:
		w.walk(t.Elem())
	case *types.Slice:
		w.walk(t.Elem())
	case *types.Array:
		w.walk(t.Elem())
	case *types.Chan:
		w.walk(t.Elem())
	case *types.Map:
		w.walk(t.Key())
		w.walk(t.Elem())
	case *types.Struct:
		for field := range t.Fields() {
			if field.Exported() || field.Embedded() {
				w.walk(field.Type())
			}
		}
	case *types.Signature:
		for v := range t.Params().Variables() {
			w.walk(v.Type())
		}
		for v := range t.Results().Variables() {
			w.walk(v.Type())
		}
	case *types.Interface:
		for method := range t.ExplicitMethods() {
			w.walk(method.Type())
		}
		for embedded := range t.EmbeddedTypes() {
			w.walk(embedded)
		}
	case *types.Union:
		for term := range t.Terms() {
			w.walk(term.Type())
		}
	}
}

func (w *walker) named(t *types.Named) {
	for arg := range t.TypeArgs().Types() {
		w.walk(arg)
	}
	pkg := t.Obj().Pkg()
	if pkg == nil {
		return
	}
	if pkg.Path() == officialClient || strings.HasPrefix(pkg.Path(), officialClient+"/") {
		w.found = append(w.found, pkg.Path()+"."+t.Obj().Name())
		return
	}
	// An exported type of the package is looked at under its own name.
	if pkg == w.home && !t.Obj().Exported() {
		w.walk(t.Underlying())
	}
}

// exportImporter reads the compiled form of packages from where `go list` put it.
func exportImporter(fset *token.FileSet, all map[string]listed) types.Importer {
	return importer.ForCompiler(fset, "gc", func(importPath string) (io.ReadCloser, error) {
		p, ok := all[importPath]
		if !ok || p.Export == "" {
			return nil, fmt.Errorf("no compiled form of %s", importPath)
		}
		return os.Open(p.Export)
	})
}

// A package-level variable is a constant that Go cannot call one: a sentinel,
// a table, an interface guard. Whatever changes belongs to a value that
// somebody made and can make twice.
func TestNoInitAndNoGlobalState(t *testing.T) {
	t.Parallel()
	all := packages(t)
	for _, p := range all {
		folder, ours := p.ours()
		if !ours || len(p.GoFiles) == 0 {
			continue
		}
		fset := token.NewFileSet()
		files := parse(t, fset, p)
		info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
		pkg := check(t, fset, p, files, info)
		for _, complaint := range globalState(pkg, files, info) {
			t.Errorf("%s: %s: %s", folder, fset.Position(complaint.pos), complaint.text)
		}
	}
}

// parse reads the source of a package, tests aside.
func parse(t *testing.T, fset *token.FileSet, p listed) []*ast.File {
	t.Helper()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// check finds the types of a package from its source. The compiled form has
// them, too, but with names of the compiler's own where it has inlined.
func check(t *testing.T, fset *token.FileSet, p listed, files []*ast.File, info *types.Info) *types.Package {
	t.Helper()
	config := types.Config{Importer: exportImporter(fset, packages(t))}
	pkg, err := config.Check(p.ImportPath, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	return pkg
}

type complaint struct {
	pos  token.Pos
	text string
}

// globalState finds init functions and package-level variables that code
// changes, takes the address of, or that are locks and the like.
func globalState(pkg *types.Package, files []*ast.File, info *types.Info) []complaint {
	var found []complaint
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
			found = append(found, complaint{e.Pos(), what + " the package-level variable " + obj.Name()})
		}
	}
	for _, name := range pkg.Scope().Names() {
		if v, ok := pkg.Scope().Lookup(name).(*types.Var); ok && stateful(v.Type()) {
			found = append(found, complaint{v.Pos(), "state in the package-level variable " + name})
		}
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					found = append(found, complaint{n.Pos(), "an init function"})
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

// stateful reports whether a variable of this type is there to be changed.
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
				return false // It is built at its first use, and the same from then on.
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

func TestRootHoldsNothingElse(t *testing.T) {
	t.Parallel()
	fixed := []string{"LICENSE", "Makefile", "README.md", "api", "cmd", "connector", "go.mod", "go.sum", "internal", "segmentapi"}
	ignored := ignoredAtRoot(t)
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || slices.ContainsFunc(ignored, func(pattern string) bool {
			match, err := path.Match(pattern, name)
			return err == nil && match
		}) {
			continue
		}
		names = append(names, name)
	}
	if diff := cmp.Diff(fixed, names); diff != "" {
		t.Errorf("the root of the repository (-want +got):\n%s", diff)
	}
}

// ignoredAtRoot reads the patterns of .gitignore that apply at the root.
func ignoredAtRoot(t *testing.T) []string {
	t.Helper()
	file, err := os.Open(filepath.Join(root, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}()
	var patterns []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if line := strings.Trim(strings.TrimSpace(lines.Text()), "/"); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return patterns
}

// What is committed works on any machine, so it names the paths of none.
func TestNoMachinePaths(t *testing.T) {
	t.Parallel()
	machine := regexp.MustCompile(`(^|[^\w.])/(work|root|tmp|home/\w+|Users/\w+)/`)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == ".git" || name == filepath.Join(root, "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) == ".c1z" {
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(content), "\n") {
			if machine.MatchString(line) {
				t.Errorf("%s:%d: a path of one machine: %s", name, i+1, line)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
