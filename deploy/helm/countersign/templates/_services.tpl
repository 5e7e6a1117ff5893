{{/* How a component is reached: a Service for its public ports, one for its admin port that never leaves the cluster, and its account. */}}
{{- define "countersign.services" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "countersign.name" . }}
  labels:
    {{- include "countersign.labels" . | nindent 4 }}
  {{- with .v.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "countersign.name" . }}
  labels:
    {{- include "countersign.labels" . | nindent 4 }}
    countersign/service: public
  {{- with .v.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .v.service.type }}
  selector:
    {{- include "countersign.selector" . | nindent 4 }}
  ports:
    {{- range .ports }}
    - {name: {{ .name }}, port: {{ .servicePort }}, targetPort: {{ .name }}, protocol: TCP}
    {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "countersign.name" . }}-admin
  labels:
    {{- include "countersign.labels" . | nindent 4 }}
    countersign/service: admin
spec:
  type: ClusterIP
  selector:
    {{- include "countersign.selector" . | nindent 4 }}
  ports:
    - {name: admin, port: {{ .adminPort }}, targetPort: admin, protocol: TCP}
{{- if and .root.Values.lb.enabled (ne .name "lb") }}
---
# The addresses of the pods themselves, for pools of the load balancer (dns).
apiVersion: v1
kind: Service
metadata:
  name: {{ include "countersign.name" . }}-pods
  labels:
    {{- include "countersign.labels" . | nindent 4 }}
    countersign/service: pods
spec:
  type: ClusterIP
  clusterIP: None
  selector:
    {{- include "countersign.selector" . | nindent 4 }}
  ports:
    {{- range .ports }}
    - {name: {{ .name }}, port: {{ .port }}, targetPort: {{ .name }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- if .root.Values.serviceMonitor.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ include "countersign.name" . }}
  labels:
    {{- include "countersign.labels" . | nindent 4 }}
    {{- with .root.Values.serviceMonitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "countersign.selector" . | nindent 6 }}
      countersign/service: admin
  endpoints:
    - port: admin
      path: /metrics
      interval: {{ .root.Values.serviceMonitor.interval }}
{{- end }}
{{- end -}}
