package arch

import (
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each link in the documentation leads to a symbol, and its code has been run: each
// line of it is in a test of the same folder. A line "…" stands for code that the
// documentation omits; it may omit the beginning of the first line as well.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	all := checkedPackages(t)
	link := regexp.MustCompile(`\[\*?(?:([a-z]\w*)\.)?([A-Z]\w*)(?:\.(\w+))?\]`)
	for _, folder := range []string{"segmentapi", "segmentapi/access", "segmentapi/segmentapitest", "connector", "connector/config", "connector/inprocess"} {
		p, ok := all[folder]
		if !ok {
			t.Errorf("no package in %s", folder)
			continue
		}
		tested := testCode(t, filepath.Join(root, folder))
		for _, file := range p.files {
			for _, group := range file.Comments {
				where := p.fset.Position(group.Pos())
				prose, code := splitComment(group.Text())
				for _, m := range link.FindAllStringSubmatch(prose, -1) {
					if !resolves(p.types, m[1], m[2], m[3]) {
						t.Errorf("%s: %s links to nothing", where, m[0])
					}
				}
				for _, piece := range code {
					if !strings.Contains(tested, piece) {
						t.Errorf("%s: this code is in no test:\n%s", where, piece)
					}
				}
			}
		}
	}
}

// resolves reports whether a link in the documentation of pkg leads to a symbol:
// to name, or to a member of it, in pkg or in a package that it imports.
func resolves(pkg *types.Package, imported, name, member string) bool {
	if imported != "" {
		i := slices.IndexFunc(pkg.Imports(), func(other *types.Package) bool { return other.Name() == imported })
		if i < 0 {
			return false
		}
		pkg = pkg.Imports()[i]
	}
	obj := pkg.Scope().Lookup(name)
	if obj == nil || member == "" {
		return obj != nil
	}
	found, _, _ := types.LookupFieldOrMethod(obj.Type(), true, pkg, member)
	_, isMethod := found.(*types.Func) // Nothing links to a field.
	return isMethod
}

// splitComment returns the prose of a comment and the blocks of code in it, whose
// lines lose their indentation.
func splitComment(text string) (string, []string) {
	var prose strings.Builder
	code := []string{""}
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "\t") && trimmed != "…":
			code[len(code)-1] += trimmed + "\n"
		case trimmed != "":
			prose.WriteString(line)
			code = append(code, "")
		}
	}
	return prose.String(), slices.DeleteFunc(code, func(piece string) bool { return piece == "" })
}

// testCode returns the lines of the tests in a folder, without indentation and
// without empty lines.
func testCode(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines("\n" + string(content)) {
			if trimmed := strings.TrimSpace(line); trimmed != "" {
				code.WriteString("\n" + trimmed)
			}
		}
	}
	return code.String() + "\n"
}
