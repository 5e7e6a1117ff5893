{{/*
The Deployment of a component. Besides what _names.tpl lists, it takes
  config   {configMap or secret, key, file}: where its configuration is and which file it becomes
  secrets  a list for countersign.secretFile: the files in /etc/countersign/secrets
  sum      of a configuration that is read at the start only; pods with another one are replaced
  state    whether it keeps files in /var/lib/countersign
*/}}
{{- define "countersign.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "countersign.name" . }}
  labels:
    {{- include "countersign.labels" . | nindent 4 }}
spec:
  {{- if not .v.autoscaling.enabled }}
  replicas: {{ .v.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  minReadySeconds: 5
  # Nobody goes before somebody else is ready.
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 25%
  selector:
    matchLabels:
      {{- include "countersign.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "countersign.podLabels" . | nindent 8 }}
        {{- with .v.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if or .sum .v.podAnnotations }}
      annotations:
        {{- with .sum }}
        checksum/config: {{ . }}
        {{- end }}
        {{- with .v.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    spec:
      {{- include "countersign.pod" . | nindent 6 }}
      # What draining takes, and some seconds to write down what is queued.
      terminationGracePeriodSeconds: {{ add .v.drain.delaySeconds .v.drain.timeoutSeconds 15 }}
      {{- with .v.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with .v.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .v.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .v.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .v.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- range . }}
        - {{ toYaml . | nindent 10 | trim }}
          labelSelector:
            matchLabels:
              {{- include "countersign.selector" $ | nindent 14 }}
          matchLabelKeys: [pod-template-hash]
        {{- end }}
      {{- end }}
      containers:
        - name: {{ .name }}
          {{- include "countersign.container" . | nindent 10 }}
      volumes:
        - name: config
          {{- if .config.secret }}
          secret:
            secretName: {{ .config.secret }}
            defaultMode: 0440
          {{- else }}
          configMap:
            name: {{ .config.configMap }}
          {{- end }}
            items:
              - key: {{ .config.key }}
                path: {{ .config.file }}
        {{- if .secrets }}
        - name: secrets
          projected:
            defaultMode: 0440
            sources:
              {{- range .secrets }}
              {{- include "countersign.secretFile" . | nindent 14 }}
              {{- end }}
        {{- end }}
        {{- with .v.tls.existingSecret }}
        # A folder, not single files: kubelet changes it when the certificate is renewed, and it is read again.
        - name: tls
          secret:
            secretName: {{ . }}
            defaultMode: 0440
            items:
              - {key: tls.crt, path: tls.crt}
              - {key: tls.key, path: tls.key}
        {{- end }}
        {{- with include "countersign.caVolume" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- if .state }}
        - name: state
          emptyDir:
            sizeLimit: 64Mi
        {{- end }}
{{- end -}}

{{- define "countersign.container" -}}
image: {{ include "countersign.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args:
  - {{ .name }}
  - --config=/etc/countersign/config/{{ .config.file }}
{{- with include "countersign.env" . | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
ports:
  {{- range .ports }}
  - name: {{ .name }}
    containerPort: {{ .port }}
    protocol: TCP
  {{- end }}
  - name: admin
    containerPort: {{ .adminPort }}
    protocol: TCP
# Two minutes and a half to start, for instance while another server migrates the database.
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 1
  failureThreshold: 150
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
resources:
  {{- toYaml .v.resources | nindent 2 }}
securityContext:
  {{- include "countersign.containerSecurity" . | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/countersign/config
    readOnly: true
  {{- if .secrets }}
  - name: secrets
    mountPath: /etc/countersign/secrets
    readOnly: true
  {{- end }}
  {{- if .v.tls.existingSecret }}
  - name: tls
    mountPath: /etc/countersign/tls
    readOnly: true
  {{- end }}
  {{- with include "countersign.caMount" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if .state }}
  - name: state
    mountPath: /var/lib/countersign
  {{- end }}
{{- end -}}

{{/* The environment: settings are in files, so what is here is Go's and OpenTelemetry's. */}}
{{- define "countersign.env" -}}
{{- if dig "limits" "memory" "" .v.resources }}
# The garbage collector works harder before the kernel has to step in.
- name: GOMEMLIMIT
  valueFrom:
    resourceFieldRef:
      resource: limits.memory
{{- end }}
{{- include "countersign.caEnv" . }}
{{- with .v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
