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
{{- if .Values.metricsTokenSecret -}}
{{- $_ := set $config "http" (merge (dict "token_file" "/etc/riskweir/metrics/token") (default (dict) $config.http)) -}}
{{- end -}}
{{- $stop := dict "timeout" (printf "%ds" (int .Values.shutdownTimeoutSeconds)) -}}
{{- $_ := set $config "shutdown" (merge $stop (default (dict) $config.shutdown)) -}}
{{- if .Values.api.enabled -}}
{{- $api := dict "listen" (printf "0.0.0.0:%d" (int .Values.api.port)) "expose" "on" "tokens" "/etc/riskweir/api/tokens" -}}
{{- if .Values.api.tlsSecret -}}
{{- $_ := set $api "tls" (dict "certificate" "/etc/riskweir/api-tls/tls.crt" "key" "/etc/riskweir/api-tls/tls.key") -}}
{{- end -}}
{{- if and .Values.persistence.enabled (eq (int .Values.replicas) 1) (not .Values.keda.enabled) -}}
{{- $_ := set $api "store" "/var/lib/riskweir/api.sqlite" -}}
{{- end -}}
{{- $_ := set $config "api" (merge (deepCopy (default (dict) $config.api)) $api) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
