package arch

import (
	"go/types"
	"slices"
	"strings"
	"testing"
)

// Only a program may replace the loggers that all packages of a process share: a package
// that is embedded in another program must not.
func TestLibrariesKeepLoggers(t *testing.T) {
	t.Parallel()
	shared := []string{
		"log.SetFlags", "log.SetOutput", "log.SetPrefix",
		"log/slog.SetDefault", "log/slog.SetLogLoggerLevel",
		"go.uber.org/zap.RedirectStdLog", "go.uber.org/zap.ReplaceGlobals",
		"go.opentelemetry.io/otel.SetErrorHandler", "go.opentelemetry.io/otel.SetLogger",
		"google.golang.org/grpc/grpclog.SetLoggerV2",
	}
	used := 0
	for _, p := range checkedPackages(t) {
		for ident, object := range p.info.Uses {
			f, is := object.(*types.Func)
			if !is || f.Pkg() == nil || f.Signature().Recv() != nil || !slices.Contains(shared, f.Pkg().Path()+"."+f.Name()) {
				continue
			}
			used++
			if !strings.HasPrefix(p.folder, "cmd/") {
				t.Errorf("%s: %s: uses %s", p.folder, p.fset.Position(ident.Pos()), f.FullName())
			}
		}
	}
	if used == 0 {
		t.Error("no package uses any: not even a program is seen")
	}
}
