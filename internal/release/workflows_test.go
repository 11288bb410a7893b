package release

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The fields of a workflow. Any other field is an error.
type (
	workflow struct {
		Name        string
		On          map[string]any
		Permissions map[string]string
		Concurrency struct {
			Group            string
			CancelInProgress *bool `yaml:"cancel-in-progress"`
		}
		Jobs map[string]job
	}
	job struct {
		Needs          string
		If             string
		RunsOn         string `yaml:"runs-on"`
		TimeoutMinutes int    `yaml:"timeout-minutes"`
		Permissions    map[string]string
		Steps          []jobStep
	}
	jobStep struct {
		ID   string
		Uses string
		With map[string]any
		Env  map[string]string
		Run  string
	}
)

// mayWrite has the jobs that need permissions to write, and which.
var mayWrite = map[string][]string{
	"release.yaml programs": {"contents", "id-token", "attestations"},
	"release.yaml image":    {"id-token"},
}

// Every workflow has timeouts and the least permissions, pins its actions, and calls
// make targets that exist.
func TestWorkflows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(repository, ".github", "workflows", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	help := mustRun(t, repository, nil, "make", "help")
	var commands []string
	for _, file := range files {
		w := readYAML[workflow](t, file)
		if len(w.On) == 0 || w.Concurrency.Group == "" || w.Concurrency.CancelInProgress == nil || len(w.Jobs) == 0 {
			t.Errorf("%s: its events, its concurrency or its jobs are missing", file)
		}
		checkPermissions(t, file, "", w.Permissions)
		for name, j := range w.Jobs {
			if j.TimeoutMinutes == 0 || j.RunsOn == "" {
				t.Errorf("%s: %s has no timeout, or nothing to run on", file, name)
			}
			if _, ok := w.Jobs[j.Needs]; j.Needs != "" && !ok {
				t.Errorf("%s: %s needs %s, which does not exist", file, name, j.Needs)
			}
			checkPermissions(t, file, name, j.Permissions)
			for _, s := range j.Steps {
				checkStep(t, file, s)
				for line := range strings.Lines(s.Run) {
					commands = append(commands, strings.TrimSpace(line))
				}
			}
		}
	}
	for _, c := range commands {
		name, isMake := strings.CutPrefix(c, "make ")
		if isMake && !regexp.MustCompile(`(?m)^  make `+regexp.QuoteMeta(name)+` `).MatchString(help) {
			t.Errorf("a workflow calls %q, which make help does not list:\n%s", c, help)
		}
	}
	for _, want := range []string{
		"make test", "make lint", "make release-snapshot", "make lambda",
		"go tool -modfile=internal/tools/go.mod govulncheck ./...",
	} {
		if !slices.Contains(commands, want) {
			t.Errorf("no workflow calls %q", want)
		}
	}
}

func checkPermissions(t *testing.T, file, job string, permissions map[string]string) {
	t.Helper()
	if len(permissions) == 0 {
		t.Errorf("%s: %s has the default permissions of the repository", file, job)
	}
	for what, level := range permissions {
		if level != "read" && !slices.Contains(mayWrite[strings.TrimSpace(filepath.Base(file)+" "+job)], what) {
			t.Errorf("%s: %s may %s %s", file, job, level, what)
		}
	}
}

func checkStep(t *testing.T, file string, s jobStep) {
	t.Helper()
	action, _, _ := strings.Cut(s.Uses, "@")
	for name, want := range map[string]map[string]string{
		"actions/checkout":         {"persist-credentials": "false"},
		"actions/setup-go":         {"go-version-file": "go.mod"},
		"docker/build-push-action": {"context": ".", "file": "cmd/baton-segment/Dockerfile"},
	}[action] {
		if fmt.Sprint(s.With[name]) != want {
			t.Errorf("%s: %s with %s %v, want %s", file, action, name, s.With[name], want)
		}
	}
	if s.Uses == "" && s.Run == "" {
		t.Errorf("%s: a step does nothing", file)
	}
}

