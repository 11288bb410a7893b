package sim

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"strings"
)

// idLength is the length of a KSUID. Segment's newer ids are KSUIDs.
const idLength = 27

// makeID derives an id that looks like Segment's from parts. The same parts give the
// same id in every run.
func makeID(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprintln(parts...)))
	digits := new(big.Int).SetBytes(sum[:]).Text(62)
	return strings.Repeat("0", max(0, idLength-len(digits))) + digits[:min(len(digits), idLength)]
}
