package release

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// The fields of kubernetes.yaml. Any other field is an error.
type (
	metadata struct {
		Name   string
		Labels map[string]string
	}
	secret struct {
		APIVersion string `yaml:"apiVersion"`
		Kind, Type string
		Metadata   metadata
		StringData map[string]string `yaml:"stringData"`
	}
	deployment struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   metadata
		Spec       struct {
			Replicas int
			Strategy struct{ Type string }
			Selector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			}
			Template struct {
				Metadata metadata
				Spec     pod
			}
		}
	}
	pod struct {
		AutomountServiceAccountToken  *bool `yaml:"automountServiceAccountToken"`
		TerminationGracePeriodSeconds int   `yaml:"terminationGracePeriodSeconds"`
		SecurityContext               struct {
			RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
			RunAsUser      int                   `yaml:"runAsUser"`
			RunAsGroup     int                   `yaml:"runAsGroup"`
			SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		Containers []podContainer
		Volumes    []struct {
			Name     string
			EmptyDir *struct{} `yaml:"emptyDir"`
		}
	}
	podContainer struct {
		Name, Image string
		Args        []string
		EnvFrom     []struct {
			SecretRef struct{ Name string } `yaml:"secretRef"`
		} `yaml:"envFrom"`
		Env       []struct{ Name, Value string }
		Resources struct{ Requests, Limits map[string]string }
		Ports     []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		StartupProbe    probe `yaml:"startupProbe"`
		LivenessProbe   probe `yaml:"livenessProbe"`
		ReadinessProbe  probe `yaml:"readinessProbe"`
		SecurityContext struct {
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			Capabilities             struct{ Drop []string }
		} `yaml:"securityContext"`
		VolumeMounts []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	}
	probe struct {
		HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
		PeriodSeconds    int                         `yaml:"periodSeconds"`
		FailureThreshold int                         `yaml:"failureThreshold"`
	}
)

func kubernetes(t *testing.T) (secret, deployment) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(read(t, shipped, "kubernetes.yaml")))
	s, d := decodeDocument[secret](t, decoder), decodeDocument[deployment](t, decoder)
	expectEnd(t, decoder)
	if s.APIVersion != "v1" || s.Kind != "Secret" || d.APIVersion != "apps/v1" || d.Kind != "Deployment" {
		t.Fatalf("not a Secret and a Deployment: %s %s, %s %s", s.APIVersion, s.Kind, d.APIVersion, d.Kind)
	}
	if len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%d containers, want 1", len(d.Spec.Template.Spec.Containers))
	}
	return s, d
}

// The objects refer to each other, have the labels by which ConductorOne finds the pod,
// and give the program no rights.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	s, d := kubernetes(t)
	p := d.Spec.Template.Spec
	c := p.Containers[0]
	for what, labels := range map[string]map[string]string{
		"Secret": s.Metadata.Labels, "Deployment": d.Metadata.Labels, "pod": d.Spec.Template.Metadata.Labels,
	} {
		if labels["baton"] != "true" || labels["baton-app"] == "" {
			t.Errorf("%s: labels %v, want baton and baton-app", what, labels)
		}
	}
	for name, value := range d.Spec.Selector.MatchLabels {
		if d.Spec.Template.Metadata.Labels[name] != value {
			t.Errorf("the selector wants %s=%s, which the pod does not carry", name, value)
		}
	}
	for name, value := range s.StringData {
		if !regexp.MustCompile(`^<[^<>]+>$`).MatchString(value) {
			t.Errorf("%s is not a placeholder", name)
		}
	}
	if len(c.EnvFrom) != 1 || c.EnvFrom[0].SecretRef.Name != s.Metadata.Name {
		t.Errorf("the environment comes from %v, not from the Secret", c.EnvFrom)
	}
	if len(p.Volumes) != len(c.VolumeMounts) {
		t.Errorf("%d volumes, %d mounts", len(p.Volumes), len(c.VolumeMounts))
	}
	for i, v := range p.Volumes {
		if v.EmptyDir == nil || v.Name != c.VolumeMounts[i].Name {
			t.Errorf("volume %s is not an emptyDir that is mounted", v.Name)
		}
	}
	security := c.SecurityContext
	switch {
	case p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken:
		t.Error("the program gets a token for the cluster, which it does not need")
	case !p.SecurityContext.RunAsNonRoot || p.SecurityContext.RunAsUser == 0 || p.SecurityContext.RunAsGroup == 0:
		t.Error("the program may run as root")
	case p.SecurityContext.SeccompProfile.Type != "RuntimeDefault":
		t.Error("no seccomp profile")
	case security.AllowPrivilegeEscalation == nil || *security.AllowPrivilegeEscalation:
		t.Error("the program may get more rights")
	case !security.ReadOnlyRootFilesystem || len(security.Capabilities.Drop) != 1 || security.Capabilities.Drop[0] != "ALL":
		t.Error("the program may write to its root, or keeps capabilities")
	}
	limit, request := bytesOf(t, c.Resources.Limits["memory"]), bytesOf(t, c.Resources.Requests["memory"])
	if request > limit {
		t.Errorf("memory %d to %d", request, limit)
	}
	// The program waits up to 30 s for a change and 2 s for its outcome to be reported.
	if grace := p.TerminationGracePeriodSeconds; grace < 40 {
		t.Errorf("the program is killed after %d s, which may be in the middle of a change", grace)
	}
	checkProbes(t, c)
}