// An action is pinned to a commit, because a tag can be moved. Beside it is the version,
// which people read and Dependabot updates. Each action has one version.
func TestWorkflows_PinActions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(repository, ".github", "workflows", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	pinned := regexp.MustCompile(`^([\w./-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)$`)
	pins := map[string]string{}
	for _, file := range files {
		for line := range strings.Lines(read(t, file)) {
			_, uses, found := strings.Cut(line, "uses: ")
			if !found {
				continue
			}
			m := pinned.FindStringSubmatch(strings.TrimSpace(uses))
			if m == nil {
				t.Errorf("%s: %s is not pinned to a commit with its version", file, uses)
				continue
			}
			if other, ok := pins[m[1]]; ok && other != m[2] {
				t.Errorf("%s is used as %s and as %s", m[1], other, m[2])
			}
			pins[m[1]] = m[2]
		}
	}
	if len(pins) == 0 {
		t.Error("no workflow uses an action")
	}
}

// The tools that build and sign a release do not change by themselves: the jobs that may
// write name exact versions of the tools, and use no cache that other workflows fill.
func TestWorkflows_ReleaseIsRepeatable(t *testing.T) {
	t.Parallel()
	w := readYAML[workflow](t, repository, ".github", "workflows", "release.yaml")
	var commands []string
	for name := range mayWrite {
		_, name, _ = strings.Cut(name, " ")
		for _, s := range w.Jobs[name].Steps {
			commands = append(commands, s.Run)
			switch action, _, _ := strings.Cut(s.Uses, "@"); action {
			case "actions/setup-go":
				if s.With["cache"] != false {
					t.Errorf("%s builds with a cache", name)
				}
			case "goreleaser/goreleaser-action":
				if v := fmt.Sprint(s.With["version"]); !regexp.MustCompile(`^v\d+\.\d+\.\d+$`).MatchString(v) {
					t.Errorf("%s uses goreleaser %s, which is no exact version", name, v)
				}
			case "actions/attest-build-provenance":
				config := readYAML[goreleaser](t, repository, ".goreleaser.yaml")
				if want := "dist/" + config.Checksum.NameTemplate; s.With["subject-checksums"] != want {
					t.Errorf("%s attests %v, not %s", name, s.With["subject-checksums"], want)
				}
			case "docker/build-push-action":
				if s.With["sbom"] != true || s.With["provenance"] != "mode=max" {
					t.Errorf("the image has sbom %v and provenance %v", s.With["sbom"], s.With["provenance"])
				}
			}
		}
	}
	if !slices.ContainsFunc(commands, func(c string) bool { return strings.HasPrefix(c, "cosign sign ") && strings.Contains(c, "@$DIGEST") }) {
		t.Error("the image is not signed by its digest")
	}
}

// The fields of dependabot.yml. Any other field is an error.
type dependabot struct {
	Version int
	Updates []struct {
		PackageEcosystem string `yaml:"package-ecosystem"`
		Directory        string
		Directories      []string
		Schedule         struct{ Interval string }
		Groups           map[string]struct {
			Patterns    []string
			UpdateTypes []string `yaml:"update-types"`
		}
		Ignore []ignored
	}
}

type ignored struct {
	DependencyName string `yaml:"dependency-name"`
}

// Every dependency is updated, except the two modules that are pinned to the versions
// that the code was checked against.
func TestDependencyUpdates(t *testing.T) {
	t.Parallel()
	config := readYAML[dependabot](t, repository, ".github", "dependabot.yml")
	var watched []string
	for _, u := range config.Updates {
		for _, dir := range append(u.Directories, u.Directory) {
			if dir != "" {
				watched = append(watched, u.PackageEcosystem+" "+dir)
			}
		}
		if u.PackageEcosystem != "gomod" {
			continue
		}
		for _, module := range []string{"github.com/segmentio/public-api-sdk-go", "github.com/conductorone/baton-sdk"} {
			if !strings.Contains(read(t, repository, "go.mod"), "\t"+module+" v") {
				t.Errorf("go.mod does not name %s", module)
			}
			if !slices.Contains(u.Ignore, ignored{module}) {
				t.Errorf("%s is updated, although its version is pinned", module)
			}
		}
	}
	slices.Sort(watched)
	want := []string{"docker /cmd/baton-segment", "github-actions /", "gomod /", "gomod /internal/tools"}
	if !slices.Equal(watched, want) {
		t.Errorf("updates for %v, want %v", watched, want)
	}
}
