package e2e

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// installedVersion is the version of the release that the tests make.
const installedVersion = "0.0.0-20260101000000-000000000000"

// checkArchive runs the commands in a folder with an archive that has the name and the
// programs that goreleaser gives it, and the checksums of that archive and another.
func checkArchive(t *testing.T, commands string) {
	t.Helper()
	dir := t.TempDir()
	config, err := os.ReadFile(filepath.Join(repository, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	project := regexp.MustCompile(`(?m)^project_name: (.+)$`).FindStringSubmatch(string(config))
	sums := regexp.MustCompile(`(?m)^  name_template: (.+)$`).FindStringSubmatch(string(config))
	if project == nil || sums == nil {
		t.Fatal("no project, or no name of the checksums")
	}
	name := project[1] + "_" + installedVersion + "_linux_amd64.tar.gz"
	archive, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	zipped := gzip.NewWriter(archive)
	files := tar.NewWriter(zipped)
	for _, m := range regexp.MustCompile(`(?m)^    binary: (.+)$`).FindAllStringSubmatch(string(config), -1) {
		content, readErr := os.ReadFile(program(t, m[1]))
		if err = errors.Join(readErr, files.WriteHeader(&tar.Header{Name: m[1], Mode: 0o755, Size: int64(len(content))})); err != nil {
			t.Fatal(err)
		}
		if _, err = files.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err = errors.Join(files.Close(), zipped.Close(), archive.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	hash.Write(content)
	list := fmt.Sprintf("%x  %s\n%064d  another.zip\n", hash.Sum(nil), name, 0)
	if err = os.WriteFile(filepath.Join(dir, sums[1]), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runScriptIn(t, dir, nil, commands, map[string]string{"<version>": installedVersion})
	if !strings.Contains(r.stdout, name+": OK\n") || !strings.Contains(r.stdout, "segment-iam version ") {
		t.Errorf("the commands print:\n%s%s", r.stdout, r.stderr)
	}
}

// checkGoInstall installs the last commit as a module, as a proxy serves it: without the
// nested module of the tools, and without what is not committed.
func checkGoInstall(t *testing.T, commands string) {
	t.Helper()
	const module = "github.com/baton-segment/baton-segment"
	const version = "v" + installedVersion
	served := filepath.Join(t.TempDir(), filepath.FromSlash(module))
	versions := filepath.Join(served, "@v")
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err == nil {
		err = os.MkdirAll(versions, 0o755)
	}
	mod, readErr := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err = errors.Join(err, readErr,
		os.WriteFile(filepath.Join(versions, "list"), nil, 0o600),
		os.WriteFile(filepath.Join(served, "@latest"), info, 0o600),
		os.WriteFile(filepath.Join(versions, version+".info"), info, 0o600),
		os.WriteFile(filepath.Join(versions, version+".mod"), mod, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	zipFile := filepath.Join(versions, version+".zip")
	if r := runIn(t, repository, nil, "git", "archive", "--format=zip", "--prefix="+module+"@"+version+"/", "--output="+zipFile, "HEAD", ".", ":(exclude)internal/tools"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	env := goEnv(t)
	proxy := strings.TrimSpace(runIn(t, repository, env, "go", "env", "GOPROXY").stdout)
	cache := strings.TrimSpace(runIn(t, repository, env, "go", "env", "GOMODCACHE").stdout)
	bin := t.TempDir()
	// The go command keeps an index of each module version, but this version has other files
	// with each commit.
	env = append(env, "GODEBUG=goindex=0", "GOBIN="+bin, "GOPROXY=file://"+strings.TrimSuffix(served, filepath.FromSlash(module))+","+proxy, "GONOSUMDB="+module)
	t.Cleanup(func() {
		removeModule(t, filepath.Join(cache, filepath.FromSlash(module)+"@"+version), filepath.Join(cache, "cache", "download", filepath.FromSlash(module), "@v", version))
	})
	if r := runIn(t, t.TempDir(), env, "sh", "-e", "-c", commands); r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	for _, name := range []string{"baton-segment", "segment-iam"} {
		if r := runIn(t, bin, nil, filepath.Join(bin, name), "--version"); r.code != 0 {
			t.Errorf("%s does not run: %s", name, r.stderr)
		}
	}
}

// removeModule removes a module from the module cache: its folder, which is read-only, and
// its files in the download cache.
func removeModule(t *testing.T, folder, files string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	downloaded, globErr := filepath.Glob(files + ".*")
	for _, file := range downloaded {
		err = errors.Join(err, os.Remove(file))
	}
	if err = errors.Join(err, globErr, os.RemoveAll(folder)); err != nil {
		t.Error(err)
	}
	_ = os.Remove(filepath.Dir(folder)) // Unless there are other versions.
}
