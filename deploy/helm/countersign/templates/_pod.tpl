{{/* What every pod has in common: who it runs as, where it may run. Takes a component. */}}
{{- define "countersign.pod" -}}
serviceAccountName: {{ include "countersign.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{- define "countersign.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Certificate authorities besides the public ones: Go reads every file of this folder, and the image's own bundle too. */}}
{{- define "countersign.caEnv" -}}
{{- if .root.Values.caBundle.existingConfigMap }}
- name: SSL_CERT_DIR
  value: /etc/countersign/ca
{{- end }}
{{- end -}}

{{- define "countersign.caMount" -}}
{{- if .root.Values.caBundle.existingConfigMap }}
- name: ca
  mountPath: /etc/countersign/ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "countersign.caVolume" -}}
{{- with .root.Values.caBundle }}
{{- if .existingConfigMap }}
- name: ca
  configMap:
    name: {{ .existingConfigMap }}
    items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- end -}}

{{/*
One file of a Secret, for the volume of secrets: takes {from: {existingSecret, key}, file, optional}. Mode 0440 with fsGroup is a file of
root's that the server's group may read.
*/}}
{{- define "countersign.secretFile" -}}
- secret:
    name: {{ .from.existingSecret }}
    {{- if .optional }}
    optional: true
    {{- end }}
    items:
      - key: {{ .from.key }}
        path: {{ .file }}
{{- end -}}
