package kubernetes

import (
	stdjson "encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// values are those of the chart that ours set: what its values.schema.json of
// version 0.170.0 allows. What it hands on to a pod has the pod's types.
type values struct {
	Mode             string `json:"mode"`
	FullnameOverride string `json:"fullnameOverride"`
	ReplicaCount     int    `json:"replicaCount"`
	Image            struct {
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
	} `json:"image"`
	ServiceAccount struct {
		Create                       bool  `json:"create"`
		AutomountServiceAccountToken *bool `json:"automountServiceAccountToken"`
	} `json:"serviceAccount"`
	ClusterRole struct {
		Create bool                `json:"create"`
		Rules  []rbacv1.PolicyRule `json:"rules"`
	} `json:"clusterRole"`
	Service struct {
		Type      corev1.ServiceType `json:"type"`
		ClusterIP string             `json:"clusterIP"`
	} `json:"service"`
	PodDisruptionBudget struct {
		Enabled        bool `json:"enabled"`
		MaxUnavailable int  `json:"maxUnavailable"`
	} `json:"podDisruptionBudget"`
	Rollout struct {
		Strategy      string `json:"strategy"`
		RollingUpdate struct {
			MaxUnavailable string `json:"maxUnavailable"`
		} `json:"rollingUpdate"`
	} `json:"rollout"`
	Ports map[string]struct {
		Enabled bool `json:"enabled"`
	} `json:"ports"`
	HostPID           bool                        `json:"hostPID"`
	Tolerations       []corev1.Toleration         `json:"tolerations"`
	SecurityContext   *corev1.SecurityContext     `json:"securityContext"`
	Resources         corev1.ResourceRequirements `json:"resources"`
	ExtraEnvs         []corev1.EnvVar             `json:"extraEnvs"`
	ExtraVolumes      []corev1.Volume             `json:"extraVolumes"`
	ExtraVolumeMounts []corev1.VolumeMount        `json:"extraVolumeMounts"`
	AlternateConfig   stdjson.RawMessage          `json:"alternateConfig"`
}

// The chart makes of its values what kustomize makes of the manifests.
func TestTheValuesOfTheChartSayTheSame(t *testing.T) {
	for _, name := range []string{"agent", "gateway"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("helm/" + name + ".yaml")
			require.NoError(t, err)
			text, err = yaml.YAMLToJSONStrict(text)
			require.NoError(t, err)
			var v values
			unknown, err := json.UnmarshalStrict(text, &v) // case matters, too
			require.NoError(t, err)
			require.Empty(t, unknown)
			c := build(t, name)
			pod := c.pods[0].Spec
			container := pod.Containers[0]

			require.Equal(t, pod.HostPID, v.HostPID)
			require.Equal(t, pod.Tolerations, v.Tolerations)
			require.Equal(t, container.SecurityContext, v.SecurityContext)
			require.Equal(t, container.Resources, v.Resources)
			require.Equal(t, container.Image, v.Image.Repository+":"+v.Image.Tag)
			require.Equal(t, c.rules, v.ClusterRole.Rules)
			// The first are the chart's own.
			require.Subset(t, pod.Volumes, v.ExtraVolumes)
			require.Subset(t, container.VolumeMounts, v.ExtraVolumeMounts)

			for _, files := range c.configs {
				for _, config := range files {
					ours, err := yaml.YAMLToJSON([]byte(config))
					require.NoError(t, err)
					require.JSONEq(t, string(ours), string(v.AlternateConfig))
				}
			}
		})
	}
}
