{{/*
Who may reach a component. `egress`, a list, limits where it may go to; DNS is added. Kubelet's probes and port-forwarding come from the
node, which policies let pass.
*/}}
{{- define "countersign.networkPolicy" -}}
{{- if .root.Values.networkPolicy.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "countersign.name" . }}
  labels:
    {{- include "countersign.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "countersign.selector" . | nindent 6 }}
  policyTypes: [Ingress{{ if .egress }}, Egress{{ end }}]
  ingress:
    - ports:
        {{- range .ports }}
        - {port: {{ .name }}, protocol: TCP}
        {{- end }}
      {{- with .v.networkPolicy.publicFrom }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- with .v.networkPolicy.adminFrom }}
    - ports:
        - {port: admin, protocol: TCP}
      from:
        {{- toYaml . | nindent 8 }}
    {{- end }}
  {{- if .egress }}
  egress:
    {{- include "countersign.dnsEgress" . | nindent 4 }}
    {{- toYaml .egress | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{- define "countersign.dnsEgress" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
  {{- with .root.Values.networkPolicy.dnsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* An egress rule as JSON: takes {ports, to}; an empty `to` is anywhere. */}}
{{- define "countersign.egressRule" -}}
{{- $ports := list -}}
{{- range .ports -}}
{{- $ports = append $ports (dict "port" . "protocol" "TCP") -}}
{{- end -}}
{{- $rule := dict "ports" $ports -}}
{{- with .to -}}
{{- $_ := set $rule "to" . -}}
{{- end -}}
{{- toJson $rule -}}
{{- end -}}
