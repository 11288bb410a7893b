package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// runsPerRefusal is how often a failing program is run. The SDK's runner ends some
// failed runs with exit code 0, so one run proves nothing.
const runsPerRefusal = 40

// A program with wrong settings explains the error in one line for people, does
// not print the token, and never ends with exit code 0, which schedulers read.
func TestProgram_RefusesBadSettings(t *testing.T) {
	t.Parallel()
	const badToken = "not-the-token-of-this-workspace"
	s := serve(t, sim.Demo())
	for name, c := range map[string]struct {
		env   []string
		args  []string
		words []string
	}{
		"no token": {
			words: []string{"token"},
		},
		"empty token": {
			env:   []string{"BATON_TOKEN="},
			words: []string{"token"},
		},
		"bad token": {
			env:   []string{"BATON_TOKEN=" + badToken, "BATON_BASE_URL=" + s.URL},
			words: []string{"401", "token", "region"},
		},
		"unknown region": {
			env:   []string{"BATON_TOKEN=" + s.Token(), "BATON_REGION=mars"},
			words: []string{"region"},
		},
		"base URL without a scheme": {
			env:   []string{"BATON_TOKEN=" + s.Token(), "BATON_BASE_URL=not-a-url"},
			words: []string{"base URL"},
		},
		"base URL that would send the token in the clear": {
			env:   []string{"BATON_TOKEN=" + s.Token(), "BATON_BASE_URL=http://segment.example"},
			words: []string{"base URL", "https"},
		},
		"base URL with credentials": {
			env:   []string{"BATON_TOKEN=" + s.Token(), "BATON_BASE_URL=https://u:" + s.Token() + "@segment.example"},
			words: []string{"base URL", "credentials"},
		},
		"base URL with a query": {
			env:   []string{"BATON_TOKEN=" + s.Token(), "BATON_BASE_URL=https://segment.example?token=" + s.Token()},
			words: []string{"base URL", "query"},
		},
		"page size above the limit": {
			env:   s.Env(),
			args:  []string{"--page-size", "1001"},
			words: []string{"page-size", "1000"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range runsPerRefusal {
				dir := t.TempDir()
				level := []string{"debug", "info", "error"}[i%3]
				r := runIn(t, dir, c.env, program(t, "baton-segment"), append(c.args, "--log-level", level)...)
				if r.code == 0 {
					t.Fatalf("run %d: exit code 0\n%s%s", i, r.stdout, r.stderr)
				}
				if problem := unclear(r.stderr, c.words); problem != "" {
					t.Fatalf("run %d: %s\n%s", i, problem, r.stderr)
				}
				for _, secret := range []string{s.Token(), badToken} {
					if where := findSecret(t, dir, r, secret); where != "" {
						t.Fatalf("run %d: the token is in %s\n%s%s", i, where, r.stdout, r.stderr)
					}
				}
			}
		})
	}
}

// unclear returns the defect of a failed run's message, or "". Besides log
// entries, stderr must be one line that contains all the words, possibly below a
// heading.
func unclear(stderr string, words []string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "{") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 || len(lines) > 2 {
		return fmt.Sprintf("%d lines besides the log, want one and a heading", len(lines))
	}
	last := strings.ToLower(lines[len(lines)-1])
	for _, word := range words {
		if !strings.Contains(last, strings.ToLower(word)) {
			return fmt.Sprintf("the last line does not contain %q", word)
		}
	}
	return ""
}

// findSecret returns where a run has printed a secret or written it into its
// folder, or "".
func findSecret(t *testing.T, dir string, r result, secret string) string {
	t.Helper()
	if strings.Contains(r.stdout, secret) {
		return "stdout"
	}
	if strings.Contains(r.stderr, secret) {
		return "stderr"
	}
	found := ""
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if strings.Contains(string(content), secret) {
			found = name
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
