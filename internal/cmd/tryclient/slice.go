package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// facts are the declarations that this module uses of a version of the official client,
// by name. A fact without details has an empty value.
type facts map[string]string

// A source is the generated package. It is parsed and not type-checked: its code is
// regular, and the tests compile it.
type source struct {
	types map[string]ast.Expr
	// services has the methods of services by name, decodes the types with an
	// UnmarshalJSON of their own.
	services map[string]*ast.FuncDecl
	decodes  map[string]bool
}

// parseClient parses the files of the generated package, without tests.
func parseClient(dir string) (map[string]*ast.File, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	files := map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if files[filepath.Base(name)], err = parseFile(name, nil); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// parseFile parses content, or the file of that name if content is nil.
func parseFile(name string, content any) (*ast.File, error) {
	return parser.ParseFile(token.NewFileSet(), name, content, parser.ParseComments|parser.SkipObjectResolution)
}

// newSource collects the declarations in the files of the generated package.
func newSource(files map[string]*ast.File) *source {
	s := &source{types: map[string]ast.Expr{}, services: map[string]*ast.FuncDecl{}, decodes: map[string]bool{}}
	for _, file := range files {
		for _, decl := range file.Decls {
			s.add(decl)
		}
	}
	return s
}

func (s *source) add(decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			if spec, ok := spec.(*ast.TypeSpec); ok {
				s.types[spec.Name.Name] = spec.Type
			}
		}
	case *ast.FuncDecl:
		if decl.Recv == nil {
			return
		}
		receiver := strings.TrimPrefix(types.ExprString(decl.Recv.List[0].Type), "*")
		if isService(receiver) {
			s.services[decl.Name.Name] = decl
		}
		if decl.Name.Name == "UnmarshalJSON" {
			s.decodes[receiver] = true
		}
	}
}

func isService(typeName string) bool { return strings.HasSuffix(typeName, "APIService") }

// factsOf returns the facts about operations in a version of the client. It leaves out
// operations that the client lacks.
func factsOf(dir string, operations []string) (facts, error) {
	files, err := parseClient(dir)
	if err != nil {
		return nil, err
	}
	s := newSource(files)
	if len(s.services) == 0 {
		return nil, fmt.Errorf("%s holds no service of the official client", dir)
	}
	return s.facts(operations)
}

func (s *source) facts(operations []string) (facts, error) {
	f := facts{}
	for _, id := range operations {
		name := strings.ToUpper(id[:1]) + id[1:]
		method, execute := s.services[name], s.services[name+"Execute"]
		if method == nil || execute == nil {
			continue
		}
		f[id] = strings.TrimPrefix(types.ExprString(method.Recv.List[0].Type), "*") + "." + name +
			strings.TrimPrefix(types.ExprString(method.Type), "func")
		f.addDoc(id, method.Doc)
		if err := f.addRequest(id, execute); err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		f.addTypes(s, method.Type)
		f.addTypes(s, execute)
	}
	return f, nil
}

// addRequest adds the literals in the code of an operation: its method, its path, the
// names in its query, the versions that it accepts, the errors that it decodes.
func (f facts) addRequest(id string, execute *ast.FuncDecl) error {
	var method, path bool
	ast.Inspect(execute.Body, func(n ast.Node) bool {
		var text string
		switch n := n.(type) {
		case *ast.SelectorExpr:
			text = types.ExprString(n)
			if !strings.HasPrefix(text, "http.Method") {
				return true
			}
			method = true
		case *ast.BasicLit:
			text = n.Value
			path = path || strings.HasPrefix(text, `"/`)
		default:
			return true
		}
		f[id+" has "+text] = ""
		return true
	})
	if !method || !path {
		return errors.New("the code of the client no longer shows its method and path")
	}
	return nil
}

// addTypes adds the types that code mentions, and those that they consist of.
func (f facts) addTypes(s *source, code ast.Node) {
	ast.Inspect(code, func(n ast.Node) bool {
		ident, ok := n.(*ast.Ident)
		if !ok || s.types[ident.Name] == nil || isService(ident.Name) || f[ident.Name] != "" {
			return true
		}
		body, isStruct := s.types[ident.Name].(*ast.StructType)
		if !isStruct {
			f[ident.Name] = types.ExprString(s.types[ident.Name])
			f.addTypes(s, s.types[ident.Name])
			return true
		}
		f[ident.Name] = "struct"
		if s.decodes[ident.Name] {
			f[ident.Name] = "struct with a way of its own to decode JSON"
		}
		for _, field := range body.Fields.List {
			for _, name := range field.Names {
				f[ident.Name+"."+name.Name] = types.ExprString(field.Type)
				if field.Tag != nil {
					f[ident.Name+"."+name.Name] += " " + field.Tag.Value
				}
				f.addDoc(ident.Name+"."+name.Name, field.Doc)
			}
			f.addTypes(s, field.Type)
		}
		return true
	})
}

// addDoc adds the paragraphs of a comment, which documents limits and stability.
func (f facts) addDoc(name string, doc *ast.CommentGroup) {
	for paragraph := range strings.SplitSeq(doc.Text(), "\n\n") {
		if words := strings.Join(strings.Fields(paragraph), " "); words != "" && !strings.HasPrefix(words, "@param") {
			f[name+" says: "+words] = ""
		}
	}
}

// diff lists the differences of another version, by name.
func (f facts) diff(after facts) []string {
	line := func(sign, name, value string) string {
		if value == "" {
			return sign + " " + name
		}
		return sign + " " + name + ": " + value
	}
	names := maps.Clone(f)
	maps.Copy(names, after)
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, before := f[name]
		is, now := after[name]
		switch {
		case !before:
			lines = append(lines, line("+", name, is))
		case !now:
			lines = append(lines, line("-", name, was))
		case was != is:
			lines = append(lines, line("-", name, was), line("+", name, is))
		}
	}
	return lines
}
