// Package arch tests the rules of the layout: which package may import which,
// which types an exported signature may mention, and which files are at the root.
package arch

import (
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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/baton-segment/baton-segment"

	batonSDK       = "github.com/conductorone/baton-sdk"
	officialClient = "github.com/segmentio/public-api-sdk-go"
)

// A goPackage is one package as `go list` reports it.
type goPackage struct {
	ImportPath string
	Dir        string
	Standard   bool
	Export     string
	GoFiles    []string
	Imports    []string
	Deps       []string
	Module     *struct{ Path string }
}

// ours returns the folder of p, if p is a package of this module.
func (p goPackage) ours() (string, bool) {
	if p.Module == nil || p.Module.Path != module {
		return "", false
	}
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/"), true
}

// loadPackages loads every package of this module with its dependencies, compiled.
var loadPackages = sync.OnceValues(func() (map[string]goPackage, error) {
	cmd := exec.CommandContext(context.Background(), "go", "list", "-export", "-deps", "-json=ImportPath,Dir,Standard,Export,GoFiles,Imports,Deps,Module", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	packages := map[string]goPackage{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages[p.ImportPath] = p
	}
})

func packages(t *testing.T) map[string]goPackage {
	t.Helper()
	all, err := loadPackages()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// within reports whether p is in the module or the folder of this module that has
// this name.
func within(p goPackage, name string) bool {
	if folder, ours := p.ours(); ours {
		return folder == name || strings.HasPrefix(folder, name+"/")
	}
	return p.Module != nil && p.Module.Path == name
}

// A checkedPackage is a package of this module with its syntax and its types, without
// tests.
type checkedPackage struct {
	folder string
	fset   *token.FileSet
	files  []*ast.File
	types  *types.Package
	info   *types.Info
}

// checkPackages finds the types of all packages of this module from their sources. The
// compiled form has them as well, but where the compiler has inlined, under names of its
// own.
var checkPackages = sync.OnceValues(func() (map[string]checkedPackage, error) {
	all, err := loadPackages()
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	config := types.Config{Importer: exportImporter(fset, all)}
	checked := map[string]checkedPackage{}
	for _, p := range all {
		folder, ours := p.ours()
		if !ours || len(p.GoFiles) == 0 {
			continue
		}
		c := checkedPackage{folder: folder, fset: fset, info: &types.Info{
			Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
		}}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution|parser.ParseComments)
			if err != nil {
				return nil, err
			}
			c.files = append(c.files, file)
		}
		if c.types, err = config.Check(p.ImportPath, fset, c.files, c.info); err != nil {
			return nil, err
		}
		checked[folder] = c
	}
	return checked, nil
})

func checkedPackages(t *testing.T) map[string]checkedPackage {
	t.Helper()
	all, err := checkPackages()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// exportImporter reads the compiled form of packages from where `go list` put it.
func exportImporter(fset *token.FileSet, all map[string]goPackage) types.Importer {
	return importer.ForCompiler(fset, "gc", func(importPath string) (io.ReadCloser, error) {
		p, ok := all[importPath]
		if !ok || p.Export == "" {
			return nil, fmt.Errorf("no compiled form of %s", importPath)
		}
		return os.Open(p.Export)
	})
}
