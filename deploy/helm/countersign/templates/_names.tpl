{{/* What begins the name of every object: the release's name, with the chart's unless it is in it already. */}}
{{- define "countersign.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
The other templates take a component, a dictionary:
  root       the chart's own context
  name       server, gateway or lb
  v          the component's values
  ports      the public ports, a list of {name, port, servicePort}
  adminPort  the port of /healthz, /readyz and /metrics
*/}}
{{- define "countersign.name" -}}
{{ include "countersign.fullname" .root }}-{{ .name }}
{{- end -}}

{{/* What a Deployment finds its pods by. It can never change. */}}
{{- define "countersign.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{/* Of pods: nothing that a new version of the chart would change, and replace them all for. */}}
{{- define "countersign.podLabels" -}}
{{ include "countersign.selector" . }}
app.kubernetes.io/part-of: countersign
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "countersign.labels" -}}
{{ include "countersign.podLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "countersign.image" -}}
{{- $image := .Values.image -}}
{{- $repository := required "image.repository is not set: name the registry and repository to which you pushed the image, such as registry.example.com/countersign" $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (required "image.tag is not set: name the tag that you pushed, or its image.digest" $image.tag) -}}
{{- end -}}
{{- end -}}
