{{/* "true" where attention has processes of its own. Their number may be another's: null. $ */}}
{{- define "tramontane.hasAttentionWorkers" -}}
{{- $replicas := .Values.attentionWorkers.replicas -}}
{{- if or (kindIs "invalid" $replicas) (gt (int $replicas) 0) -}}true{{- end -}}
{{- end -}}

{{/* The number of pods, where it is ours. SETTINGS */}}
{{- define "tramontane.replicas" -}}
{{- if not (or (kindIs "invalid" .replicas) (dig "autoscaling" "enabled" false . | default false)) -}}
replicas: {{ int .replicas }}
{{- end -}}
{{- end -}}

{{/* The number in words. SETTINGS */}}
{{- define "tramontane.countText" -}}
{{- if dig "autoscaling" "enabled" false . -}}
{{ int .autoscaling.minReplicas }} to {{ int .autoscaling.maxReplicas }}
{{- else if kindIs "invalid" .replicas -}}
autoscaled
{{- else -}}
{{ int .replicas }}
{{- end -}}
{{- end -}}

{{/* A StatefulSet and its headless Service.
     dict "root" $ "component" "expert-worker" "shard" "a" "settings" SETTINGS "flags" LINES */}}
{{- define "tramontane.workers" -}}
{{- $name := include "tramontane.workload" . -}}
{{- $metadata := include "tramontane.metadata" (dict "root" .root "component" .component "shard" .shard "name" $name) -}}
apiVersion: v1
kind: Service
metadata:
  {{- $metadata | nindent 2 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: {{ .root.Values.publishNotReadyAddresses }}
  selector:
    {{- include "tramontane.selectorLabels" . | nindent 4 }}
  ports:
    - name: grpc
      port: {{ include "tramontane.workerPort" . }}
      targetPort: grpc
    - name: metrics
      port: {{ include "tramontane.metricsPort" . }}
      targetPort: metrics
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- $metadata | nindent 2 }}
spec:
  serviceName: {{ $name }}
  {{- with include "tramontane.replicas" .settings }}
  {{- . | nindent 2 }}
  {{- end }}
  minReadySeconds: {{ int .settings.minReadySeconds }}
  podManagementPolicy: Parallel
  updateStrategy:
    {{- with .settings.updateStrategy }}
    type: {{ .type }}
    {{- if eq .type "RollingUpdate" }}
    {{- with (.rollingUpdate).partition }}
    rollingUpdate:
      partition: {{ int . }}
    {{- end }}
    {{- end }}
    {{- end }}
  selector:
    matchLabels:
      {{- include "tramontane.selectorLabels" . | nindent 6 }}
  template:
    {{- include "tramontane.podTemplate" . | nindent 4 }}
{{- end -}}
