// Tryclient prints the differences of another version of the official client, in the
// operations that this module uses, and runs tests with that version. It does not
// change the module.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/internal/contract"
)

const official = "github.com/segmentio/public-api-sdk-go"

func main() {
	if len(os.Args) < 3 || os.Args[1] == "" {
		fmt.Fprintln(os.Stderr, "tryclient: say which client: a version (v0.0.0-20250113195817-34106b6e08dd), or a folder with a copy, and the packages to test")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := try(ctx, os.Stdout, os.Args[1], os.Args[2:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tryclient:", err)
		os.Exit(1)
	}
}

// A module is this module with its own go.mod or with another one.
type module struct {
	root  string
	flags []string
}

// try prints the differences of another client, given as a version or a folder, and
// then the output of the tests of packages with that client.
func try(ctx context.Context, out io.Writer, version string, packages []string) error {
	gomod, err := module{}.output(ctx, "env", "GOMOD")
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "tryclient-")
	if err != nil {
		return err
	}
	ours := module{root: filepath.Dir(gomod)}
	theirs := module{root: ours.root, flags: []string{"-mod=mod", "-modfile=" + filepath.Join(scratch, "go.mod")}}
	err = ours.writeModFile(ctx, scratch, version)
	if err == nil {
		err = printDifferences(ctx, out, ours, theirs, version)
	}
	if err == nil {
		err = theirs.test(ctx, out, packages)
	}
	return errors.Join(err, os.RemoveAll(scratch))
}

// test runs the tests of packages of m.
func (m module) test(ctx context.Context, out io.Writer, packages []string) error {
	if err := m.run(ctx, out, os.Stderr, append([]string{"test", "-count=1"}, packages...)...); err != nil {
		return fmt.Errorf("the tests do not pass with this client: %w", err)
	}
	return nil
}

// writeModFile writes go.mod and go.sum of m into a folder, with another client.
func (m module) writeModFile(ctx context.Context, folder, version string) error {
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(m.root, name)) //nolint:gosec // G304: a file of this module.
		if err != nil {
			return err
		}
		//nolint:gosec // G703: into a folder that this program made.
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	edit := "-require=" + official + "@" + version
	if strings.ContainsRune(version, filepath.Separator) {
		client, err := filepath.Abs(version)
		if err != nil {
			return err
		}
		edit = "-replace=" + official + "=" + client
	}
	_, err := m.output(ctx, "mod", "edit", edit, filepath.Join(folder, "go.mod"))
	return err
}

// printDifferences compares the clients of two modules.
func printDifferences(ctx context.Context, out io.Writer, ours, theirs module, version string) error {
	operations, err := usedOperations()
	if err != nil {
		return err
	}
	was, wasIn, err := ours.client(ctx)
	if err != nil {
		return err
	}
	is, isIn, err := theirs.client(ctx)
	if err != nil {
		return fmt.Errorf("no client %s: %w", version, err)
	}
	before, err := factsOf(wasIn, operations)
	if err != nil {
		return err
	}
	after, err := factsOf(isIn, operations)
	if err != nil {
		return fmt.Errorf("no client %s: %w", version, err)
	}
	lines := before.diff(after)
	head := fmt.Sprintf("%s\n-> %s\nchanged in the part that is used (%d operations, %d facts):", was, is, len(operations), len(before))
	if len(lines) == 0 {
		lines = []string{"nothing"}
	}
	_, err = fmt.Fprintf(out, "%s\n  %s\n", head, strings.Join(lines, "\n  "))
	return err
}

// usedOperations returns the operations of the contract.
func usedOperations() ([]string, error) {
	v, err := contract.New()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, op := range v.Operations() {
		ids = append(ids, op.ID)
	}
	return ids, nil
}

// client returns the version of the client that the module uses, and the folder of its
// package.
func (m module) client(ctx context.Context) (string, string, error) {
	found, err := m.output(ctx, "list", "-f", "{{.Module}}\n{{.Dir}}", official+"/api")
	if err != nil {
		return "", "", err
	}
	version, dir, _ := strings.Cut(found, "\n")
	return version, dir, nil
}

func (m module) output(ctx context.Context, args ...string) (string, error) {
	var out, stderr strings.Builder
	err := m.run(ctx, &out, &stderr, args...)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(out.String()), err
}

func (m module) run(ctx context.Context, stdout, stderr io.Writer, args ...string) error {
	args = slices.Concat(args[:1], m.flags, args[1:])
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // G204: the arguments are those of this program.
	cmd.Dir, cmd.Stdout, cmd.Stderr = m.root, stdout, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w", args[0], err)
	}
	return nil
}
