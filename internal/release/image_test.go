package release

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// An image is the result of the Dockerfile: files, and how they are run.
type image struct {
	root       string
	workdir    string
	user       int
	entrypoint string
}

// certificatesFile is the file of root certificates on Debian, the system of the build
// stage.
const certificatesFile = "/etc/ssl/certs/ca-certificates.crt"

// buildImage executes the steps of the Dockerfile on this machine. A folder replaces
// /image, certificates replace the root certificates, and the context is without the
// files in .dockerignore. An unknown step is an error.
func buildImage(t *testing.T, certificates []byte) image {
	t.Helper()
	context := dockerContext(t)
	certificatesCopy := filepath.Join(t.TempDir(), "certificates")
	if err := os.WriteFile(certificatesCopy, certificates, 0o600); err != nil {
		t.Fatal(err)
	}
	img := image{root: t.TempDir()}
	if err := os.Chmod(img.root, 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"TARGETOS=linux", "TARGETARCH=" + runtime.GOARCH, "VERSION=" + version, "TAGS="}
	steps := dockerfile(t)
	if len(steps) == 0 || steps[0].name != "FROM" || !regexp.MustCompile(`^--platform=\$BUILDPLATFORM golang:\d+\.\d+\.\d+@sha256:[0-9a-f]{64} AS build$`).MatchString(steps[0].text) {
		t.Fatal("the Dockerfile does not begin with a stage that builds on the platform of the builder")
	}
	stage := "build"
	for _, s := range steps[1:] {
		step := stage + ": " + s.name + " " + s.text
		switch {
		case stage == "build" && s.name == "ARG":
			if name, _, _ := strings.Cut(s.text, "="); !strings.Contains(strings.Join(env, "\n"), name+"=") {
				t.Errorf("%s is not set", name)
			}
		case step == "build: WORKDIR /src", step == "build: COPY . .":
		case stage == "build" && s.name == "RUN":
			command := strings.ReplaceAll(" "+s.text, " "+certificatesFile, " "+certificatesCopy)
			command = strings.ReplaceAll(command, " /image/", " "+img.root+"/")
			mustRun(t, context, env, "sh", "-e", "-c", command)
		case step == "build: FROM scratch":
			stage = "scratch"
		case step == "scratch: COPY --from=build /image /":
		case stage == "scratch" && s.name == "WORKDIR":
			img.workdir = s.text
		case stage == "scratch" && s.name == "USER":
			user, group, _ := strings.Cut(s.text, ":")
			id, err := strconv.Atoi(user)
			if err != nil || id == 0 || group != user {
				t.Errorf("USER %s is not the number of a user without rights and of a group of the same number", s.text)
			}
			img.user = id
		case stage == "scratch" && s.name == "ENTRYPOINT":
			img.entrypoint = strings.TrimSuffix(strings.TrimPrefix(s.text, `["`), `"]`)
		default:
			t.Fatalf("the test does not know the step %q", step)
		}
	}
	return img
}

// A step is an instruction of the Dockerfile.
type step struct{ name, text string }

func dockerfile(t *testing.T) []step {
	t.Helper()
	var steps []step
	for line := range strings.Lines(read(t, shipped, "Dockerfile")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, text, _ := strings.Cut(line, " ")
		steps = append(steps, step{name, text})
	}
	return steps
}

// dockerContext copies the files that .dockerignore includes, and returns their folder.
func dockerContext(t *testing.T) string {
	t.Helper()
	var never []string
	var roots []string
	for i, line := range strings.Split(strings.TrimSpace(read(t, repository, ".dockerignore")), "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "*" && len(roots) == 0:
		case strings.HasPrefix(line, "!") && !strings.Contains(line, "/"):
			roots = append(roots, line[1:])
		case strings.HasPrefix(line, "**/"):
			never = append(never, line[3:])
		default:
			t.Fatalf(".dockerignore:%d: the test does not know %q", i+1, line)
		}
	}
	dir := t.TempDir()
	for _, name := range roots {
		copyInto(t, dir, name, never)
	}
	return dir
}

// copyInto copies a file or folder of the repository into dir.
func copyInto(t *testing.T, dir, name string, never []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(repository, name), func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(repository, file)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Mkdir(filepath.Join(dir, rel), 0o700)
		}
		for _, pattern := range never {
			if match, patternErr := path.Match(pattern, entry.Name()); match || patternErr != nil {
				return patternErr
			}
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkSameProgram compares the program in the image with that of the release. They are
// the same, although one of them was built in a folder that is no repository.
func checkSameProgram(t *testing.T, img image) {
	t.Helper()
	inImage := read(t, img.root, img.entrypoint)
	inRelease := read(t, released(t))
	if !bytes.Equal([]byte(inImage), []byte(inRelease)) {
		t.Errorf("the program in the image (%d bytes) and that of the release (%d bytes) differ", len(inImage), len(inRelease))
	}
}
