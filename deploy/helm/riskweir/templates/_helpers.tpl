{{- define "riskweir.name" -}}
{{- .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "riskweir.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "riskweir.selector" -}}
app.kubernetes.io/name: {{ include "riskweir.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "riskweir.labels" -}}
{{ include "riskweir.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "riskweir.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "riskweir.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* riskweir.yaml: what is configured, with the places that the chart mounts. */ -}}
{{- define "riskweir.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.rules -}}
{{- $_ := set $config "rules" (merge (dict "path" "/etc/riskweir/rules") (default (dict) $config.rules)) -}}
{{- end -}}
{{- if .Values.auditKeySecret -}}
{{- $_ := set $config "audit" (merge (dict "key_file" "/etc/riskweir/keys/audit.pem") (default (dict) $config.audit)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
