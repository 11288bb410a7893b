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

// The SDK's runner now and then ends with 0 although its run failed, so once
// proves nothing.
const failures = 40

// A run that cannot work says why in one line, keeps the token to itself and
// does not end with 0: schedulers read the code, people the line.
func TestRefusalsAreClear(t *testing.T) {
	t.Parallel()
	const badToken = "not-the-token-of-this-workspace"
	s := serve(t, sim.Demo())
	for name, c := range map[string]struct {
		env  []string
		args []string
		says []string
	}{
		"no token": {
			says: []string{"token"},
		},
		"empty token": {
			env:  []string{"BATON_TOKEN="},
			says: []string{"token"},
		},
		"bad token": {
			env:  []string{"BATON_TOKEN=" + badToken, "BATON_BASE_URL=" + s.URL},
			says: []string{"401", "token", "region"},
		},
		"unknown region": {
			env:  []string{"BATON_TOKEN=" + s.Token(), "BATON_REGION=mars"},
			says: []string{"region"},
		},
		"base URL without a scheme": {
			env:  []string{"BATON_TOKEN=" + s.Token(), "BATON_BASE_URL=not-a-url"},
			says: []string{"base URL"},
		},
		"base URL that would send the token in the clear": {
			env:  []string{"BATON_TOKEN=" + s.Token(), "BATON_BASE_URL=http://segment.example"},
			says: []string{"base URL", "https"},
		},
		"base URL with credentials": {
			env:  []string{"BATON_TOKEN=" + s.Token(), "BATON_BASE_URL=https://u:" + s.Token() + "@segment.example"},
			says: []string{"base URL", "credentials"},
		},
		"base URL with a query": {
			env:  []string{"BATON_TOKEN=" + s.Token(), "BATON_BASE_URL=https://segment.example?token=" + s.Token()},
			says: []string{"base URL", "query"},
		},
		"page size of none": {
			env:  s.env(),
			args: []string{"--page-size", "1001"},
			says: []string{"page-size", "1000"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range failures {
				dir := t.TempDir()
				level := []string{"debug", "info", "error"}[i%3]
				r := runIn(t, dir, c.env, filepath.Join(programs, "baton-segment"), append(c.args, "--log-level", level)...)
				if r.code == 0 {
					t.Fatalf("run %d: exit code 0\n%s%s", i, r.stdout, r.stderr)
				}
				if complaint := unclear(r.stderr, c.says); complaint != "" {
					t.Fatalf("run %d: %s\n%s", i, complaint, r.stderr)
				}
				for _, secret := range []string{s.Token(), badToken} {
					if where := leaks(t, dir, r, secret); where != "" {
						t.Fatalf("run %d: the token is in %s\n%s%s", i, where, r.stdout, r.stderr)
					}
				}
			}
		})
	}
}

// unclear reports what is wrong with the message of a failed run. Log entries
// aside, it is one line, which may have a heading, and contains all the words.
func unclear(stderr string, words []string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "{") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 || len(lines) > 2 {
		return fmt.Sprintf("%d lines beside the log, not one and a heading", len(lines))
	}
	last := strings.ToLower(lines[len(lines)-1])
	for _, word := range words {
		if !strings.Contains(last, strings.ToLower(word)) {
			return fmt.Sprintf("the last line does not say %q", word)
		}
	}
	return ""
}

// leaks names the place that holds a secret, among what a run printed and
// what it left behind.
func leaks(t *testing.T, dir string, r result, secret string) string {
	t.Helper()
	if strings.Contains(r.stdout, secret) {
		return "stdout"
	}
	if strings.Contains(r.stderr, secret) {
		return "stderr"
	}
	where := ""
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if strings.Contains(string(content), secret) {
			where = name
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return where
}
