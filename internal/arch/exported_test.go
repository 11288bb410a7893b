package arch

import (
	"flag"
	"fmt"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the record of what the packages export")

// The exported API is recorded, so that a review sees each change to it. The record
// has the names of parameters: if two strings change places, callers break, and no
// compiler reports it.
func TestExportedAPI(t *testing.T) {
	t.Parallel()
	all := checkedPackages(t)
	for _, folder := range []string{"segmentapi", "segmentapi/access", "segmentapi/segmentapitest", "connector", "connector/config", "connector/inprocess"} {
		p, ok := all[folder]
		if !ok {
			t.Errorf("no package in %s", folder)
			continue
		}
		got := exported(p.types)
		golden := filepath.Join("testdata", "api", strings.ReplaceAll(folder, "/", "-")+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(strings.Join(got, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		content, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSpace(string(content)), "\n")
		for _, line := range missing(want, got) {
			t.Errorf("%s: recorded, but not exported any more: %s", folder, line)
		}
		for _, line := range missing(got, want) {
			t.Errorf("%s: exported, but not recorded: %s", folder, line)
		}
	}
	if t.Failed() {
		t.Log("if that is meant, run make generate")
	}
}

// missing returns the elements of all that are not in some.
func missing(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

// exported returns one line for each constant, variable, function, type, field and
// method that pkg exports, sorted. It includes the methods of embedded types.
func exported(pkg *types.Package) []string {
	short := func(other *types.Package) string {
		if other == pkg {
			return ""
		}
		return other.Name()
	}
	var lines []string
	scope := pkg.Scope()
	for _, name := range scope.Names() {
		obj := scope.Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch obj := obj.(type) {
		case *types.TypeName:
			lines = append(lines, typeLines(obj, short)...)
		case *types.Const:
			lines = append(lines, types.ObjectString(obj, short)+" = "+obj.Val().ExactString())
		default:
			lines = append(lines, types.ObjectString(obj, short))
		}
	}
	slices.Sort(lines)
	return lines
}

func typeLines(obj *types.TypeName, short types.Qualifier) []string {
	t := obj.Type()
	if obj.IsAlias() {
		return []string{fmt.Sprintf("type %s = %s", obj.Name(), types.TypeString(types.Unalias(t), short))}
	}
	var lines []string
	header := "type " + types.TypeString(t, short) // With its type parameters.
	switch u := t.Underlying().(type) {
	case *types.Struct:
		hidden := ""
		for field := range u.Fields() {
			if !field.Exported() { // Other packages cannot write a literal without field names then.
				hidden = ", with unexported fields"
				continue
			}
			lines = append(lines, fmt.Sprintf("field %s.%s %s", obj.Name(), field.Name(), types.TypeString(field.Type(), short)))
		}
		lines = append(lines, header+" struct"+hidden)
	case *types.Interface:
		lines = append(lines, header+" interface")
	default:
		lines = append(lines, header+" "+types.TypeString(u, short))
	}
	if types.IsInterface(t) {
		return append(lines, methodLines(obj, types.NewMethodSet(t), short)...)
	}
	return append(lines, methodLines(obj, types.NewMethodSet(types.NewPointer(t)), short)...)
}

func methodLines(obj *types.TypeName, methods *types.MethodSet, short types.Qualifier) []string {
	var lines []string
	for method := range methods.Methods() {
		fn := method.Obj()
		if !fn.Exported() {
			continue
		}
		receiver := obj.Name()
		if sig, ok := fn.Type().(*types.Signature); ok && sig.Recv() != nil {
			if _, pointer := sig.Recv().Type().(*types.Pointer); pointer {
				receiver = "*" + receiver
			}
		}
		signature := strings.TrimPrefix(types.TypeString(fn.Type(), short), "func")
		lines = append(lines, fmt.Sprintf("method (%s) %s%s", receiver, fn.Name(), signature))
	}
	return lines
}