// checkProbes compares the ports of the probes with the port on which the program
// listens. TestImage sends the probes.
func checkProbes(t *testing.T, c podContainer) {
	t.Helper()
	if len(c.Ports) != 1 {
		t.Fatalf("ports %v, want one", c.Ports)
	}
	if want := "--health-check-port=" + strconv.Itoa(c.Ports[0].ContainerPort); !strings.Contains(strings.Join(c.Args, " "), want) {
		t.Errorf("%v lacks %s", c.Args, want)
	}
	for what, p := range probes(c) {
		if p.HTTPGet.Port != c.Ports[0].Name {
			t.Errorf("the %s probe uses port %s, the container has %v", what, p.HTTPGet.Port, c.Ports)
		}
	}
}

func probes(c podContainer) map[string]probe {
	return map[string]probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe}
}

// bytesOf reads an amount such as 512Mi.
func bytesOf(t *testing.T, amount string) int {
	t.Helper()
	m := regexp.MustCompile(`^(\d+)(Mi|Gi)$`).FindStringSubmatch(amount)
	if m == nil {
		t.Fatalf("not an amount of memory: %q", amount)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n << map[string]int{"Mi": 20, "Gi": 30}[m[2]]
}

// Every setting in the manifest is a setting of the program, which ignores unknown
// variables.
func TestKubernetes_UsesExistingSettings(t *testing.T) {
	t.Parallel()
	s, d := kubernetes(t)
	c := d.Spec.Template.Spec.Containers[0]
	known := settings(t)
	for _, arg := range c.Args {
		flag, _, _ := strings.Cut(arg, "=")
		if !known[flag] {
			t.Errorf("the program has no %s", flag)
		}
	}
	variables := []string{}
	for name := range s.StringData {
		variables = append(variables, name)
	}
	for _, v := range c.Env {
		variables = append(variables, v.Name)
	}
	for _, name := range variables {
		if !known[name] {
			t.Errorf("the program does not read %s", name)
		}
	}
}

// settings returns the flags and variables of the program: those in its help, and those
// that only its configuration schema has.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	program := released(t)
	known := map[string]bool{}
	for _, name := range regexp.MustCompile(`--[a-z0-9-]+|BATON_[A-Z0-9_]+`).FindAllString(mustRun(t, "", nil, program, "--help"), -1) {
		known[name] = true
	}
	for _, m := range regexp.MustCompile(`"name": ?"([a-z0-9-]+)"`).FindAllStringSubmatch(mustRun(t, "", nil, program, "config"), -1) {
		known["--"+m[1]] = true
		known["BATON_"+strings.ToUpper(strings.ReplaceAll(m[1], "-", "_"))] = true
	}
	return known
}
