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
  {{- if not (dig "autoscaling" "enabled" false .settings) }}
  replicas: {{ int .settings.replicas }}
  {{- end }}
  minReadySeconds: {{ int .settings.minReadySeconds }}
  podManagementPolicy: Parallel
  updateStrategy:
    type: RollingUpdate
  selector:
    matchLabels:
      {{- include "tramontane.selectorLabels" . | nindent 6 }}
  template:
    {{- include "tramontane.podTemplate" . | nindent 4 }}
{{- end -}}
