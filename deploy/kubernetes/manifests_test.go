// Package kubernetes tests the manifests. It is a module of its own: nobody who
// builds the receiver needs kustomize or the types of Kubernetes.
package kubernetes

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func TestAgentAndGatewayAreWholeByThemselvesAndTogether(t *testing.T) {
	for folder, kinds := range map[string][]string{
		"agent":   {"ServiceAccount", "ConfigMap", "DaemonSet"},
		"gateway": {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget"},
		".": {"Namespace", "ServiceAccount", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "ConfigMap",
			"Service", "Deployment", "PodDisruptionBudget", "DaemonSet"},
	} {
		t.Run(folder, func(t *testing.T) {
			c := build(t, folder)
			require.ElementsMatch(t, kinds, c.kinds)
			c.requireWhole(t)
		})
	}
}

func TestTheAgentMayReadTheKernelAndNothingElse(t *testing.T) {
	agent := build(t, "agent").pods[0]
	require.True(t, agent.Spec.HostPID)
	require.False(t, agent.Spec.HostNetwork)
	require.False(t, *agent.Spec.AutomountServiceAccountToken)
	security := agent.Spec.Containers[0].SecurityContext
	require.Nil(t, security.Privileged)
	require.False(t, *security.AllowPrivilegeEscalation)
	require.True(t, *security.ReadOnlyRootFilesystem)
	require.Equal(t, &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"BPF", "PERFMON"}}, security.Capabilities)
	for _, mount := range agent.Spec.Containers[0].VolumeMounts {
		if mount.Name == "root" {
			require.True(t, mount.ReadOnly)
			require.Equal(t, corev1.MountPropagationHostToContainer, *mount.MountPropagation)
		}
	}
}

func TestTheGatewayMayWatchPodsAndNothingElse(t *testing.T) {
	c := build(t, "gateway")
	require.Equal(t, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}}}, c.rules)
	security := c.pods[0].Spec.Containers[0].SecurityContext
	require.True(t, *security.RunAsNonRoot)
	require.Equal(t, &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, security.Capabilities)
}

// The documentation's kustomization, of this checkout instead of the repository.
func TestTheDocumentationSaysHowToMakeThemYours(t *testing.T) {
	text, err := os.ReadFile("../../docs/kubernetes.md")
	require.NoError(t, err)
	_, yours, _ := strings.Cut(string(text), "```yaml\n")
	yours, _, _ = strings.Cut(yours, "```\n")
	remote := regexp.MustCompile(`github\.com/\S+//deploy/kubernetes\?ref=\S+`)
	require.Regexp(t, remote, yours)
	folder := t.TempDir()
	here, err := filepath.Abs(".")
	require.NoError(t, err)
	here, err = filepath.Rel(folder, here) // kustomize wants no other
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(remote.ReplaceAllString(yours, here)), 0o600))
	c := build(t, folder)
	require.Len(t, c.pods, 2)
	set := map[string]string{}
	for _, pod := range c.pods {
		require.Equal(t, "registry.company.example/otelcol-hotspot:0.1.0", pod.Spec.Containers[0].Image)
		for _, variable := range pod.Spec.Containers[0].Env {
			set[variable.Name] = variable.Value
		}
	}
	require.Equal(t, "https://otlp.company.example:4318", set["OTLP_HTTP_URL"])
	require.Equal(t, "dns:///otelcol-hotspot-gateway:4317", set["OTLP_ENDPOINT"])
}

func TestTheCollectorAcceptsItsConfigurations(t *testing.T) {
	configs := build(t, ".").configs
	require.Len(t, configs, 2)
	for _, files := range configs {
		for name, text := range files {
			t.Run(name, func(t *testing.T) { requireValid(t, text) })
		}
	}
}

func requireValid(t *testing.T, config string) {
	t.Helper()
	collector := os.Getenv("HOTSPOT_BINARY")
	require.FileExists(t, collector, "HOTSPOT_BINARY does not name the built distribution: run make kubernetes")
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	validate := exec.Command(collector, "validate", "--config="+path)
	validate.Env = append(os.Environ(), "HOTSPOT_STORAGE="+t.TempDir())
	output, err := validate.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// cluster is what kustomize makes of a folder.
type cluster struct {
	kinds     []string
	pods      []corev1.PodTemplateSpec
	configs   map[string]map[string]string // by name of the ConfigMap and of the file
	accounts  []string
	rules     []rbacv1.PolicyRule
	selectors []labels.Selector // of workloads, and of what is for them
}

// build decodes strictly: a field that a type does not have, or has twice, is an
// error.
func build(t *testing.T, folder string) cluster {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	require.NoError(t, err)
	c := cluster{configs: map[string]map[string]string{}}
	for _, resource := range made.Resources() {
		text, err := resource.AsYAML()
		require.NoError(t, err)
		object, kind, err := decoder(t).Decode(text, nil, nil)
		require.NoError(t, err, "%s", text)
		c.kinds = append(c.kinds, kind.Kind)
		switch o := object.(type) {
		case *appsv1.DaemonSet:
			c.pods = append(c.pods, o.Spec.Template)
			c.selectors = append(c.selectors, selector(t, o.Spec.Selector))
		case *appsv1.Deployment:
			c.pods = append(c.pods, o.Spec.Template)
			c.selectors = append(c.selectors, selector(t, o.Spec.Selector))
		case *policyv1.PodDisruptionBudget:
			c.selectors = append(c.selectors, selector(t, o.Spec.Selector))
		case *corev1.Service:
			c.selectors = append(c.selectors, labels.SelectorFromSet(o.Spec.Selector))
		case *corev1.ConfigMap:
			c.configs[o.Name] = o.Data
		case *corev1.ServiceAccount:
			c.accounts = append(c.accounts, o.Name)
		case *rbacv1.ClusterRole:
			c.rules = append(c.rules, o.Rules...)
		}
	}
	return c
}

func selector(t *testing.T, of *metav1.LabelSelector) labels.Selector {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(of)
	require.NoError(t, err)
	return s
}

func decoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme, policyv1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// requireWhole requires that all that is named is there.
func (c cluster) requireWhole(t *testing.T) {
	t.Helper()
	for _, selector := range c.selectors {
		of := slices.DeleteFunc(slices.Clone(c.pods), func(pod corev1.PodTemplateSpec) bool {
			return !selector.Matches(labels.Set(pod.Labels))
		})
		require.Len(t, of, 1, "pods of %s", selector)
	}
	for _, pod := range c.pods {
		require.Contains(t, c.accounts, pod.Spec.ServiceAccountName)
		container := pod.Spec.Containers[0]
		require.Equal(t, "registry.example/otelcol-hotspot:0.1.0", container.Image)
		require.NotEmpty(t, container.Resources.Requests)
		require.NotEmpty(t, container.Resources.Limits)
		mounted := map[string]string{}
		for _, mount := range container.VolumeMounts {
			mounted[mount.Name] = mount.MountPath
		}
		require.Len(t, mounted, len(pod.Spec.Volumes))
		for _, volume := range pod.Spec.Volumes {
			require.Contains(t, mounted, volume.Name)
			if volume.ConfigMap != nil {
				config := strings.TrimPrefix(container.Args[0], "--config="+mounted[volume.Name]+"/")
				require.Contains(t, c.configs[volume.ConfigMap.Name], config)
			}
		}
	}
}
