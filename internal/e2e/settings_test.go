package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// A setting is a field of the configuration, of one of three kinds.
type setting struct {
	Name, Description           string
	IsRequired, IsOps, IsSecret bool
	StringField                 *struct {
		DefaultValue string
		Rules        struct{ In []string }
	}
	IntField *struct {
		DefaultValue string
		Rules        struct{ Gte, Lte string }
	}
	BoolField *struct{}
}

// values describes the values that the setting takes.
func (s setting) values(t *testing.T) string {
	t.Helper()
	kind, standard := "", ""
	switch {
	case s.IsSecret:
		kind = "A secret"
	case s.StringField != nil && len(s.StringField.Rules.In) > 0:
		kind, standard = "`"+strings.Join(s.StringField.Rules.In, "` or `")+"`", s.StringField.DefaultValue
	case s.StringField != nil:
		kind, standard = "String", s.StringField.DefaultValue
	case s.IntField != nil && s.IntField.Rules.Lte != "":
		kind, standard = s.IntField.Rules.Gte+" to "+s.IntField.Rules.Lte, s.IntField.DefaultValue
	case s.IntField != nil:
		kind, standard = "Number", s.IntField.DefaultValue
	case s.BoolField != nil:
		kind, standard = "`true` or `false`", "false"
	default:
		t.Errorf("%s is of an unknown kind", s.Name)
	}
	if standard != "" {
		kind += "; default `" + standard + "`"
	}
	return kind
}

// settingRows returns the table of all settings, as the help has them, and with the values
// that the configuration allows.
func settingRows(t *testing.T) []string {
	t.Helper()
	var described struct{ Fields []setting }
	selfDescription(t, "config", &described)
	known := map[string]setting{}
	for _, s := range described.Fields {
		known[s.Name] = s
	}
	rows := [][]string{{"Setting", "Environment", "Required", "Values", "Meaning"}}
	flags, _ := helpFlags(t)
	for _, f := range flags {
		values := f.values()
		if s, is := known[f.name]; is {
			values = s.values(t)
			delete(known, f.name)
		}
		meaning, needed := strings.CutPrefix(f.text, "required: ")
		required := "No"
		if needed {
			required = "Yes"
		}
		environment := "BATON_" + strings.ToUpper(strings.ReplaceAll(f.name, "-", "_"))
		rows = append(rows, []string{"`" + f.name + "`", "`" + environment + "`", required, values, meaning + "."})
	}
	for name := range known {
		t.Errorf("the help does not have %s", name)
	}
	return tableRows(rows)
}

// unusedRows returns the table of the flags that have no use with this connector.
func unusedRows(t *testing.T) []string {
	t.Helper()
	_, unused := helpFlags(t)
	return tableRows([][]string{{"Flags of the SDK that have no use here, are deprecated, or are for tests"}, {"`" + strings.Join(unused, "`, `") + "`"}})
}

// A helpFlag is a flag as the help describes it.
type helpFlag struct{ name, kind, standard, text string }

// helpFlags returns the flags that the help describes, and the names of those that it only
// names.
func helpFlags(t *testing.T) ([]helpFlag, []string) {
	t.Helper()
	var described []helpFlag
	var unused []string
	_, flags, _ := strings.Cut(must(t, nil, "baton-segment", "--help").stdout, "\nCredentials:\n")
	line := regexp.MustCompile(`^ +(?:-\w, )?--([\w-]+)(?: ([\w-]+))? {3,}(\S.*)$`)
	name := regexp.MustCompile(`--[\w-]+`)
	standard := regexp.MustCompile(` \(default "?(.*?)"?\)$`)
	for text := range strings.Lines(flags) {
		text = strings.TrimRight(text, "\n")
		switch m := line.FindStringSubmatch(text); {
		case m != nil && (m[1] == "help" || m[1] == "version"):
		case m != nil:
			described = append(described, helpFlag{name: m[1], kind: m[2], text: m[3]})
		case strings.HasPrefix(text, "  --"):
			for _, n := range name.FindAllString(text, -1) {
				unused = append(unused, n[2:])
			}
		case strings.HasPrefix(text, "          "):
			described[len(described)-1].text += " " + strings.TrimSpace(text)
		}
	}
	for i, f := range described {
		if m := standard.FindStringSubmatch(f.text); m != nil {
			described[i].standard, described[i].text = m[1], strings.TrimSuffix(f.text, m[0])
		}
	}
	if len(described) < 20 || len(unused) < 20 {
		t.Fatalf("the help has %d flags, and the names of %d", len(described), len(unused))
	}
	return described, unused
}

// values describes the values that the flag takes.
func (f helpFlag) values() string {
	kind := "String"
	switch {
	case f.kind == "":
		kind = "`true` or `false`"
	case f.kind == "int":
		kind = "Number"
	case strings.HasSuffix(f.kind, "s"):
		kind = "Strings, separated by commas"
	}
	if f.standard != "" {
		kind += "; default `" + f.standard + "`"
	}
	return kind
}

// checkSettingsFile runs the program with the settings file of the guide. Environment
// variables override the file, and flags override both.
func checkSettingsFile(t *testing.T, blocks []string) {
	s := serve(t, sim.Demo())
	settings := strings.ReplaceAll(blocks[0], "<token>", s.Token())
	for name, c := range map[string]struct {
		file, variable string
		env, args      []string
		wrote          string
	}{
		"in the folder": {file: ".baton.yaml", wrote: "people.c1z"},
		"named":         {file: "mine.yml", variable: "mine.yml", wrote: "people.c1z"},
		"environment":   {file: ".baton.yaml", env: []string{"BATON_FILE=env.c1z"}, wrote: "env.c1z"},
		"flag":          {file: ".baton.yaml", env: []string{"BATON_FILE=env.c1z"}, args: []string{"-f", "flag.c1z"}, wrote: "flag.c1z"},
		"not looked at": {file: "other.yaml", env: []string{"BATON_TOKEN=" + s.Token()}, wrote: syncName},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(settings), 0o600); err != nil {
				t.Fatal(err)
			}
			env := slices.Concat(c.env, []string{"BATON_BASE_URL=" + s.URL, "BATON_CONFIG_PATH=" + c.variable})
			r := runIn(t, dir, env, program(t, "baton-segment"), c.args...)
			if r.code != 0 {
				t.Fatalf("exit code %d\n%s", r.code, r.stderr)
			}
			types := map[string]bool{}
			for _, row := range readFile(t, filepath.Join(dir, c.wrote)).resources {
				types[row.GetId().GetResourceType()] = true
			}
			if all := c.wrote == syncName; types[typeSource] != all || !types[typeUser] || !types[typeGroup] {
				t.Errorf("the file has %v", types)
			}
		})
	}
}
