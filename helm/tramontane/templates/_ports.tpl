{{/* Ports of the containers. */}}
{{- define "tramontane.apiPort" -}}8470{{- end -}}
{{- define "tramontane.workerPort" -}}8480{{- end -}}
{{- define "tramontane.healthPort" -}}8471{{- end -}}
{{- define "tramontane.metricsPort" -}}9470{{- end -}}

{{/* Where a role takes its calls: dict "component" "coordinator". */}}
{{- define "tramontane.rpcPort" -}}
{{- if eq .component "coordinator" -}}
{{- include "tramontane.apiPort" . -}}
{{- else -}}
{{- include "tramontane.workerPort" . -}}
{{- end -}}
{{- end -}}
