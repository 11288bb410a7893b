package arch

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// officialProgram lists users with the official client alone, for comparison with
// the program in the README.
const officialProgram = `package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"${official}/api"
)

func main() {
	client := api.NewAPIClient(api.NewConfiguration())
	ctx := context.WithValue(context.Background(), api.ContextAccessToken, os.Getenv("BATON_TOKEN"))
	out, _, err := client.IAMUsersAPI.ListUsers(ctx).Pagination(*api.NewPaginationInput(1000)).Execute()
	if err != nil {
		log.Fatal(err)
	}
	for _, user := range out.Data.Users {
		fmt.Println(user.Email)
	}
}
`

// A program that imports only segmentapi links only segmentapi and its dependencies.
// The module also holds a connector, whose SDK depends on a database engine, SQLite
// and AWS. As a user's would be, the program is in a module of its own.
func TestConsumerLinksOnlyTheLibrary(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindSubmatch(readme)
	if program == nil {
		t.Fatal("the README has no program")
	}
	dir := t.TempDir()
	repository, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go .*$`).Find(mod)
	for name, content := range map[string]string{
		"go.mod":           fmt.Sprintf("module example.com/consumer\n\n%[1]s\n\nrequire %[2]s v0.0.0\n\nreplace %[2]s => %[3]q\n", version, module, repository),
		"go.sum":           string(sums),
		"library/main.go":  string(program[1]),
		"official/main.go": os.Expand(officialProgram, func(string) string { return officialClient }),
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	official := []string{officialClient}
	for _, c := range []struct {
		name    string
		modules []string
	}{
		{"official", official},
		{"library", append(official,
			module,
			"github.com/hashicorp/go-cleanhttp", // Of go-retryablehttp.
			"github.com/hashicorp/go-retryablehttp",
			"github.com/hashicorp/golang-lru/v2",
			"golang.org/x/sync",
		)},
	} {
		slices.Sort(c.modules)
		packages, imported := dependencies(t, dir, c.name)
		if diff := cmp.Diff(c.modules, imported); diff != "" {
			t.Errorf("modules that the program %s imports, in the end (-want +got):\n%s", c.name, diff)
		}
		size, linked := linked(t, dir, c.name)
		if diff := cmp.Diff(c.modules, linked); diff != "" {
			t.Errorf("modules in the binary of the program %s (-want +got):\n%s", c.name, diff)
		}
		t.Logf("%-8s stripped: %d bytes; modules: %d; packages: %d, of which not in the standard library: %d",
			c.name, size, len(linked), packages.all, packages.others)
	}
}

type count struct{ all, others int }

// dependencies counts the packages that a program of the module in dir depends on,
// and lists the modules that they belong to.
func dependencies(t *testing.T, dir, program string) (count, []string) {
	t.Helper()
	out := run(t, dir, "go", "list", "-mod=mod", "-deps", "-json=ImportPath,Standard,Module", "./"+program)
	var n count
	modules := map[string]bool{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		n.all++
		if p.Standard {
			continue
		}
		n.others++
		if p.Module.Path != "example.com/consumer" {
			modules[p.Module.Path] = true
		}
	}
	return n, slices.Sorted(maps.Keys(modules))
}

// linked builds a program as a release does, and reads its size and its modules from
// the binary, as go version -m does.
func linked(t *testing.T, dir, program string) (int64, []string) {
	t.Helper()
	binary := filepath.Join(dir, program+".bin")
	run(t, dir, "go", "build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", binary, "./"+program)
	stat, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	modules := make([]string, 0, len(info.Deps))
	for _, dep := range info.Deps {
		modules = append(modules, dep.Path)
	}
	slices.Sort(modules)
	return stat.Size(), modules
}

func run(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	// As for a release, which has compiled the same packages.
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	return out
}
