package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each name in backticks, and each line of a block, in a document for maintainers
// exists: as a make target or variable, a path from the root, a flag, a program or a
// declaration in Go code. Other words have no backticks there.
func TestDocumentsNameWhatExists(t *testing.T) {
	t.Parallel()
	makefile, options := read(t, "Makefile"), read(t, "connector/config/config.go")
	declared := declarations(t)
	known := func(name string) bool {
		if words := strings.Fields(name); len(words) > 1 && words[0] == "make" {
			return knownTargets(makefile, words[1:])
		}
		if declared[name] {
			return true
		}
		if env, ok := strings.CutPrefix(name, "BATON_"); ok {
			return strings.Contains(options, `Field("`+strings.ReplaceAll(strings.ToLower(env), "_", "-")+`"`)
		}
		if flag, ok := strings.CutPrefix(name, "--"); ok {
			return strings.Contains(options, `Field("`+flag+`"`)
		}
		// A flag of the go command, or a variable.
		if strings.HasPrefix(name, "-") || regexp.MustCompile(`^[A-Z]+$`).MatchString(name) {
			return regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(name) + `($|[^\w-])`).MatchString(makefile)
		}
		for _, file := range []string{name, filepath.Join("cmd", name)} {
			if _, err := os.Stat(filepath.Join(root, file)); err == nil {
				return true
			}
		}
		return false
	}
	for _, file := range []string{".github/CONTRIBUTING.md", ".github/SECURITY.md"} {
		names := namesIn(read(t, file))
		if len(names) == 0 {
			t.Errorf("%s names nothing", file)
		}
		for _, name := range names {
			if !known(name) {
				t.Errorf("%s names %q, which does not exist", file, name)
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// namesIn returns the texts in backticks, and the lines of blocks.
func namesIn(document string) []string {
	block := regexp.MustCompile("(?ms)^```\\w*\n(.*?)^```$")
	var names []string
	for _, m := range block.FindAllStringSubmatch(document, -1) {
		names = append(names, strings.Split(strings.TrimSpace(m[1]), "\n")...)
	}
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(block.ReplaceAllString(document, ""), -1) {
		names = append(names, m[1])
	}
	return names
}

// knownTargets reports whether all targets, and the variables given to them,
// are in the Makefile.
func knownTargets(makefile string, words []string) bool {
	return !slices.ContainsFunc(words, func(word string) bool {
		if variable, _, ok := strings.Cut(word, "="); ok {
			return !strings.Contains(makefile, "$("+variable+")")
		}
		return !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(word) + `:`).MatchString(makefile)
	})
}

// declarations returns the names that Go code of this module declares at package
// level, methods with their types.
func declarations(t *testing.T) map[string]bool {
	t.Helper()
	declared := map[string]bool{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == ".git" {
			return fs.SkipDir
		}
		if entry.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			declare(declared, decl)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return declared
}

func declare(declared map[string]bool, decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		name := decl.Name.Name
		if decl.Recv != nil {
			receiver := decl.Recv.List[0].Type
			if pointer, ok := receiver.(*ast.StarExpr); ok {
				receiver = pointer.X
			}
			ident, ok := receiver.(*ast.Ident)
			if !ok {
				return // A method of a type with parameters.
			}
			name = ident.Name + "." + name
		}
		declared[name] = true
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					declared[name.Name] = true
				}
			case *ast.TypeSpec:
				declared[spec.Name.Name] = true
			}
		}
	}
}
