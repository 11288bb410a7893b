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
	"strconv"
	"strings"
)

// facts are what a version of the official client says of the part of it that
// this module uses, by name. Sentences of its documentation have no value.
type facts map[string]string

// A source is the generated package. It is read, not compiled: it is regular,
// and whether it compiles with the library is for the tests to say.
type source struct {
	types map[string]ast.Expr
	// Methods of services by name, and which types decode themselves.
	services map[string]*ast.FuncDecl
	decodes  map[string]bool
}

func read(dir string) (*source, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	s := &source{types: map[string]ast.Expr{}, services: map[string]*ast.FuncDecl{}, decodes: map[string]bool{}}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			s.add(decl)
		}
	}
	if len(s.services) == 0 {
		return nil, fmt.Errorf("%s holds no service of the official client", dir)
	}
	return s, nil
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

// describe says what a version of the client knows of operations. What it does
// not have is left out.
func describe(dir string, operations []string) (facts, error) {
	s, err := read(dir)
	if err != nil {
		return nil, err
	}
	f := facts{}
	for _, id := range operations {
		name := strings.ToUpper(id[:1]) + id[1:]
		method, execute := s.services[name], s.services[name+"Execute"]
		if method == nil || execute == nil {
			continue
		}
		f[id] = strings.TrimPrefix(types.ExprString(method.Recv.List[0].Type), "*") + "." + name +
			strings.TrimPrefix(types.ExprString(method.Type), "func")
		f.document(id, method.Doc)
		if err := f.request(id, execute); err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		f.follow(s, method.Type)
		f.follow(s, execute)
	}
	return f, nil
}

// request reads what the code of an operation sends, and which errors it
// decodes.
func (f facts) request(id string, execute *ast.FuncDecl) error {
	var method, path string
	var query, accepts, decodes []string
	text := func(e ast.Expr) string {
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if value, err := strconv.Unquote(literal.Value); err == nil {
				return value
			}
		}
		return ""
	}
	ast.Inspect(execute.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if verb, ok := strings.CutPrefix(types.ExprString(n), "http.Method"); ok {
				method = strings.ToUpper(verb)
			}
		case *ast.BinaryExpr:
			if rest := text(n.Y); n.Op == token.ADD && strings.HasPrefix(rest, "/") {
				path = rest
			}
			if n.Op == token.EQL && strings.HasSuffix(types.ExprString(n.X), ".StatusCode") {
				decodes = append(decodes, types.ExprString(n.Y))
			}
		case *ast.CallExpr:
			if types.ExprString(n.Fun) == "parameterAddToHeaderOrQuery" && len(n.Args) > 1 {
				query = append(query, types.ExprString(n.Args[1]))
			}
		case *ast.AssignStmt:
			if list, ok := n.Rhs[0].(*ast.CompositeLit); ok && types.ExprString(n.Lhs[0]) == "localVarHTTPHeaderAccepts" {
				for _, e := range list.Elts {
					accepts = append(accepts, text(e))
				}
			}
		}
		return true
	})
	if method == "" || path == "" {
		return errors.New("the code of the client no longer shows its method and path")
	}
	slices.Sort(query)
	f[id+" sends"] = method + " " + path
	if len(query) > 0 {
		f[id+" query"] = strings.Join(slices.Compact(query), " ")
	}
	f[id+" accepts"] = strings.Join(accepts, " ")
	f[id+" decodes errors"] = strings.Join(decodes, " ")
	return nil
}

// follow describes the types that a piece of code names, and what they are made
// of.
func (f facts) follow(s *source, code ast.Node) {
	ast.Inspect(code, func(n ast.Node) bool {
		ident, ok := n.(*ast.Ident)
		if !ok || s.types[ident.Name] == nil || isService(ident.Name) || f[ident.Name] != "" {
			return true
		}
		body, isStruct := s.types[ident.Name].(*ast.StructType)
		if !isStruct {
			f[ident.Name] = types.ExprString(s.types[ident.Name])
			f.follow(s, s.types[ident.Name])
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
				f.document(ident.Name+"."+name.Name, field.Doc)
			}
			f.follow(s, field.Type)
		}
		return true
	})
}

// document keeps the paragraphs of a comment, where limits and stability stand.
func (f facts) document(name string, doc *ast.CommentGroup) {
	for paragraph := range strings.SplitSeq(doc.Text(), "\n\n") {
		if words := strings.Join(strings.Fields(paragraph), " "); words != "" && !strings.HasPrefix(words, "@param") {
			f[name+" says: "+words] = ""
		}
	}
}

// diff lists what another version says differently, by name.
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
