{{/* What the Prometheus operator reads. */}}

{{- define "tramontane.monitorMetadata" -}}
{{- include "tramontane.metadata" (dict "root" .root "component" "" "name" .name) }}
  {{- with .root.Values.monitoring.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Pods and Services of the three roles. The API's own Service has no metrics port. */}}
{{- define "tramontane.observedPods" -}}
matchLabels:
  app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
  app.kubernetes.io/instance: {{ .Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/component
    operator: In
    values: [coordinator, attention-worker, expert-worker]
{{- end -}}

{{/* Labels by which rules and dashboards choose, beside namespace and pod. */}}
{{- define "tramontane.relabelings" -}}
- targetLabel: model
  replacement: {{ include "tramontane.modelName" . | quote }}
- sourceLabels: [__meta_kubernetes_pod_label_app_kubernetes_io_component]
  targetLabel: component
- sourceLabels: [__meta_kubernetes_pod_label_tramontane_shard]
  targetLabel: shard
{{- end -}}

{{/* A file of rules; with "url", alerts link to their sections of that page: dict "text" TEXT "url" URL */}}
{{- define "tramontane.rules" -}}
{{- $rules := fromYaml .text -}}
{{- if .url -}}
  {{- range $group := $rules.groups -}}
    {{- range $rule := $group.rules -}}
      {{- with $rule.annotations -}}
        {{- $_ := set . "runbook_url" (printf "%s#%s" $.url (splitList "#" .runbook | last)) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}
