package config

import (
	"go/format"
	"os"
	"testing"

	sdk "github.com/conductorone/baton-sdk/pkg/config"
	"github.com/conductorone/baton-sdk/pkg/field"
	"github.com/google/go-cmp/cmp"
)

// The committed code is what go generate makes of the schema.
func TestSchema_GeneratedCodeIsCurrent(t *testing.T) {
	want, err := os.ReadFile("conf.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	sdk.Generate("segment", Schema())
	got, err := os.ReadFile("conf.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	// The SDK's generator leaves the formatting to go generate's second step.
	if got, err = format.Source(got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run go generate (-committed +generated):\n%s", diff)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg Segment
		ok  bool
	}{
		"as a user has it": {Segment{Token: "t", Region: "us", PageSize: 1000}, true},
		"europe":           {Segment{Token: "t", Region: "eu", PageSize: 1}, true},
		"capitals":         {Segment{Token: "t", Region: "US", PageSize: 1}, true},
		"capitals, europe": {Segment{Token: "t", Region: "EU", PageSize: 1}, true},
		"as in addresses":  {Segment{Token: "t", Region: "eu1", PageSize: 1}, true},
		"no token":         {Segment{Region: "us", PageSize: 1000}, false},
		"another region":   {Segment{Token: "t", Region: "mars", PageSize: 1000}, false},
		"page too large":   {Segment{Token: "t", Region: "us", PageSize: 1001}, false},
		"page below one":   {Segment{Token: "t", Region: "us", PageSize: -1}, false},
	} {
		if err := field.Validate(Schema(), &c.cfg); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, f := range Schema().Fields {
		if secret := f.FieldName == "token"; f.Secret != secret || f.Required != secret {
			t.Errorf("%s: secret %v, required %v", f.FieldName, f.Secret, f.Required)
		}
	}
}
