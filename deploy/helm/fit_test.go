package helm_test

import (
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Whatever selects pods selects those of one Deployment or Job, by labels that its pods have.
func TestSelectorsMatch(t *testing.T) {
	eachGolden(t, func(t *testing.T, objects []object) {
		for _, one := range objects {
			switch one.Kind {
			case "Service":
				selects(t, objects, one, mapping(t, one.Spec.Selector))
			case "Deployment", "PodDisruptionBudget":
				selects(t, objects, one, labels(t, one.Spec.Selector))
			case "NetworkPolicy":
				selects(t, objects, one, one.Spec.PodSelector.MatchLabels)
			case "ServiceMonitor":
				count := 0
				for _, service := range ofKind(objects, "Service") {
					if matches(labels(t, one.Spec.Selector), service.Metadata.Labels) {
						count++
						if len(one.Spec.Endpoints) != 1 || service.Spec.Ports[0].Name != one.Spec.Endpoints[0].Port {
							t.Errorf("ServiceMonitor %s scrapes a port that %s does not have", one.Metadata.Name, service.Metadata.Name)
						}
					}
				}
				if count != 1 {
					t.Errorf("ServiceMonitor %s selects %d Services, want 1", one.Metadata.Name, count)
				}
			}
			for _, spread := range one.Spec.Template.Spec.TopologySpreadConstraints {
				selects(t, objects, one, spread.LabelSelector.MatchLabels)
			}
		}
	})
}

// Ports that Services, routes, probes and policies name are there.
func TestPortsExist(t *testing.T) {
	eachGolden(t, func(t *testing.T, objects []object) {
		for _, service := range ofKind(objects, "Service") {
			pods := selects(t, objects, service, mapping(t, service.Spec.Selector))
			for _, port := range service.Spec.Ports {
				if !pods.has(port.TargetPort) {
					t.Errorf("Service %s leads to the port %q, which its pods do not have", service.Metadata.Name, port.TargetPort)
				}
				if (port.TargetPort == "admin") != (service.Metadata.Labels["countersign/service"] == "admin") {
					t.Errorf("Service %s mixes public ports and the admin port", service.Metadata.Name)
				}
				if port.TargetPort == "admin" && service.Spec.Type != "ClusterIP" {
					t.Errorf("Service %s shows the admin port outside", service.Metadata.Name)
				}
			}
		}
		for _, policy := range ofKind(objects, "NetworkPolicy") {
			pods := selects(t, objects, policy, policy.Spec.PodSelector.MatchLabels)
			for _, rule := range policy.Spec.Ingress {
				for _, port := range rule.Ports {
					if !pods.has(port.Port.Value) {
						t.Errorf("NetworkPolicy %s lets in to the port %q, which its pods do not have", policy.Metadata.Name, port.Port.Value)
					}
					if port.Port.Value == "admin" && len(rule.From) == 0 {
						t.Errorf("NetworkPolicy %s lets anybody to the admin port", policy.Metadata.Name)
					}
				}
			}
		}
		for _, entry := range slices.Concat(ofKind(objects, "Ingress"), ofKind(objects, "HTTPRoute")) {
			for _, rule := range entry.Spec.Rules {
				for _, path := range rule.HTTP.Paths {
					backend := path.Backend.Service
					leads(t, objects, entry, backend.Name, func(p servicePort) bool { return p.Name == backend.Port.Name })
				}
				for _, backend := range rule.BackendRefs {
					leads(t, objects, entry, backend.Name, func(p servicePort) bool { return p.Port == backend.Port })
				}
			}
		}
	})
}

// What says how many pods there are does not contradict what else does.
func TestScaling(t *testing.T) {
	eachGolden(t, func(t *testing.T, objects []object) {
		scaled := map[string]bool{}
		for _, scaler := range ofKind(objects, "HorizontalPodAutoscaler") {
			scaled[scaler.Spec.ScaleTargetRef.Name] = true
			if target := named(objects, scaler.Spec.ScaleTargetRef.Kind, scaler.Spec.ScaleTargetRef.Name); target == nil {
				t.Errorf("autoscaler %s scales nothing", scaler.Metadata.Name)
			} else if target.Spec.Template.Spec.Containers[0].Resources.Requests["cpu"] == "" {
				t.Errorf("autoscaler %s: its pods request no processor time", scaler.Metadata.Name)
			}
			if scaler.Spec.MinReplicas < 1 || scaler.Spec.MinReplicas > scaler.Spec.MaxReplicas {
				t.Errorf("autoscaler %s: %d to %d", scaler.Metadata.Name, scaler.Spec.MinReplicas, scaler.Spec.MaxReplicas)
			}
		}
		for _, one := range ofKind(objects, "Deployment") {
			if (one.Spec.Replicas == nil) != scaled[one.Metadata.Name] {
				t.Errorf("Deployment %s has replicas and an autoscaler, or neither", one.Metadata.Name)
			}
			if most := one.Spec.Strategy.RollingUpdate.MaxUnavailable; most == nil || *most != 0 {
				t.Errorf("Deployment %s lets pods go before others are ready", one.Metadata.Name)
			}
			// maxUnavailable lets a single pod go; minAvailable of as many as there are would let none go.
			if budget := named(objects, "PodDisruptionBudget", one.Metadata.Name); budget == nil || budget.Spec.MaxUnavailable == nil || *budget.Spec.MaxUnavailable != 1 {
				t.Errorf("Deployment %s has no budget for disruptions that fits", one.Metadata.Name)
			}
		}
	})
}

func named(objects []object, kind, name string) *object {
	i := slices.IndexFunc(objects, func(o object) bool { return o.Kind == kind && o.Metadata.Name == name })
	if i < 0 {
		return nil
	}
	return &objects[i]
}

func leads(t *testing.T, objects []object, from object, name string, fits func(servicePort) bool) {
	t.Helper()
	if service := named(objects, "Service", name); service == nil || !slices.ContainsFunc(service.Spec.Ports, fits) {
		t.Errorf("%s %s leads to Service %s, which is not there or lacks the port", from.Kind, from.Metadata.Name, name)
	}
}

// selects returns what has pods with these labels, of which there must be one.
func selects(t *testing.T, objects []object, by object, wanted map[string]string) (found object) {
	t.Helper()
	var names []string
	for _, one := range slices.Concat(ofKind(objects, "Deployment"), ofKind(objects, "Job")) {
		if matches(wanted, one.Spec.Template.Metadata.Labels) {
			names, found = append(names, one.Metadata.Name), one
		}
	}
	if len(names) != 1 {
		t.Fatalf("%s %s selects the pods of %q, want those of one", by.Kind, by.Metadata.Name, names)
	}
	return found
}

func (o object) has(port string) bool {
	for _, one := range o.Spec.Template.Spec.Containers[0].Ports {
		if one.Name == port {
			return true
		}
	}
	return false
}

// matches reports whether all that is wanted, and that is something, is among what there is.
func matches(wanted, there map[string]string) bool {
	for name, value := range wanted {
		if there[name] != value {
			return false
		}
	}
	return len(wanted) > 0
}

func mapping(t *testing.T, node yaml.Node) (m map[string]string) {
	t.Helper()
	if err := node.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func labels(t *testing.T, node yaml.Node) map[string]string {
	t.Helper()
	var s selector
	if err := node.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s.MatchLabels
}
