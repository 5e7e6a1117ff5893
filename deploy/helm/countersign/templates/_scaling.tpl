{{/* How many of a component there are, and how many may go at once by somebody's will. */}}
{{- define "countersign.scaling" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "countersign.name" . }}
  labels:
    {{- include "countersign.labels" . | nindent 4 }}
spec:
  # One at a time, which fits any number of replicas; minAvailable would keep a single one's node from being drained for ever.
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "countersign.selector" . | nindent 6 }}
{{- with .v.autoscaling }}
{{- if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "%s.autoscaling: minReplicas %v is above maxReplicas %v" $.name .minReplicas .maxReplicas) }}
{{- end }}
{{- if not (dig "requests" "cpu" "" $.v.resources) }}
{{- fail (printf "%s.autoscaling measures processor time as a share of %s.resources.requests.cpu, which is not set" $.name $.name) }}
{{- end }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "countersign.name" $ }}
  labels:
    {{- include "countersign.labels" $ | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "countersign.name" $ }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .targetCPUUtilizationPercentage }}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 300
      policies:
        - {type: Pods, value: 1, periodSeconds: 60}
{{- end }}
{{- end }}
{{- end -}}
