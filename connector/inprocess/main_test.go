package inprocess_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if temporary files are left behind, even by an example. The run has
// a folder of its own for them.
func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "inprocess-")
	if err != nil {
		return 0, err
	}
	err = os.Setenv("TMPDIR", dir)
	code := 0
	if err == nil {
		if code = m.Run(); code == 0 {
			err = goleak.Find()
		}
		entries, readErr := os.ReadDir(dir)
		err = errors.Join(err, readErr)
		for _, e := range entries {
			err = errors.Join(err, fmt.Errorf("left behind: %s", e.Name()))
		}
	}
	return code, errors.Join(err, os.RemoveAll(dir))
}
