package segmentapi

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// Slow makes some tests go as far as is worth while now and then.
var Slow = flag.Bool("slow", false, "let tests that can take minutes do so")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
