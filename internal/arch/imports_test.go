package arch

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// layout has the imports that the packages in and below a folder may have besides
// the standard library and each other. If several folders fit, the longest name
// decides. Test files may import anything.
var layout = map[string]struct {
	modules  []string // other modules
	packages []string // folders of this module
	never    []string // modules and folders that must not be reached on any path
}{
	"api": {never: []string{officialClient, batonSDK}},
	"segmentapi": {
		modules: []string{
			officialClient,
			"github.com/hashicorp/go-retryablehttp",
			"github.com/hashicorp/golang-lru/v2",
			"golang.org/x/sync",
		},
		never: []string{batonSDK, "connector", "internal/sim"},
	},
	"segmentapi/internal/details": {}, // The standard library only.
	"segmentapi/internal/pacing":  {}, // The same.
	"segmentapi/access": {
		modules:  []string{"golang.org/x/sync"}, // It reads users and groups in parallel.
		packages: []string{"segmentapi"},
		never:    []string{batonSDK, "connector", "internal/sim"},
	},
	"segmentapi/segmentapitest": {
		packages: []string{"internal/sim", "segmentapi"},
		never:    []string{batonSDK, "connector"},
	},
	"connector": {
		modules: []string{
			batonSDK,
			// The interfaces of baton-sdk require them.
			"github.com/grpc-ecosystem/go-grpc-middleware",
			"go.uber.org/zap",
			"google.golang.org/grpc",
			"google.golang.org/protobuf",
			// One request where several workers need the same.
			"golang.org/x/sync",
		},
		packages: []string{"segmentapi", "segmentapi/access"},
		never:    []string{"internal/sim"},
	},
	"connector/internal/syncstate": {
		modules: []string{batonSDK, "google.golang.org/grpc"},
		never:   []string{"segmentapi", "internal/sim"},
	},
	"connector/inprocess": {
		modules: []string{
			batonSDK,
			"github.com/grpc-ecosystem/go-grpc-middleware",
			"go.uber.org/zap",
			"google.golang.org/grpc",
			"google.golang.org/protobuf",
		},
		packages: []string{"connector"},
		never:    []string{"internal/sim"},
	},
	"connector/syncfile": {
		modules:  []string{batonSDK, "google.golang.org/protobuf"},
		packages: []string{"segmentapi", "segmentapi/access"},
		never:    []string{"internal/sim"},
	},
	"cmd/segment-iam": {
		modules: []string{
			"github.com/agnivade/levenshtein",
			"github.com/jedib0t/go-pretty/v6",
			"github.com/spf13/cobra",
			"golang.org/x/term",
		},
		packages: []string{"connector/syncfile", "segmentapi", "segmentapi/access"},
		never:    []string{"internal/sim"},
	},
	"cmd/segment-iam/internal/doctor": {
		// The fields of answers that the official client knows.
		modules:  []string{"github.com/segmentio/public-api-sdk-go"},
		packages: []string{"segmentapi", "segmentapi/access"},
		never:    []string{batonSDK, "connector", "internal/sim"},
	},
	"cmd/segment-iam/internal/graph": {
		modules:  []string{"github.com/mattn/go-runewidth"},
		packages: []string{"segmentapi/access"},
		never:    []string{batonSDK, "connector", "internal/sim"},
	},
	"cmd/baton-segment": {
		modules: []string{
			batonSDK,
			// The SDK's logger.
			"github.com/grpc-ecosystem/go-grpc-middleware",
			"go.uber.org/zap",
			// The SDK's command and settings.
			"github.com/spf13/cobra",
			"github.com/spf13/pflag",
			"github.com/spf13/viper",
			// Whether the log goes to a terminal.
			"golang.org/x/term",
			// The codes of errors, and the loggers that libraries share.
			"google.golang.org/grpc",
			"github.com/go-logr/logr",
			"go.opentelemetry.io/otel",
		},
		packages: []string{"connector"},
		never:    []string{"internal/sim"},
	},
	"cmd/segment-sim": {
		packages: []string{"internal/sim"},
		never:    []string{officialClient, batonSDK, "segmentapi"},
	},
	"internal/sim/simtest": {
		packages: []string{"internal/contract", "internal/sim"},
		never:    []string{officialClient, batonSDK},
	},
	"internal/sim": {
		packages: []string{"api"},
		never:    []string{officialClient, batonSDK},
	},
}

func TestImports(t *testing.T) {
	t.Parallel()
	all := packages(t)
	seen := map[string]bool{}
	for _, p := range all {
		folder, ours := p.ours()
		if !ours {
			continue
		}
		name := folder
		rule, ruled := layout[name]
		for !ruled && name != "." {
			name = path.Dir(name)
			rule, ruled = layout[name]
		}
		if !ruled {
			if !strings.HasPrefix(folder, "internal/") {
				t.Errorf("%s: the layout names no such folder", folder)
			}
			continue
		}
		seen[name] = true
		for _, imported := range p.Imports {
			if !allowed(all[imported], rule.modules, slices.Concat(rule.packages, []string{name})) {
				t.Errorf("%s imports %s", folder, imported)
			}
		}
		for _, dep := range p.Deps {
			d := all[dep]
			if slices.ContainsFunc(rule.never, func(forbidden string) bool { return within(d, forbidden) }) {
				t.Errorf("%s depends on %s", folder, dep)
			}
		}
	}
	for folder := range layout {
		if !seen[folder] {
			t.Errorf("%s: the layout names it, but it holds no package", folder)
		}
	}
}

func allowed(p goPackage, modules, folders []string) bool {
	if p.Standard {
		return true
	}
	if _, ours := p.ours(); ours {
		return slices.ContainsFunc(folders, func(name string) bool { return within(p, name) })
	}
	return p.Module != nil && slices.Contains(modules, p.Module.Path)
}
