package arch

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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

// Committed files work on any machine, so they contain no path of a particular one.
func TestNoMachinePaths(t *testing.T) {
	t.Parallel()
	folders := []string{"work", "root", "tmp", "home", "Users"}
	machine := regexp.MustCompile(`(^|[^\w.])/(work|root|tmp|home/\w+|Users/\w+)/`)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == ".git" || entry.Name() == "node_modules" || name == filepath.Join(root, "bin") {
				return fs.SkipDir
			}
			return nil
		}
		// In a worktree .git is a file.
		if entry.Name() == ".git" || filepath.Ext(name) == ".c1z" {
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		// The expression is slow, and most files have none of the folders.
		if !slices.ContainsFunc(folders, func(folder string) bool { return bytes.Contains(content, []byte("/"+folder+"/")) }) {
			return nil
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
