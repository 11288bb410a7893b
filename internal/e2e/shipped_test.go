package e2e

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"
)

// The files that ship with the program equal its output, which it prints without
// any configuration.
func TestProgram_PrintsShippedFiles(t *testing.T) {
	t.Parallel()
	for command, file := range map[string]string{
		"capabilities": "baton_capabilities.json",
		"config":       "config_schema.json",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			var indented bytes.Buffer
			if err := json.Indent(&indented, []byte(must(t, nil, "baton-segment", command).stdout), "", "  "); err != nil {
				t.Fatal(err)
			}
			var parsed any
			if err := json.Unmarshal(indented.Bytes(), &parsed); err != nil {
				t.Fatal(err)
			}
			// Sort the keys: protojson does not guarantee an order.
			sorted, err := json.MarshalIndent(parsed, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(repository, "cmd", "baton-segment", file), string(sorted)+"\n")
		})
	}
}
