package release

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The fields of .goreleaser.yaml. Any other field is an error.
type (
	goreleaser struct {
		Version     int
		ProjectName string `yaml:"project_name"`
		Builds      []struct {
			ID, Binary, Main string
			Env              []string
			Goos, Goarch     []string
			Flags            []string
			Ldflags          []string
			ModTimestamp     string `yaml:"mod_timestamp"`
		}
		Archives []struct {
			Formats         []string
			FormatOverrides []struct {
				Goos    string
				Formats []string
			} `yaml:"format_overrides"`
			Files []struct {
				Src  string
				Info struct{ Mtime string }
			}
		}
		Checksum struct {
			NameTemplate string `yaml:"name_template"`
		}
		Sboms []struct{ Artifacts string }
		Signs []struct {
			Cmd, Artifacts, Signature string
			Args                      []string
		}
		Changelog struct{ Use string }
	}
)

// setting reads a variable from the Makefile.
func setting(t *testing.T, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` *\??= (.*)$`).FindStringSubmatch(read(t, repository, "Makefile"))
	if m == nil {
		t.Fatalf("the Makefile does not set %s", name)
	}
	return m[1]
}

// goreleaser and `make release-snapshot` build the same programs the same way.
func TestGoreleaser_BuildsAsMakeReleaseSnapshot(t *testing.T) {
	t.Parallel()
	config := readYAML[goreleaser](t, repository, ".goreleaser.yaml")
	var programs []string
	for _, build := range config.Builds {
		programs = append(programs, build.ID)
		if build.Binary != build.ID || build.Main != "./cmd/"+build.ID || build.ModTimestamp != "{{ .CommitTimestamp }}" {
			t.Errorf("goreleaser builds %s of %s with the time %s", build.Binary, build.Main, build.ModTimestamp)
		}
		if diff := cmp.Diff(config.Builds[0].Ldflags, build.Ldflags); diff != "" {
			t.Errorf("goreleaser builds %s in another way:\n%s", build.ID, diff)
		}
	}
	if want := setting(t, "PROGRAMS"); strings.Join(programs, " ") != want {
		t.Errorf("goreleaser builds %v, make release-snapshot %s", programs, want)
	}
	build := config.Builds[0]
	var targets []string
	for _, system := range build.Goos {
		for _, processor := range build.Goarch {
			targets = append(targets, system+"/"+processor)
		}
	}
	if want := setting(t, "TARGETS"); strings.Join(targets, " ") != want {
		t.Errorf("goreleaser builds %v, make release-snapshot %s", targets, want)
	}
	flags := strings.Join(build.Flags, " ") + ` -ldflags="` + strings.Join(build.Ldflags, " ") + `"`
	command := strings.Join(build.Env, " ") + " $(GO) build " + strings.ReplaceAll(flags, "{{ .Version }}", "$(VERSION)")
	if want := setting(t, "RELEASE"); command != want {
		t.Errorf("goreleaser builds with %s, make release-snapshot with %s", command, want)
	}
	if config.Checksum.NameTemplate != "SHA256SUMS" || len(config.Sboms) != 1 {
		t.Errorf("a release lacks checksums or SBOMs: %+v, %+v", config.Checksum, config.Sboms)
	}
	if len(config.Signs) != 1 || config.Signs[0].Artifacts != "checksum" {
		t.Errorf("the checksums of a release are not signed: %+v", config.Signs)
	}
	for _, archive := range config.Archives {
		for _, file := range archive.Files {
			read(t, repository, file.Src)
			if file.Info.Mtime != "{{ .CommitDate }}" {
				t.Errorf("%s gets the time %q, which is not always the same", file.Src, file.Info.Mtime)
			}
		}
	}
}

// The checksums are those of the programs, and each program prints its version.
func TestReleaseSnapshot(t *testing.T) {
	t.Parallel()
	folder := filepath.Dir(released(t))
	want := ""
	for _, name := range strings.Fields(setting(t, "PROGRAMS")) {
		program := filepath.Join(folder, name+"_"+strings.ReplaceAll(target(), "/", "_"))
		want += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(read(t, program))), filepath.Base(program))
		if got := mustRun(t, "", nil, program, "--version"); !strings.HasSuffix(got, " "+version+"\n") {
			t.Errorf("%s: version %q, want %s", name, got, version)
		}
	}
	if got := read(t, folder, "SHA256SUMS"); got != want {
		t.Errorf("SHA256SUMS is %q, want %q", got, want)
	}
}

// If syft is missing, the output reports that there is no SBOM.
func TestReleaseSnapshot_ReportsMissingSBOM(t *testing.T) {
	t.Parallel()
	recipe := mustRun(t, repository, nil, "make", "--no-print-directory", "--dry-run", "release-snapshot", "VERSION="+version)
	recipe = recipe[strings.LastIndex(recipe, "if command -v syft"):]
	// A shell that finds no program at all.
	if got := mustRun(t, "", []string{"PATH="}, "/bin/sh", "-c", recipe); !strings.Contains(got, "release: SBOM SKIPPED: ") {
		t.Errorf("without syft it prints %q", got)
	}
}

// The programs compile for Windows, where signals and processes differ most. Linking
// without symbols, as a release does, takes half the time.
func TestPrograms_CompileForWindows(t *testing.T) {
	t.Parallel()
	mustRun(t, repository, []string{"GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0"}, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "./cmd/...")
}
