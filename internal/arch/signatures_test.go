package arch

import (
	"go/types"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Only Raw exposes the generated client. That client changes weekly, and code that
// uses the library should not have to.
func TestNoGeneratedNameInExportedSignatures(t *testing.T) {
	t.Parallel()
	all := checkedPackages(t)
	for folder, want := range map[string][]string{
		"segmentapi":                {"Client.Raw: " + officialClient + "/api.APIClient"},
		"segmentapi/access":         nil,
		"segmentapi/segmentapitest": nil,
		"connector":                 nil,
		"connector/inprocess":       nil,
	} {
		p, ok := all[folder]
		if !ok {
			t.Errorf("no package in %s", folder)
			continue
		}
		if diff := cmp.Diff(want, generatedNames(p.types)); diff != "" {
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
	// An exported type of the package is reported under its own name.
	if pkg == w.home && !t.Obj().Exported() {
		w.walk(t.Underlying())
	}
}
