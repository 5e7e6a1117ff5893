package charttest

import (
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Decode decodes a manifest into the type that Kubernetes has for it. A member that the type does not have, or that is there twice, is
// an error, and so is a kind that the chart is not known to make.
func Decode(manifest string) (any, error) {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(manifest), &kind); err != nil {
		return nil, fmt.Errorf("read kind: %w", err)
	}
	into := typed(kind)
	if into == nil {
		return nil, fmt.Errorf("unknown kind %s of %s", kind.Kind, kind.APIVersion)
	}
	text, err := yaml.YAMLToJSONStrict([]byte(manifest))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kind.Kind, err)
	}
	unknown, err := json.UnmarshalStrict(text, into)
	if err := errors.Join(append(unknown, err)...); err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind.Kind, err)
	}
	return into, nil
}

func typed(kind metav1.TypeMeta) any {
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 ConfigMap":
		return new(corev1.ConfigMap)
	case "v1 Service":
		return new(corev1.Service)
	case "v1 ServiceAccount":
		return new(corev1.ServiceAccount)
	case "apps/v1 Deployment":
		return new(appsv1.Deployment)
	case "batch/v1 Job":
		return new(batchv1.Job)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return new(autoscalingv2.HorizontalPodAutoscaler)
	case "policy/v1 PodDisruptionBudget":
		return new(policyv1.PodDisruptionBudget)
	case "networking.k8s.io/v1 NetworkPolicy":
		return new(networkingv1.NetworkPolicy)
	case "networking.k8s.io/v1 Ingress":
		return new(networkingv1.Ingress)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return new(serviceMonitor)
	case "gateway.networking.k8s.io/v1 HTTPRoute":
		return new(httpRoute)
	}
	return nil
}

// serviceMonitor is what the chart uses of the Prometheus operator's type.
type serviceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port     string          `json:"port"`
			Path     string          `json:"path"`
			Interval metav1.Duration `json:"interval"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// httpRoute is what the chart uses of the Gateway API's type.
type httpRoute struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		ParentRefs []struct {
			Name        string `json:"name"`
			Namespace   string `json:"namespace"`
			SectionName string `json:"sectionName"`
		} `json:"parentRefs"`
		Hostnames []string `json:"hostnames"`
		Rules     []struct {
			BackendRefs []struct {
				Name string `json:"name"`
				Port int32  `json:"port"`
			} `json:"backendRefs"`
		} `json:"rules"`
	} `json:"spec"`
}
