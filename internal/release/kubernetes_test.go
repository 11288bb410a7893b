package release

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

// The fields of kubernetes.yaml and cronjob.yaml. Any other field is an error.
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
	networkPolicy struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   metadata
		Spec       struct {
			PodSelector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			} `yaml:"podSelector"`
			PolicyTypes []string `yaml:"policyTypes"`
		}
	}
	claim struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   metadata
		Spec       struct {
			AccessModes []string `yaml:"accessModes"`
			Resources   struct{ Requests map[string]string }
		}
	}
	cronJob struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   metadata
		Spec       struct {
			Schedule                string
			ConcurrencyPolicy       string `yaml:"concurrencyPolicy"`
			StartingDeadlineSeconds int    `yaml:"startingDeadlineSeconds"`
			JobTemplate             struct {
				Spec struct {
					BackoffLimit          int `yaml:"backoffLimit"`
					ActiveDeadlineSeconds int `yaml:"activeDeadlineSeconds"`
					Template              struct{ Spec pod }
				}
			} `yaml:"jobTemplate"`
		}
	}
	pod struct {
		RestartPolicy                 string `yaml:"restartPolicy"`
		AutomountServiceAccountToken  *bool  `yaml:"automountServiceAccountToken"`
		TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
		SecurityContext               struct {
			RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
			RunAsUser      int                   `yaml:"runAsUser"`
			RunAsGroup     int                   `yaml:"runAsGroup"`
			FSGroup        int                   `yaml:"fsGroup"`
			SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		Containers []podContainer
		Volumes    []struct {
			Name     string
			EmptyDir *struct {
				SizeLimit string `yaml:"sizeLimit"`
			} `yaml:"emptyDir"`
			PersistentVolumeClaim *struct {
				ClaimName string `yaml:"claimName"`
			} `yaml:"persistentVolumeClaim"`
		}
	}
	podContainer struct {
		Name, Image string
		Args        []string
		EnvFrom     []struct {
			SecretRef struct{ Name string } `yaml:"secretRef"`
		} `yaml:"envFrom"`
		Env []struct {
			Name, Value string
			ValueFrom   struct {
				FieldRef struct {
					FieldPath string `yaml:"fieldPath"`
				} `yaml:"fieldRef"`
			} `yaml:"valueFrom"`
		}
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
	s, d, n := decodeDocument[secret](t, decoder), decodeDocument[deployment](t, decoder), decodeDocument[networkPolicy](t, decoder)
	expectEnd(t, decoder)
	if s.APIVersion != "v1" || s.Kind != "Secret" || d.APIVersion != "apps/v1" || d.Kind != "Deployment" ||
		n.APIVersion != "networking.k8s.io/v1" || n.Kind != "NetworkPolicy" {
		t.Fatalf("not a Secret, a Deployment and a NetworkPolicy: %s %s, %s %s, %s %s", s.APIVersion, s.Kind, d.APIVersion, d.Kind, n.APIVersion, n.Kind)
	}
	if len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%d containers, want 1", len(d.Spec.Template.Spec.Containers))
	}
	if diff := cmp.Diff(d.Spec.Selector.MatchLabels, n.Spec.PodSelector.MatchLabels); diff != "" || !slices.Equal(n.Spec.PolicyTypes, []string{"Ingress"}) {
		t.Errorf("the NetworkPolicy does not close the Deployment's pods to others: %v\n%s", n.Spec.PolicyTypes, diff)
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
	checkPod(t, s, p)
	checkProbes(t, c)
}

// A nightly run has what the service has, and writes a new file into the volume.
func TestKubernetes_CronJob(t *testing.T) {
	t.Parallel()
	decoder := yaml.NewDecoder(strings.NewReader(read(t, shipped, "cronjob.yaml")))
	s, v, j := decodeDocument[secret](t, decoder), decodeDocument[claim](t, decoder), decodeDocument[cronJob](t, decoder)
	expectEnd(t, decoder)
	p := j.Spec.JobTemplate.Spec.Template.Spec
	if j.APIVersion != "batch/v1" || j.Kind != "CronJob" || v.Kind != "PersistentVolumeClaim" || len(p.Containers) != 1 {
		t.Fatalf("not a CronJob of one container and a volume: %s %s, %s", j.APIVersion, j.Kind, v.Kind)
	}
	if j.Spec.ConcurrencyPolicy != "Forbid" || p.RestartPolicy != "Never" || j.Spec.JobTemplate.Spec.ActiveDeadlineSeconds == 0 {
		t.Errorf("runs may be concurrent, be restarted or never end: %+v", j.Spec)
	}
	if p.SecurityContext.FSGroup != p.SecurityContext.RunAsGroup {
		t.Errorf("the program runs as group %d, the volume belongs to group %d", p.SecurityContext.RunAsGroup, p.SecurityContext.FSGroup)
	}
	checkPod(t, s, p)
	c := p.Containers[0]
	if _, d := kubernetes(t); !cmp.Equal(c.Resources, d.Spec.Template.Spec.Containers[0].Resources) || c.Image != d.Spec.Template.Spec.Containers[0].Image {
		t.Error("its memory or image is not that of the Deployment")
	}
	named := false
	for _, e := range c.Env {
		named = named || e.ValueFrom.FieldRef.FieldPath == "metadata.name" && slices.Equal(c.Args, []string{"--file=/data/$(" + e.Name + ").c1z"})
	}
	if !named {
		t.Errorf("a run does not have a file of its own: %v", c.Args)
	}
	for _, volume := range p.Volumes {
		if volume.PersistentVolumeClaim != nil && volume.PersistentVolumeClaim.ClaimName != v.Metadata.Name {
			t.Errorf("there is no volume claim %s", volume.PersistentVolumeClaim.ClaimName)
		}
	}
	known := settings(t)
	for name := range s.StringData {
		if !known[name] {
			t.Errorf("the program does not read %s", name)
		}
	}
}

// checkPod checks that the pod gets the secret, may write to its volumes alone, has no
// rights, and has an image that does not change by itself.
func checkPod(t *testing.T, s secret, p pod) {
	t.Helper()
	c := p.Containers[0]
	if !regexp.MustCompile(`^[^:@]+:\d+\.\d+\.\d+$`).MatchString(c.Image) {
		t.Errorf("the image %s has no fixed version", c.Image)
	}
	if len(c.EnvFrom) != 1 || c.EnvFrom[0].SecretRef.Name != s.Metadata.Name {
		t.Errorf("the environment comes from %v, not from the Secret", c.EnvFrom)
	}
	if len(p.Volumes) != len(c.VolumeMounts) {
		t.Errorf("%d volumes, %d mounts", len(p.Volumes), len(c.VolumeMounts))
	}
	for i, v := range p.Volumes {
		if v.Name != c.VolumeMounts[i].Name {
			t.Errorf("volume %s is not mounted", v.Name)
		}
		if v.EmptyDir == nil && v.PersistentVolumeClaim == nil || v.EmptyDir != nil && v.EmptyDir.SizeLimit == "" {
			t.Errorf("volume %s is nothing, or may grow without limit", v.Name)
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

// settings returns the flags of the program's help, and their environment variables.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	for _, flag := range regexp.MustCompile(`--[a-z0-9-]+`).FindAllString(mustRun(t, "", nil, released(t), "--help"), -1) {
		known[flag] = true
		known["BATON_"+strings.ToUpper(strings.ReplaceAll(flag[2:], "-", "_"))] = true
	}
	return known
}
