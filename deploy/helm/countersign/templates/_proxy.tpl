{{/* Gateway and load balancer: a document, whose listeners the chart has to know. Takes {root, name, v, adminPort}. */}}
{{- define "countersign.proxy" -}}
{{- $file := printf "%s.yaml" .name -}}
{{- $existing := .v.existingConfig -}}
{{- if not .v.listeners -}}
{{- fail (printf "%s.listeners is empty: name the listeners of the document, with their ports" .name) -}}
{{- end -}}
{{- $config := dict "configMap" "" "secret" "" "key" $existing.key "file" $file -}}
{{- $text := "" -}}
{{- if and $existing.configMap $existing.secret -}}
{{- fail (printf "%s.existingConfig: configMap and secret are both set: allowed is one of them" .name) -}}
{{- else if or $existing.configMap $existing.secret -}}
{{- if .v.config -}}
{{- fail (printf "%s.config and %s.existingConfig are both set: allowed is one of them" .name .name) -}}
{{- end -}}
{{- $_ := set $config "configMap" $existing.configMap -}}
{{- $_ := set $config "secret" $existing.secret -}}
{{- else -}}
{{- $text = include "countersign.document" . -}}
{{- $_ := set $config "configMap" (include "countersign.name" .) -}}
{{- $_ := set $config "key" $file -}}
{{- end -}}
{{- $secrets := list -}}
{{- range .v.secretFiles -}}
{{- $secrets = append $secrets (dict "from" . "file" .file "optional" false) -}}
{{- end -}}
{{- $c := merge (dict "ports" .v.listeners "config" $config "secrets" $secrets "sum" "" "state" true "egress" .v.networkPolicy.egress) . -}}
{{- if $text -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "countersign.name" . }}
  labels:
    {{- include "countersign.labels" . | nindent 4 }}
data:
  {{ $file }}: |
    {{- $text | nindent 4 }}
---
{{ end -}}
{{ include "countersign.deployment" $c }}
---
{{ include "countersign.services" $c }}
---
{{ include "countersign.scaling" $c }}
---
{{ include "countersign.networkPolicy" $c }}
{{- end -}}

{{/* The document of values, with what the chart decides, refused where it cannot fit. */}}
{{- define "countersign.document" -}}
{{- $name := .name -}}
{{- $config := .v.config -}}
{{- if not $config -}}
{{- fail (printf "%s.config is empty: give the document of `countersign %s`, or name one by %s.existingConfig" $name $name $name) -}}
{{- end -}}
{{- range list "admin" "drain" -}}
{{- if hasKey $config . -}}
{{- fail (printf "%s.config.%s is the chart's to set: leave it out (%s.drain says how it ends)" $name . $name) -}}
{{- end -}}
{{- end -}}
{{- with regexFind "(?m)^[ -]*(client_secret|redis):" (toYaml $config) -}}
{{- fail (printf "%s.config holds a secret (%s): name a file in /etc/countersign/secrets by %s_file, and its Secret in %s.secretFiles" $name (trim .) (trimSuffix ":" . | trimAll " -") $name) -}}
{{- end -}}
{{- $ports := dict -}}
{{- range .v.listeners -}}
{{- $_ := set $ports .name (toString .port) -}}
{{- end -}}
{{- range $config.listeners -}}
{{- $port := regexFind "[0-9]+$" (toString .address) -}}
{{- if ne (get $ports .name) $port -}}
{{- fail (printf "%s.config listens as %q on port %q: %s.listeners must have one of this name and port" $name .name $port $name) -}}
{{- end -}}
{{- $_ := unset $ports .name -}}
{{- end -}}
{{- if $ports -}}
{{- fail (printf "%s.listeners has %s, which %s.config does not" $name (keys $ports | sortAlpha | join ", ") $name) -}}
{{- end -}}
{{- $ours := dict
  "admin" (dict "address" (printf ":%v" .adminPort))
  "drain" (dict "delay" (printf "%vs" .v.drain.delaySeconds) "timeout" (printf "%vs" .v.drain.timeoutSeconds))
-}}
{{- toYaml (merge $ours $config) -}}
{{- end -}}
